"""Which run a tuning session takes next."""
