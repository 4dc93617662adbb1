"""Train: examples and a base in, an adapter out; or texts in, a base out.

In: a typed spec, rows of token ids, a run folder. Out: safetensors, metrics and counts, never a
version bump without weights. One loop serves every objective (`loop`). It never registers what it
made, and never reads a test part.
"""

__all__ = [
    "annotated",
    "batches",
    "checkpoint",
    "cores",
    "corpus",
    "crew",
    "diary",
    "distil",
    "engines",
    "fitting",
    "interrupts",
    "language",
    "loop",
    "memory",
    "mntp",
    "objectives",
    "planning",
    "prediction",
    "preference",
    "pretrain",
    "ray_engine",
    "search",
    "sft",
    "spec",
    "study",
    "tagger",
    "templates",
    "texts",
    "tokens",
    "tracking",
    "trl_engine",
    "validation",
]
