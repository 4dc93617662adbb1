from pathlib import Path

import pytest
import torch

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.generation import load_model
from cortex_cli.store.starter import starter_root
from cortex_cli.train.fitting import Fitted, fit_adapter
from cortex_cli.train.loop import Progress
from cortex_cli.train.sft import encode_examples
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.train.conftest import requests

pytestmark = pytest.mark.model

SPEC = TrainSpec(
    agent="dispatch",
    dataset="dispatch",
    base="cortex-tiny",
    min_examples=50,
    lora=LoraSpec(rank=16, alpha=32.0),
    loop=LoopSpec(learning_rate=1e-2, batch_tokens=512, epochs=12.0, window=64, threads=1),
)


def silent(_progress: Progress) -> None:
    pass


def examples() -> list[Example]:
    return [
        Example(
            id=f"x-{number}",
            agent="dispatch",
            messages=(Message("user", text),),
            answer=f'{{"tool": "{intent}"}}',
            source="demonstration",
        )
        for number, (text, intent) in enumerate(requests())
    ]


@pytest.fixture(scope="module")
def base() -> Path:
    """The base that ships: a miniature trained in seconds is too weak to carry an adapter."""
    return starter_root() / "registry" / "models" / "cortex-tiny"


@pytest.fixture(scope="module")
def fitted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit_adapter(examples(), base, SPEC, tmp_path_factory.mktemp("sft"), watch=silent)


def share_right(base: Path, adapter: Path | None) -> float:
    model = load_model(base, adapter, max_tokens=16)
    asked = examples()
    answers = model([example.messages for example in asked])
    return sum(answer.text == example.answer for answer, example in zip(answers, asked, strict=True)) / len(asked)


def test_an_adapter_learns_what_the_base_could_not_do(base: Path, fitted: Fitted) -> None:
    assert share_right(base, None) < 0.1
    assert share_right(base, fitted.folder) > 0.8
    assert fitted.examples == len(examples())


def test_the_loss_is_on_the_answer_alone(base: Path) -> None:
    rows, _ = encode_examples(examples()[:1], ChatTokenizer(base), 64)

    tokenizer = ChatTokenizer(base)
    assert tokenizer.decode(rows[0].ids[slice(*rows[0].learned[0])]) == '{"tool": "book_flight"}'
    assert rows[0].ids[-1] == tokenizer.end


# peft asks transformers for an attribute that is on its way out; neither is ours.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_reads_the_adapter_and_computes_the_same_logits(base: Path, fitted: Fitted) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with torch.inference_mode():
        theirs = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), fitted.folder
        )
        ours = load_model(base, fitted.folder).network
        line = torch.tensor([ChatTokenizer(base).encode("<|user|>fly me to rome<|assistant|>")])
        assert torch.allclose(theirs(line).logits, ours(line).logits, atol=1e-4)


def test_examples_that_do_not_fit_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    long = Example(
        id="x-long",
        agent="dispatch",
        messages=(Message("user", "word " * 100),),
        answer="x",
        source="accepted",
    )
    rows, counts = encode_examples([*examples()[:3], long], ChatTokenizer(base), 64)

    assert (len(rows), counts["too_long"]) == (3, 1)
    with pytest.raises(UsageError, match="longer than the window"):
        fit_adapter([long] * 60, base, SPEC, tmp_path, watch=silent)
    assert not (tmp_path / "adapter").exists()


def test_too_few_examples_are_refused_with_both_numbers(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 3 training examples, the recipe asks for 50"):
        fit_adapter(examples()[:3], base, SPEC, tmp_path, watch=silent)


def test_the_same_data_and_recipe_give_the_same_bytes(base: Path, fitted: Fitted, tmp_path: Path) -> None:
    again = fit_adapter(examples(), base, SPEC, tmp_path, watch=silent)

    name = "adapter_model.safetensors"
    assert (again.folder / name).read_bytes() == (fitted.folder / name).read_bytes()
