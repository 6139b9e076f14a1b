"""The advisor within a run: what it is told, what it says, and what is done about it."""
