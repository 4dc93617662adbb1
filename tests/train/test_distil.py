import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn
from torch.nn import functional

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.generation import load_model
from cortex_cli.models.lora import attach
from cortex_cli.store.starter import starter_root
from cortex_cli.train.batches import Row
from cortex_cli.train.distil import DistilLoss, load_teacher, prepare
from cortex_cli.train.fitting import Fitted, fit_adapter
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Progress
from cortex_cli.train.objectives import DistilSpec
from cortex_cli.train.sft import encode_examples
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.models.tiny import make_adapter, make_base
from tests.train.conftest import requests

pytestmark = pytest.mark.model

TEXTS = ["set a timer for ten minutes", "wake me up at seven", "play some jazz", '{"tool": "set_timer"}']
LOOP = LoopSpec(learning_rate=1e-2, batch_tokens=512, epochs=8.0, window=64, threads=1, dtype="float32")
LORA = LoraSpec(rank=4, alpha=8.0, targets=("q_proj", "v_proj"))


def example(number: int, request: str, answer: str) -> Example:
    return Example(
        id=f"x-{number}", agent="dispatch", messages=(Message("user", request),), answer=answer, source="supervised"
    )


EXAMPLES = [example(number, text, '{"tool": "set_timer"}') for number, text in enumerate(TEXTS[:3])]


def spec(teacher: Path | str, loop: LoopSpec = LOOP, **distil: Any) -> TrainSpec:
    table = DistilSpec(teacher=str(teacher), **distil)
    return TrainSpec(
        agent="dispatch", dataset="d", objective="distil", min_examples=1, lora=LORA, loop=loop, distil=table
    )


def silent(_progress: Progress) -> None:
    pass


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("student"), TEXTS)


@pytest.fixture(scope="module")
def teacher(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student's base with a random adapter in `adapter/`: the same vocabulary, other distributions."""
    folder = tmp_path_factory.mktemp("teacher") / "teacher"
    shutil.copytree(student, folder)
    make_adapter(student, folder / "adapter")
    return folder


def rows_of(student: Path) -> list[Row]:
    return encode_examples(EXAMPLES, ChatTokenizer(student), 64)[0]


def loss_of(student: Path, teacher: Path, *, chunk: int = 0, **distil: Any) -> tuple[float, list[torch.Tensor]]:
    """Return the loss of all rows and the gradients of a fresh adapter, whose second half is not at zero."""
    network = load_network(student)
    trained = attach(network, LORA, seed=1)
    for parameter in trained:
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(3))
    tokenizer = ChatTokenizer(student)
    language = LanguageLoss(network, tokenizer.pad, LOOP)
    taught = load_teacher(teacher, tokenizer, "float32")
    objective = DistilLoss(language, taught, DistilSpec(teacher="t", **distil), chunk)
    loss = objective.loss(rows_of(student))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in taught.parameters())
    gradients = [parameter.grad for parameter in trained]
    return float(loss.detach()), [grad for grad in gradients if grad is not None]


def plain_loss(student: Path, teacher: Path, alpha: float, temperature: float) -> float:
    """The formula of the paper, row by row and without padding, over whole logits."""
    network, tokenizer = load_network(student), ChatTokenizer(student)
    for parameter in attach(network, LORA, seed=1):
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(3))
    taught = load_teacher(teacher, tokenizer, "float32")
    total = 0.0
    with torch.no_grad():
        for row in rows_of(student):
            (start, end), ids = row.learned[0], torch.tensor([row.ids])
            own, told = (model(ids).logits[0, start - 1 : end - 1].double() for model in (network, taught))
            text = functional.cross_entropy(own, ids[0, start:end], reduction="sum")
            wanted, given = (told / temperature).softmax(-1), (own / temperature).softmax(-1)
            divergence = (wanted * (wanted / given).log()).sum()
            total += float((1 - alpha) * text + alpha * temperature**2 * divergence)
    return total


@pytest.mark.parametrize(("alpha", "temperature"), [(0.5, 2.0), (1.0, 1.0), (0.3, 4.0), (0.0, 2.0)])
def test_the_loss_is_the_formula_of_the_paper(student: Path, teacher: Path, alpha: float, temperature: float) -> None:
    loss, _ = loss_of(student, teacher, alpha=alpha, temperature=temperature)

    assert loss == pytest.approx(plain_loss(student, teacher, alpha, temperature), rel=1e-5)


def test_without_weight_on_the_teacher_it_is_the_loss_on_texts(student: Path, teacher: Path) -> None:
    network, tokenizer = load_network(student), ChatTokenizer(student)
    for parameter in attach(network, LORA, seed=1):
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(3))
    text = LanguageLoss(network, tokenizer.pad, LOOP).loss(rows_of(student))

    assert loss_of(student, teacher, alpha=0.0)[0] == pytest.approx(float(text.detach()), rel=1e-6)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn_from_it(student: Path) -> None:
    network, tokenizer = load_network(student), ChatTokenizer(student)
    attach(network, LORA, seed=1)  # an adapter that starts at zero leaves the base as it is
    language = LanguageLoss(network, tokenizer.pad, LOOP)
    objective = DistilLoss(language, load_teacher(student, tokenizer, "float32"), DistilSpec(teacher="t", alpha=1.0))

    assert float(objective.loss(rows_of(student)).detach()) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_chunks_change_neither_loss_nor_gradients(student: Path, teacher: Path, chunk: int) -> None:
    whole, wanted = loss_of(student, teacher)
    loss, gradients = loss_of(student, teacher, chunk=chunk)

    assert loss == pytest.approx(whole, rel=1e-6)
    assert len(gradients) == len(wanted) > 0
    for one, two in zip(gradients, wanted, strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-6)


def test_rows_apart_and_together_give_the_same_sum(student: Path, teacher: Path) -> None:
    network, tokenizer = load_network(student), ChatTokenizer(student)
    attach(network, LORA, seed=1)
    taught = load_teacher(teacher, tokenizer, "float32")
    objective = DistilLoss(LanguageLoss(network, tokenizer.pad, LOOP), taught, DistilSpec(teacher="t"))
    rows = rows_of(student)

    apart = sum(float(objective.loss([row]).detach()) for row in rows)
    assert float(objective.loss(rows).detach()) == pytest.approx(apart, rel=1e-5)
    assert [objective.weigh(row) for row in rows] == [row.terms for row in rows]


def test_a_vocabulary_that_one_model_rounds_up_is_compared_where_both_have_it(student: Path, teacher: Path) -> None:
    network, tokenizer = load_network(student), ChatTokenizer(student)
    attach(network, LORA, seed=1)
    taught = load_teacher(teacher, tokenizer, "float32")
    language = LanguageLoss(network, tokenizer.pad, LOOP)
    loss = DistilLoss(language, taught, DistilSpec(teacher="t")).loss(rows_of(student))
    head = taught.get_output_embeddings()
    wider = nn.Linear(head.in_features, head.out_features + 64, bias=False)
    wider.weight = nn.Parameter(torch.cat([head.weight, torch.full((64, head.in_features), 9.0)]))
    taught.set_output_embeddings(wider)

    again = DistilLoss(language, taught, DistilSpec(teacher="t")).loss(rows_of(student))
    assert float(again.detach()) == pytest.approx(float(loss.detach()), rel=1e-6)


def test_the_adapter_of_a_teacher_is_merged_and_nothing_of_it_is_trained(student: Path, teacher: Path) -> None:
    taught, plain = load_teacher(teacher, ChatTokenizer(student), "float32"), load_network(student)

    assert not any(parameter.requires_grad for parameter in taught.parameters())
    assert not torch.equal(
        taught.base_model.layers[0].self_attn.q_proj.weight, plain.base_model.layers[0].self_attn.q_proj.weight
    )


def test_another_vocabulary_is_refused_with_the_way_out(student: Path, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other", ["entirely different words make other merges", *TEXTS])

    with pytest.raises(UsageError, match="reads another vocabulary than the base") as caught:
        load_teacher(other, ChatTokenizer(student), "float32")
    assert 'level = "sequence"' in caught.value.hint


def test_a_teacher_without_weights_here_is_refused(student: Path) -> None:
    with pytest.raises(UsageError, match="is no model's folder"):
        load_teacher(Path("openai:gpt-5-mini"), ChatTokenizer(student), "float32")


def test_at_the_level_of_texts_no_teacher_is_loaded(student: Path) -> None:
    network = load_network(student)
    attach(network, LORA, seed=1)
    prepared = prepare(EXAMPLES, ChatTokenizer(student), network, spec("openai:gpt-5-mini"))

    assert isinstance(prepared.objective, LanguageLoss)
    assert [row.example for row in prepared.rows] == ["x-0", "x-1", "x-2"]


def test_examples_longer_than_the_window_are_counted(student: Path, teacher: Path) -> None:
    network = load_network(student)
    attach(network, LORA, seed=1)
    long = example(9, "word " * 100, "x")
    prepared = prepare([*EXAMPLES, long], ChatTokenizer(student), network, spec(teacher, level="logits"))

    assert (len(prepared.rows), prepared.counts["too_long"]) == (3, 1)


def test_learning_from_distributions_brings_them_closer(student: Path, teacher: Path, tmp_path: Path) -> None:
    table = spec(teacher, level="logits", alpha=1.0, temperature=1.0)
    fitted = fit_adapter(EXAMPLES, student, table, tmp_path, watch=silent)
    losses = [msgspec.json.decode(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()]

    assert losses[-1] < 0.5 * losses[0]
    assert (fitted.folder / "adapter_model.safetensors").is_file()


# From here on with the base that ships: a teacher that knows a task, and a student that never saw its labels.


@pytest.fixture(scope="module")
def base() -> Path:
    return starter_root() / "registry" / "models" / "cortex-tiny"


def asked() -> list[Example]:
    return [example(number, text, f'{{"tool": "{intent}"}}') for number, (text, intent) in enumerate(requests())]


@pytest.fixture(scope="module")
def expert(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A teacher: the base with an adapter that learned the right answers of half of the requests."""
    lora, loop = LoraSpec(rank=16, alpha=32.0), msgspec.structs.replace(LOOP, epochs=14.0, dtype="bfloat16")
    table = TrainSpec(agent="dispatch", dataset="d", min_examples=1, lora=lora, loop=loop)
    return fit_adapter(asked()[::2], base, table, tmp_path_factory.mktemp("expert"), watch=silent)


@pytest.mark.parametrize("level", ["sequence", "logits"])
def test_a_student_reaches_more_of_its_teachers_score_than_the_base(
    base: Path, expert: Fitted, tmp_path: Path, level: str
) -> None:
    unlabelled = asked()[1::2]
    prompts = [each.messages for each in unlabelled]
    told = load_model(base, expert.folder, max_tokens=16)(prompts)
    lessons = [msgspec.structs.replace(each, answer=answer.text) for each, answer in zip(unlabelled, told, strict=True)]
    folder = tmp_path / "teacher"
    shutil.copytree(base, folder)
    shutil.copytree(expert.folder, folder / "adapter")
    table = spec(folder, msgspec.structs.replace(LOOP, epochs=14.0, dtype="bfloat16"), level=level)
    table = msgspec.structs.replace(table, lora=LoraSpec(rank=8, alpha=16.0))
    fitted = fit_adapter(lessons, base, table, tmp_path / "run", watch=silent)

    held_out = asked()[::2]
    right = {
        name: sum(
            answer.text == each.answer
            for answer, each in zip(model([each.messages for each in held_out]), held_out, strict=True)
        )
        for name, model in (
            ("base", load_model(base, None, max_tokens=16)),
            ("student", load_model(base, fitted.folder, max_tokens=16)),
            ("teacher", load_model(base, expert.folder, max_tokens=16)),
        )
    }
    assert right["base"] < 0.1 * len(held_out)
    assert right["student"] > 0.6 * right["teacher"] > 0.4 * len(held_out)
