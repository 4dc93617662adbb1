"""Statistics that stay valid however often one looks: e-processes, intervals, power, alarms.

In: arrays of outcomes, arms and propensities, in assignment order. Out: e-values, intervals and a
`Verdict`. It never touches disk, clock or network, and draws no random number but from a generator
that it is given.
"""

__all__ = [
    "assignment",
    "betting",
    "decision",
    "detectors",
    "evidence",
    "intervals",
    "ipw",
    "paired",
    "power",
    "shares",
    "simulation",
    "srm",
    "wealth",
    "wording",
]
