"""Live advice in other trainers: one module a framework, which it imports. Nothing imports them."""
