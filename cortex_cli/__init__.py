"""Cortex: a git-backed registry and a loop by which an LLM system improves itself from its own use."""

__all__ = ["__version__"]

__version__ = "0.1.0"
