"""Plans: what a stage would read and make, by digest, before anything is done.

The step digest covers every input that decides the result, so equal digest means done already.
"""

import msgspec

from cortex_cli.domain.digests import digest_value, hex_of
from cortex_cli.domain.manifests import DatasetVersion, Model
from cortex_cli.pipeline.recipes import stage_digest
from cortex_cli.train.spec import PretrainSpec, TrainSpec

__all__ = ["Step", "plan_base", "plan_training"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan. *digest* names its run folder; *done* is the id of its result if there is one."""

    stage: str
    target: str
    digest: str
    inputs: dict[str, str]
    estimate: dict[str, float] = {}
    done: str = ""

    def run(self) -> str:
        """Return the name of the run folder."""
        return f"{self.stage}-{hex_of(self.digest)[:12]}"


def plan_training(spec: TrainSpec, dataset: DatasetVersion, base: Model, prompt_blob: str, **others: str) -> Step:
    """Plan the training of an adapter.

    Of *others*, `start` is the adapter that it goes on from, `part` the domain that it is for, `teacher` who answers.
    Trackers, forecast and the number of new examples asked for decide whether and how it is watched, not what it
    makes: they are no input. The version is one by its digest, however the recipe names it.
    """
    deciding = msgspec.structs.replace(spec, dataset=dataset.name, track=(), predict=None, min_new=0, per=None)
    inputs = {
        "recipe": stage_digest(deciding),
        "dataset": f"{dataset.name}/{dataset.version} {dataset.digest}",
        "base": f"{base.name} {base.digest}",
        "prompt": prompt_blob,
    }
    inputs |= {name: value for name, value in others.items() if value}
    rows = dataset.parts["train"].rows if "train" in dataset.parts else 0
    estimate = {"examples": float(rows), "epochs": spec.loop.epochs, "answers_read": rows * spec.loop.epochs}
    return Step(
        stage="train",
        target=spec.agent,
        digest=digest_value(sorted(inputs.items())),
        inputs=inputs,
        estimate=estimate,
    )


def plan_base(spec: PretrainSpec, packs: dict[str, str]) -> Step:
    """Plan the training of a base from scratch; *packs* gives each text pack's digest."""
    inputs = {"recipe": stage_digest(spec), **{f"text {name}": digest for name, digest in sorted(packs.items())}}
    return Step(stage="pretrain", target=spec.name, digest=digest_value(sorted(inputs.items())), inputs=inputs)
