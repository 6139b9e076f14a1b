"""Real fine-tuning of a real small model, once and by `advise tune`."""
