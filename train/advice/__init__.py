"""The advisor inside a run: what it sees, what it reports, and what the run does about it."""
