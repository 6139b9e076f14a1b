"""Runs side by side: what differs, which one is better, and what a change did."""
