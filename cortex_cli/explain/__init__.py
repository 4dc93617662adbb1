"""From a failure to what went with it: symptoms, words, training examples, clusters, and what may mend it.

In: cases (an answer and how it was judged), training examples, perhaps a `Score`. Out: findings with
their evidence. It counts and measures; what is only alike is called similar, never a cause. It reads
no registry and no journal, and it changes nothing.
"""

__all__ = [
    "answers",
    "attribution",
    "cases",
    "clusters",
    "explanation",
    "mend",
    "neighbours",
    "spans",
    "symptoms",
    "tokens",
]
