"""Pipeline: recipes become plans, plans become stages, stages leave manifests and commits.

In: a workspace, a recipe, the words of a command. Out: values for the command line to render, and
at most one commit per stage. Engines below give values; this room gives them places and records.
It never prints, and never registers what was not made.
"""

__all__ = [
    "auditing",
    "basing",
    "cases",
    "collecting",
    "contest",
    "curating",
    "demo",
    "descent",
    "evaluating",
    "explaining",
    "exporting",
    "forgetting",
    "intake",
    "lineage",
    "mending",
    "moving",
    "place",
    "plan",
    "readiness",
    "receiving",
    "recipes",
    "redacting",
    "reviewing",
    "selecting",
    "suites",
    "tagging",
    "traffic",
    "trails",
    "training",
    "transcripts",
    "variants",
    "watching",
]
