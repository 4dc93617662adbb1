"""Evaluate: a variant's answers and a suite in, scores with intervals out; two of them, compared.

In: a `Generate` and cases with reference answers. Out: one result per case, totals and a paired
comparison. It never loads a model, never registers anything, and counts an error as an error.
"""

__all__ = ["gates", "judges", "scores", "suites"]
