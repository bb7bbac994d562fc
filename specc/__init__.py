"""specc: a model is one JSON file."""

__version__ = "0.1.0"
