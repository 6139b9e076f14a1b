"""Two runs side by side: what differs, which is better, what a change did."""
