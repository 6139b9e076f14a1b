"""The foundation of all other rooms: files, numbers, text. Knows nothing of training."""
