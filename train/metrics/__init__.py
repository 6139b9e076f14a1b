"""The metric stream: what a step writes, and where it goes."""
