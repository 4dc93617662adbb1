"""Manifests: the typed content of every file that the registry keeps in git. Never any user's text."""

from typing import Any, Literal

import msgspec

from cortex_cli.domain.digests import content_id, digest_value

__all__ = [
    "Adapter",
    "Agent",
    "Blob",
    "DatasetVersion",
    "Experiment",
    "Metric",
    "Model",
    "Part",
    "Policy",
    "Prices",
    "Variant",
    "Verdict",
    "adapter_id",
    "dataset_digest",
    "variant_id",
]

Parameter = str | int | float | bool
Metric = Literal["success", "quality", "latency", "cost"]


class Agent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Live state of one agent: one file, so that one commit moves all of it.

    *split* gives challengers their share of traffic in (0, 1); the champion gets the rest.
    *generation* grows by one with every promotion and rollback.
    """

    schema: int = 1
    agent: str
    summary: str = ""
    judge: Literal["exact", "json", "command"] = "exact"
    generation: int = 0
    champion: str = ""
    previous: str = ""
    challengers: tuple[str, ...] = ()
    split: dict[str, float] = {}
    experiment: str = ""


class Variant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What answers for an agent: prompt x model (x adapter) x parameters, named by its content.

    *prompt* is a path in the workspace, *prompt_blob* the git object that holds its text for ever.
    """

    schema: int = 1
    id: str
    agent: str
    model: str
    adapter: str = ""
    prompt: str
    prompt_blob: str
    parameters: dict[str, Parameter] = {}


class Prices(msgspec.Struct, frozen=True, omit_defaults=True):
    """US dollars per million tokens."""

    input: float = 0.0
    output: float = 0.0


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A base model: shipped with the package, a local folder, a hub id, or an API through LiteLLM."""

    schema: int = 1
    name: str
    kind: Literal["embedded", "local", "hub", "ollama", "api"]
    source: str
    revision: str = ""
    digest: str = ""
    licence: str = ""
    parameters: int = 0
    context: int = 0
    summary: str = ""
    prices: Prices = Prices()


class Blob(msgspec.Struct, frozen=True):
    """A file kept as a content-addressed object: its name, tagged SHA-256 and size in bytes."""

    name: str
    digest: str
    size: int


class Adapter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trained adapter: its files by digest, what it was trained on and how, what it cost.

    *run* is the digest of the step that made it, *plan* that of the recipe that asked for it where the two differ: a
    search picks the step. *parent* is the adapter it went on from, *ancestors* the dataset versions that this one
    and *replayed* examples of it had brought in before. *domain* is what a specialist is for. *planned* and
    *measured* are seconds, bytes of memory and dollars before and after, *forecast* and *figures* what was
    predicted and what a teacher cost, *trackers* the name of the run at each tracker. *evaluation* is the object with the
    gates that it had to pass, *scores* their numbers.
    """

    schema: int = 1
    id: str
    name: str
    agent: str
    base: str
    base_digest: str
    files: tuple[Blob, ...]
    dataset: str
    dataset_digest: str
    recipe: str
    recipe_digest: str
    objective: str = "sft"
    run: str = ""
    examples: int = 0
    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    final_loss: float = 0.0
    cost: float = 0.0
    scores: dict[str, float] = {}
    created: str = ""
    state: Literal["live", "revoked"] = "live"
    plan: str = ""
    parent: str = ""
    ancestors: tuple[str, ...] = ()
    replayed: int = 0
    domain: str = ""
    planned: dict[str, float] = {}
    measured: dict[str, float] = {}
    forecast: dict[str, float] = {}
    figures: dict[str, float] = {}
    trackers: dict[str, str] = {}
    evaluation: Blob | None = None


class Part(msgspec.Struct, frozen=True):
    """One part of a dataset version: canonical JSONL object, size in bytes, rows."""

    digest: str
    size: int
    rows: int


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version of curated examples: digests and counts in git, content in objects.

    *journal* is the range of sequence numbers looked at, first and last included. *lineage* is the object
    that lists keyed interaction ids, one line per example in the order of the sorted parts: first the one
    that the example is of, then after spaces those that were merged into it (duplicates, shorter conversations,
    a wrong answer beside it), so that erasing any of them finds the version. *counts*: read = examples +
    all *rejected*; the rows of all parts = examples + pair_rows. *redaction* lists the stamps of what may be in it.
    *contaminated* counts what was left out because a suite asks it, *suites* has their digests. *profile*
    counts the examples by what drift is measured on; *reason* says why a version is not live.
    """

    schema: int = 1
    name: str
    version: str
    agent: str
    parts: dict[str, Part]
    lineage: Blob
    counts: dict[str, int] = {}
    rejected: dict[str, int] = {}
    origins: dict[str, int] = {}
    journal: tuple[int, int] = (0, 0)
    parent: str = ""
    recipe: str = ""
    recipe_digest: str = ""
    algorithms: dict[str, str] = {}
    redaction: str = "standard"
    digest: str
    created: str = ""
    state: Literal["live", "quarantined", "revoked"] = "live"
    reason: str = ""
    profile: dict[str, dict[str, int]] = {}
    contaminated: dict[str, int] = {}
    suites: dict[str, str] = {}


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment decides: error rate, smallest effect worth having, margin, minimum tasks per arm.

    Written out in full, so that a later default does not change what an experiment promised.

    Every metric is read on [0, 1], higher is better: latency and cost as the share left of their cap
    (seconds; US dollars per task). *objectives* must improve, each *guardrail* must not get worse.
    """

    name: str = "anytime"
    alpha: float = 0.05
    mde: float = 0.05
    margin: float = 0.02
    min_tasks: int = 100
    objectives: tuple[Metric, ...] = ("success",)
    guardrails: tuple[Metric, ...] = ()
    latency_cap: float = 30.0
    cost_cap: float = 0.1


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an experiment found. Rates and the difference are of success, challenger minus champion.

    *low* and *high* are each wrong with probability at most alpha at any time; *e_value* is capped at
    1e12. *method* names the version of the rule, so that a later version does not deny an old verdict.
    """

    outcome: Literal["promote", "hold", "rollback", "futile", "invalid"]
    challenger: str
    reason: str
    tasks: int = 0
    wins: int = 0
    losses: int = 0
    champion_rate: float = 0.0
    challenger_rate: float = 0.0
    difference: float = 0.0
    low: float = -1.0
    high: float = 1.0
    e_value: float = 1.0
    threshold: float = 20.0
    seeds_rule: bool = False
    method: str = ""


class Experiment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A comparison of challengers with the champion: its definition and, at the end, its verdict.

    *evidence* is the object that holds the ledger, one canonical JSON line per unit, from which
    the verdict can be recomputed byte for byte.
    """

    schema: int = 1
    id: str
    agent: str
    champion: str
    challengers: tuple[str, ...]
    mode: Literal["shadow", "split"] = "shadow"
    policy: Policy = Policy()
    salt: str = ""
    replayed: bool = False
    state: Literal["running", "decided", "stopped"] = "running"
    evidence: Blob | None = None
    verdict: Verdict | None = None
    started: str = ""
    ended: str = ""


def variant_id(variant: Variant) -> str:
    """Return the id that the content of *variant* decides; its own id field is not part of it."""
    content = [variant.model, variant.adapter, variant.prompt, variant.prompt_blob, variant.parameters]
    return content_id(variant.agent, [variant.agent, *content])


def adapter_id(name: str, files: tuple[Blob, ...]) -> str:
    """Return the id of an adapter called *name* from the digests of its *files*."""
    listing: list[Any] = sorted((blob.name, blob.digest) for blob in files)
    return content_id(name, listing)


def dataset_digest(parts: dict[str, Part], lineage: Blob) -> str:
    """Return the digest of a dataset version from the digests of its parts and lineage."""
    return digest_value([sorted((name, part.digest, part.rows) for name, part in parts.items()), lineage.digest])
