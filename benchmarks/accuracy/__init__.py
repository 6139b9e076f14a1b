"""How right the advisor is: one report, and the labelled real logs."""
