"""What makes and measures every number in README and docs; see README.md here."""
