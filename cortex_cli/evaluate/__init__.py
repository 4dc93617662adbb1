"""Evaluate: a variant's answers and a suite in, scores with intervals out; two of them, compared.

In: a `Generate`, or what tells log-probabilities, and cases with what counts as right. Out: one result per case, totals, a
paired comparison, and what gates say. It never loads a model, never registers anything, counts an error as an error, and
runs a program only where it can shut it in.
"""

__all__ = [
    "agreement",
    "answered",
    "calibration",
    "card",
    "cell",
    "gates",
    "harness",
    "judges",
    "judging",
    "leakage",
    "programs",
    "referee",
    "refusals",
    "reports",
    "sandbox",
    "schemas",
    "scores",
    "similarity",
    "suites",
]
