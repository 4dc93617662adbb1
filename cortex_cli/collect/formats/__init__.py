"""One file per format, each with a `FORMAT`: how to recognise it, and how its values become records.

In: decoded JSON objects with their place. Out: interactions and feedback, or a reason why not.
A format never reads files and never guesses what is missing.
"""

__all__ = ["cortex", "nl2bash", "openai_chat", "outcomes"]
