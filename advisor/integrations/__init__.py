"""Live advice in other trainers: one module per framework, imported only by its users."""
