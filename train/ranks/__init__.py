"""Several processes of one run: what they exchange, and which rank lags or is gone."""
