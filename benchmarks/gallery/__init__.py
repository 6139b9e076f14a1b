"""The gallery of real runs."""
