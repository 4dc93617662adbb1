"""The model card of an adapter, from what the registry and the objects hold."""

import json
from typing import Any

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Adapter, DatasetVersion
from cortex_cli.evaluate.card import render_card
from cortex_cli.evaluate.reports import Gates
from cortex_cli.pipeline.contenders import find_contender
from cortex_cli.pipeline.gating import read_gates
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.snapshot import Snapshot

__all__ = ["make_card"]

# Of what peft keeps, what somebody would ask for.
_SHOWN = ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora", "lora_dropout")


def make_card(place: Place, name: str, found: Gates | None = None) -> str:
    """Return the card of the adapter *name*, or of the adapter of the variant *name*, with the evaluation *found*.

    Without one it is that of the gates that it had to pass, if they were kept.

    Raises `UsageError` for a variant without an adapter: a base has its own card.
    """
    snapshot = place.registry.snapshot()
    adapter = find_contender(place, snapshot, name).adapter
    if adapter is None:
        raise UsageError(f"'{name}' has no adapter, so there is no card to make", state="nothing was written")
    if found is None and adapter.evaluation is not None:
        found = read_gates(place, adapter.evaluation.digest)
    return render_card(
        adapter, snapshot.model(adapter.base), _dataset(snapshot, adapter), _settings(place, adapter), found
    )


def _dataset(snapshot: Snapshot, adapter: Adapter) -> DatasetVersion | None:
    name, _, version = adapter.dataset.partition("/")
    known = {(each.name, each.version): each for each in snapshot.datasets(name)} if name else {}
    return known.get((name, version))


def _settings(place: Place, adapter: Adapter) -> dict[str, Any]:
    blob = next((blob for blob in adapter.files if blob.name == "adapter_config.json"), None)
    if blob is None:
        return {}
    config: dict[str, Any] = json.loads(place.objects.read_bytes(blob.digest))
    return {key: config[key] for key in _SHOWN if config.get(key) not in (None, False, 0.0)}
