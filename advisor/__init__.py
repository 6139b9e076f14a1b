"""A rule-based advisor for fine-tuning runs: reads logs, diagnoses, proposes config changes."""
