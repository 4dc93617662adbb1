"""Experiments: from outcomes to a decision that git remembers and anybody can recompute.

In: a registry, an object store and rows of outcomes. Out: experiments, verdicts with their evidence,
promotions, replays and verifications. It answers no request, trains nothing and prints nothing.
"""

__all__ = ["assignment", "experiments", "judging", "ledger", "planning", "policies", "replaying", "verifying"]
