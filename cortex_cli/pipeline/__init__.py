"""Pipeline: recipes become plans, plans become stages, stages leave manifests and commits.

In: a workspace, a recipe, the words of a command. Out: values for the command line to render, and
at most one commit per stage. Engines below give values; this room gives them places and records.
It never prints, and never registers what was not made.
"""

__all__ = [
    "basing",
    "cases",
    "collecting",
    "contest",
    "curating",
    "demo",
    "evaluating",
    "explaining",
    "lineage",
    "place",
    "plan",
    "recipes",
    "traffic",
    "training",
    "variants",
]
