"""What everything else stands on: files, numbers, text; knows nothing of training."""
