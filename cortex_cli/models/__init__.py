"""Models: generate and embed, whatever the model is.

In: a model manifest or a folder, perhaps an adapter, and prompts. Out: answers, or vectors.
It opens safetensors only, read-only, never reaches a network unless the manifest names a hub or an
API, and never decides which model should answer.
"""

__all__ = [
    "attention",
    "bases",
    "chat",
    "decoding",
    "embedding",
    "encoder",
    "generation",
    "lexicon",
    "lora",
    "merging",
    "passages",
    "sampling",
    "scoring",
    "tagging",
    "transport",
    "upstream",
    "words",
    "writing",
]
