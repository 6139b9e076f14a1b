"""CPU seconds and memory, ours beside others."""
