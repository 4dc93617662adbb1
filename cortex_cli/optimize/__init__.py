"""Prompts as files: checked, rendered, and later made better.

In: the text of a prompt file and the values of its variables; examples and scores later. Out: messages,
and better prompts. It never calls a model by itself and never writes: what it finds, others register.
"""

__all__ = ["prompts"]
