"""How soon a Monitor speaks, and what it costs."""
