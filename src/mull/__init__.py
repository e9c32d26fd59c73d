"""mull decides how much a language model should think, in which shape, and when to stop."""

__version__ = "0.1.0"

__all__ = ["__version__"]
