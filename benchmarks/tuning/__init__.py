"""How well and how safely `advise tune` tunes, on grids of real runs."""
