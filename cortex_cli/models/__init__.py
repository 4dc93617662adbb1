"""Models: generate and embed, whatever the model is.

In: a model manifest or a folder, perhaps an adapter, and prompts. Out: answers, or vectors.
It opens safetensors only, read-only, never reaches a network unless the manifest names a hub or an
API, and never decides which model should answer.
"""

__all__ = [
    "bases",
    "chat",
    "embedding",
    "generation",
    "lexicon",
    "lora",
    "scoring",
    "tagging",
    "words",
]
