"""Variants made ready: from a manifest to a model that answers under its prompt."""

import os
from collections.abc import Sequence
from pathlib import Path

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.examples import Answer, Generate, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.manifests import Adapter, Model, Variant
from cortex_cli.models.bases import check_folder, find_folder
from cortex_cli.optimize.prompts import PromptFile, parse_prompt, render_prompt
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.snapshot import Snapshot

__all__ = ["PromptedModel", "find_base", "is_remote", "link_adapter", "open_variant", "read_prompt", "render_request"]


class PromptedModel:
    """A model under a prompt: requests in, answers out; an instance is a `Generate`."""

    def __init__(self, prompt: PromptFile, model: Generate) -> None:
        self.prompt = prompt
        self.model = model

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Answer each request after rendering it into the prompt."""
        return self.model([render_request(self.prompt, messages) for messages in prompts])


def open_variant(place: Place, snapshot: Snapshot, variant: Variant) -> PromptedModel:
    """Load what *variant* names: prompt, base and adapter, each checked against its digest; or the API that it asks.

    Raises `IntegrityError` when a part is missing or altered, before anything is loaded, and `AuthenticationError`
    when the key of an API is not in the environment.
    """
    if is_remote(model := snapshot.model(variant.model)):
        return PromptedModel(read_prompt(snapshot, variant), _open_remote(model, variant))
    from cortex_cli.models.generation import load_model

    adapter = link_adapter(place, snapshot.adapter(variant.adapter)) if variant.adapter else None
    base = find_base(place, snapshot, variant.model)
    limit = variant.parameters.get("max_tokens", 48)
    return PromptedModel(read_prompt(snapshot, variant), load_model(base, adapter, max_tokens=int(limit)))


def is_remote(model: Model) -> bool:
    """Tell whether *model* answers over HTTP, so that its weights are not here and an answer may cost."""
    return model.kind in {"api", "ollama"}


def find_base(place: Place, snapshot: Snapshot, name: str) -> Path:
    """Return the folder of the base model *name*, its files checked against the manifest's digest."""
    model = snapshot.model(name)
    folder = find_folder(model, place.starter, place.workspace.root)
    check_folder(model, folder)
    return folder


def link_adapter(place: Place, adapter: Adapter) -> Path:
    """Return a folder with the files of *adapter*, linked from verified objects."""
    folder = place.workspace.private / "adapters" / adapter.id
    for blob in adapter.files:
        if not place.objects.verify(blob.digest):
            raise IntegrityError(
                f"adapter '{adapter.id}' has lost or altered '{blob.name}' ({blob.digest})",
                hint="cortex fsck --read-data",
                state="nothing was loaded",
            )
        target = folder / blob.name
        if not target.is_file() or target.stat().st_size != blob.size:
            target.unlink(missing_ok=True)
            place.objects.link(blob.digest, target)
    return folder


def _open_remote(model: Model, variant: Variant) -> Generate:
    from cortex_cli.models.upstream import Asking, open_upstream

    if variant.adapter:
        raise UsageError(
            f"variant '{variant.id}' puts the adapter '{variant.adapter}' over '{model.name}', whose weights are not here",
            hint=f"cortex log {variant.agent}",
            state="nothing was asked",
        )
    limit, heat = variant.parameters.get("max_tokens", 256), variant.parameters.get("temperature")
    temperature = None if heat is None else float(heat)
    return open_upstream(model, os.environ, Asking(max_tokens=int(limit), temperature=temperature))


def read_prompt(snapshot: Snapshot, variant: Variant) -> PromptFile:
    """Return the prompt that *variant* was registered with, whatever its file says today."""
    data = snapshot.read_blob(variant.prompt_blob)
    if data is None:
        raise IntegrityError(
            f"prompt '{variant.prompt}' of variant '{variant.id}' is not in git ({variant.prompt_blob})",
            hint="cortex fsck",
            state="nothing was loaded",
        )
    return parse_prompt(data.decode(), variant.prompt)


def render_request(prompt: PromptFile, messages: Sequence[Message]) -> Prompt:
    """Render a request into *prompt*: its one text variable takes the last user message.

    Earlier messages of the request stay before the rendered ones. Raises `UsageError` if the prompt
    has not exactly one variable, because then the request does not say which is which.
    """
    asked = [number for number, message in enumerate(messages) if message.role == "user"]
    if len(prompt.variables) != 1 or not asked:
        raise UsageError(
            f"prompt '{prompt.source}' takes {len(prompt.variables)} variables, a request fills exactly one",
            hint=f"cortex prompt show {prompt.source}",
            state="nothing was asked",
        )
    name = next(iter(prompt.variables))
    rendered = render_prompt(prompt, {name: messages[asked[-1]].content})
    return (*messages[: asked[-1]], *rendered)
