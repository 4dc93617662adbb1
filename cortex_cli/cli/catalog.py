"""The static registry of verbs: listing them imports nothing, running one imports one module."""

from typing import NamedTuple

__all__ = ["NOT_BUILT", "SECTIONS", "VERBS", "Entry"]


class Entry(NamedTuple):
    """Where a verb lives and how it is introduced.

    *attribute* of `cortex_cli.cli.commands.<module>` is the function; for a group it is `VERBS`.
    """

    module: str
    attribute: str
    section: str
    summary: str


SECTIONS = ("Start", "Loop", "Data", "Registry", "Look", "Keep")

# In the order of the help page: within a section, in the order in which a newcomer meets the verbs.
VERBS: dict[str, Entry] = {
    "demo": Entry("demo", "demo", "Start", "run the whole loop on real data: no key, no network"),
    "init": Entry("init", "init", "Start", "make a workspace"),
    "status": Entry("status", "status", "Start", "agents, champions, experiments and data at a glance"),
    "doctor": Entry("doctor", "doctor", "Start", "check this machine and workspace, and say what to mend"),
    "collect": Entry("collect", "collect", "Loop", "read interactions and feedback from logs"),
    "curate": Entry("curate", "curate", "Loop", "make a new dataset version"),
    "train": Entry("train", "train", "Loop", "train an adapter"),
    "evaluate": Entry("evaluate", "evaluate", "Loop", "score a variant on held-out requests"),
    "serve": Entry("later", "serve", "Loop", "answer through an OpenAI-compatible gateway"),
    "ab": Entry("ab", "VERBS", "Loop", "compare challengers with the champion"),
    "cycle": Entry("later", "cycle", "Loop", "run the nightly loop unattended"),
    "schedule": Entry("schedule", "schedule", "Loop", "print crontab lines or systemd units"),
    "feedback": Entry("feedback", "feedback", "Data", "judge an interaction or an episode"),
    "review": Entry("review", "review", "Data", "judge the interactions that teach most, key by key"),
    "dataset": Entry("dataset", "VERBS", "Data", "list, compare, audit, export and verify dataset versions"),
    "adapter": Entry("adapter", "VERBS", "Data", "list, describe and export what was trained"),
    "recipe": Entry("recipe", "VERBS", "Data", "list, show, check and copy recipes"),
    "prompt": Entry("prompt", "VERBS", "Data", "list, show, compare, render and optimise prompts"),
    "forget": Entry("forget", "forget", "Data", "remove content and mark what was learned from it"),
    "promote": Entry("promote", "promote", "Registry", "make a variant the champion of an agent"),
    "rollback": Entry("rollback", "rollback", "Registry", "go back to an earlier champion"),
    "log": Entry("log", "log", "Registry", "show who changed what, when, and on which evidence"),
    "diff": Entry("diff", "diff", "Registry", "show what changed between two states"),
    "verify": Entry("verify", "verify", "Registry", "recompute recorded verdicts from their evidence"),
    "explain": Entry("explain", "explain", "Look", "say why an answer failed"),
    "why": Entry("why", "why", "Look", "trace an answer back to what it was learned from"),
    "tui": Entry("later", "tui", "Look", "watch experiments and pressure live"),
    "fsck": Entry("fsck", "fsck", "Keep", "check the registry, and repair it where that is safe"),
    "gc": Entry("gc", "gc", "Keep", "remove objects that nothing refers to"),
    "config": Entry("config", "VERBS", "Keep", "show settings and where each comes from"),
    "completion": Entry("completion", "completion", "Keep", "print the completion script of a shell"),
}

# Verbs, and options of verbs, whose capability is still to come; docs/features.md lists the same.
NOT_BUILT: tuple[str, ...] = (
    "ab start",
    "cycle",
    "prompt optimize",
    "serve",
    "status --watch",
    "tui",
)
