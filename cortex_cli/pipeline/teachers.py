"""Teachers: a model of the registry or a variant that answers requests, so that a smaller model learns from it."""

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Answer, Generate, Prompt
from cortex_cli.domain.manifests import Model, Variant
from cortex_cli.models.chat import digest_tokenizer
from cortex_cli.optimize.prompts import PromptFile
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.variants import find_base, is_remote, link_adapter, read_prompt
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.train.objectives import DistilSpec
from cortex_cli.train.spec import TrainSpec

if TYPE_CHECKING:
    from cortex_cli.models.upstream import Upstream

__all__ = ["Ask", "Teacher", "ask_remote", "check_logits", "find_teacher", "localise", "open_teacher"]

# Prompts in, each with which sample of its answers is wanted; the number of each and its answer out, as they come.
# A prompt is taken when it can be asked.
Ask = Callable[[Iterable[tuple[Prompt, int]]], Generator[tuple[int, Answer], None, None]]

_BY_VARIANT = "variant:"
_LOCAL_BATCH = 128  # prompts that a local model decodes together, and that a kill may lose


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who is asked: the *model*, perhaps an *adapter* over it, and the *prompt* that requests are put into.

    *identity* is a digest of all that decides what it answers.
    """

    name: str
    model: Model
    adapter: str
    prompt: PromptFile
    prompt_blob: str
    identity: str

    @property
    def is_remote(self) -> bool:
        """Return whether it answers over HTTP, so that its weights are not here and an answer may cost."""
        return is_remote(self.model)


def find_teacher(snapshot: Snapshot, name: str, agent: str) -> Teacher:
    """Return the teacher called *name*: `variant:ID` under its own prompt, or a model under the champion's of *agent*.

    Nothing is loaded or asked. Raises `UsageError` for a variant with an adapter over a remote model.
    """
    if name.startswith(_BY_VARIANT):
        variant = snapshot.variant(name.removeprefix(_BY_VARIANT))
        model, adapter = snapshot.model(variant.model), variant.adapter
    else:
        variant, model, adapter = _champion(snapshot, agent), snapshot.model(name), ""
    content = [model.kind, model.source, model.revision, model.digest, adapter, variant.prompt_blob]
    teacher = Teacher(
        name, model, adapter, read_prompt(snapshot, variant), variant.prompt_blob, digest_value([agent, *content])
    )
    if teacher.is_remote and adapter:
        raise UsageError(
            f"teacher '{name}' puts the adapter '{adapter}' over '{model.name}', whose weights are not here",
            hint="cortex prompt ls",
            state="nothing was asked",
        )
    return teacher


def open_teacher(
    place: Place, snapshot: Snapshot, teacher: Teacher, spec: DistilSpec, env: Mapping[str, str] = os.environ
) -> Ask:
    """Return *teacher* ready to be asked; a remote one takes its key from *env*.

    More than one sample is drawn at the temperature *heat* of *spec*, a single one at 0. Raises
    `AuthenticationError` for a key that is missing, `IntegrityError` for weights that are not those of the manifest.
    """
    if teacher.is_remote:
        from cortex_cli.models.upstream import Asking, open_upstream

        heat = spec.heat if spec.samples > 1 else 0.0
        return ask_remote(open_upstream(teacher.model, env, Asking(max_tokens=spec.max_tokens, temperature=heat)))
    from cortex_cli.models.generation import load_model
    from cortex_cli.models.sampling import Sampling

    base, adapter = _folders(place, snapshot, teacher)
    model = load_model(base, adapter, max_tokens=spec.max_tokens, batch=_LOCAL_BATCH)
    if spec.samples == 1:
        return _ask_in_batches([model])
    return _ask_in_batches([model.sampled(Sampling(temperature=spec.heat, seed=n)) for n in range(spec.samples)])


def ask_remote(model: "Upstream") -> Ask:
    """Return the way to ask *model* once: afterwards its connections are closed."""

    def ask(prompts: Iterable[tuple[Prompt, int]]) -> Generator[tuple[int, Answer], None, None]:
        with closing(model):
            yield from model.stream(prompt for prompt, _ in prompts)

    return ask


def _link_teacher(place: Place, snapshot: Snapshot, teacher: Teacher, folder: Path) -> Path:
    """Make *folder* one with the files of *teacher*, its adapter in `adapter/`, for learning from its distributions.

    Files are linked, not copied. Its weights are here: see `check_logits`.
    """
    base, adapter = _folders(place, snapshot, teacher)
    _link_files(base, folder)
    if adapter is not None:
        _link_files(adapter, folder / "adapter")
    return folder


def localise(place: Place, snapshot: Snapshot, spec: TrainSpec, folder: Path) -> TrainSpec:
    """Return *spec* as a training reads it: where distributions are learned, with the teacher's files in *folder*."""
    if spec.objective != "distil" or spec.distil.level != "logits":
        return spec
    teacher = find_teacher(snapshot, spec.distil.teacher, spec.agent)
    table = msgspec.structs.replace(spec.distil, teacher=str(_link_teacher(place, snapshot, teacher, folder)))
    return msgspec.structs.replace(spec, distil=table)


def check_logits(place: Place, snapshot: Snapshot, teacher: Teacher, spec: TrainSpec) -> None:
    """Raise `UsageError` when the distributions of *teacher* cannot be learned by the base of *spec*.

    Its weights must be here, it must read the same vocabulary, as a position stands for another token otherwise, and
    it must answer under the prompt that the student is trained under, as both are shown the same tokens.
    """
    if teacher.is_remote:
        _refuse_logits(teacher, "answers over HTTP: its distributions are not told")
    if teacher.prompt_blob != _champion(snapshot, spec.agent).prompt_blob:
        _refuse_logits(teacher, f"answers under another prompt than the champion of '{spec.agent}'")
    base, student = find_base(place, snapshot, teacher.model.name), find_base(place, snapshot, spec.base)
    if digest_tokenizer(base) != digest_tokenizer(student):
        _refuse_logits(teacher, f"reads another vocabulary than the base '{spec.base}'")


def _refuse_logits(teacher: Teacher, why: str) -> NoReturn:
    raise UsageError(
        f"teacher '{teacher.name}' {why}, so only its texts can be learned",
        hint='set level = "sequence" in [train.distil]',
        state="nothing was asked",
    )


def _champion(snapshot: Snapshot, agent: str) -> Variant:
    champion = snapshot.agent(agent).champion
    if not champion:
        raise UsageError(
            f"agent '{agent}' has no champion, so there is no prompt to ask a teacher under",
            hint=f"cortex promote {agent} VARIANT",
            state="nothing was asked",
        )
    return snapshot.variant(champion)


def _folders(place: Place, snapshot: Snapshot, teacher: Teacher) -> tuple[Path, Path | None]:
    base = find_base(place, snapshot, teacher.model.name)
    return base, link_adapter(place, snapshot.adapter(teacher.adapter)) if teacher.adapter else None


def _ask_in_batches(models: Sequence[Generate]) -> Ask:
    """Return the way to ask *models*, one for each sample, so that a sample is the same whenever it is drawn."""

    def ask(prompts: Iterable[tuple[Prompt, int]]) -> Generator[tuple[int, Answer], None, None]:
        source = enumerate(prompts)
        while batch := list(islice(source, _LOCAL_BATCH)):
            for sample, model in enumerate(models):
                asked = [(number, prompt) for number, (prompt, wanted) in batch if wanted == sample]
                if asked:
                    answers = model([prompt for _, prompt in asked])
                    yield from zip((number for number, _ in asked), answers, strict=True)

    return ask


def _link_files(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file():
            target = folder / path.name
            target.unlink(missing_ok=True)
            target.symlink_to(path.resolve())
