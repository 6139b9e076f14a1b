"""The trainer: streams every step to the advisor. It is built on the guide's configs."""
