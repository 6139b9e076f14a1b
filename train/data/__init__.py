"""From rows of a dataset to batches of token ids with masked labels."""
