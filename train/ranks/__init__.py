"""Several processes of one run: what they tell each other, and who lags or is gone."""
