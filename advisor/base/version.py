"""Our version, without the cost of importlib.metadata at every start."""

__version__ = "0.1.0"
