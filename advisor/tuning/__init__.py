"""The tuning loop: run, diagnose, change, run again, keep or revert."""
