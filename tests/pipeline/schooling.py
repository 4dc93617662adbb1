"""A teacher behind real HTTP, and lessons for the workspace of scenes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cortex_cli.curate.spec import CurateSpec
from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import Model, Prices
from cortex_cli.models.transport import Limits
from cortex_cli.models.upstream import Asking, open_upstream
from cortex_cli.pipeline.distilling import Means, Taught, teach
from cortex_cli.pipeline.lessons import Lesson, plan_lesson
from cortex_cli.pipeline.teachers import Ask, ask_remote
from cortex_cli.registry.actions import add_model
from cortex_cli.train.objectives import DistilSpec
from cortex_cli.train.spec import TrainSpec
from tests.models.provider import Provider, Turn, said, serving
from tests.pipeline.scenes import LESSONS, Scene, call

QUICK = Limits(seconds=5.0, connect=2.0, tries=1, together=2)
PRICES = Prices(input=2.0, output=8.0)
TOOL_OF = {request: tool for tool, asked in LESSONS.items() for request in asked}

Reply = Callable[[dict[str, Any], int], Turn]


def knowing(request: dict[str, Any], _number: int) -> Turn:
    """Answer as a good teacher does."""
    return said(call(TOOL_OF[request["messages"][-1]["content"]]), tokens=(20, 10))


@contextmanager
def teaching(scene: Scene, reply: Reply, prices: Prices = PRICES) -> Iterator[Provider]:
    """Serve a teacher and register it as the model `big`."""
    with serving(reply) as provider:
        add_model(scene.place.registry, Model(name="big", kind="api", source=f"{provider.url}#big", prices=prices))
        yield provider


def lesson(scene: Scene, rules: CurateSpec | None = None, **distil: Any) -> Lesson:
    table = DistilSpec(teacher="big", **{"max_tokens": 16, **distil})
    spec = TrainSpec(
        agent="dispatch", dataset="dispatch", base="tiny", objective="distil", min_examples=1, distil=table
    )
    return plan_lesson(scene.place.registry.snapshot(), spec, scene.dataset, rules)


def asking(scene: Scene, limits: Limits = QUICK, **parameters: Any) -> Ask:
    model = scene.place.registry.snapshot().model("big")
    return ask_remote(open_upstream(model, {}, Asking(limits=limits, **{"max_tokens": 16, **parameters})))


def give(scene: Scene, planned: Lesson, /, **means: Any) -> Taught:
    table = Means(ask=asking(scene), **means)
    return teach(scene.place, scene.place.registry.snapshot(), planned, table)


def train_part(scene: Scene) -> list[Example]:
    return list(read_examples(scene.place.objects, scene.dataset, "train"))
