"""The config of a run: found beside its log, chosen, filled with defaults, checked against
ranges."""
