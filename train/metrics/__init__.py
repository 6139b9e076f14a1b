"""The metric stream: records of steps, evaluations and events, and their sinks."""
