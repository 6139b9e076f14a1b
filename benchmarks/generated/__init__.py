"""Made-up runs with labels, and what is found in them."""
