from pathlib import Path

import msgspec
import pytest
import torch

from cortex_cli.models.bases import digest_folder, load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.train.loop import Progress
from cortex_cli.train.pretrain import Base, fit_base
from cortex_cli.train.spec import PretrainSpec

pytestmark = pytest.mark.model


class Killed(BaseException):
    """Stands for a signal that arrives between two steps."""


def silent(_progress: Progress) -> None:
    pass


@pytest.fixture(scope="module")
def base(packs: Path, miniature: PretrainSpec, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return fit_base(miniature, packs, tmp_path_factory.mktemp("run"), watch=silent)


def test_a_miniature_of_the_shipped_recipe_trains_end_to_end(base: Base) -> None:
    assert base.result.steps > 10
    # A uniform guess over 400 tokens costs 5.99 nats; documents never seen must cost clearly less.
    assert base.held_out_loss < 4.5
    assert base.bits_per_byte > 0
    assert {path.name for path in base.folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}


def test_the_base_is_stored_in_two_bytes_per_parameter(base: Base) -> None:
    size = (base.folder / "model.safetensors").stat().st_size

    assert base.parameters < 200_000
    assert size < 2 * base.parameters + 10_000


def test_the_base_loads_and_measures_as_it_did_when_it_was_made(base: Base, packs: Path) -> None:
    network = load_network(base.folder)
    tokenizer = ChatTokenizer(base.folder)
    line = torch.tensor([tokenizer.encode('<|user|>fly me to rome<|assistant|>{"tool": "book_flight"}<|end|>')])

    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(network(line).logits[0, :-1], line[0, 1:]).item()

    assert loss < 4.5


def test_the_tokenizer_writes_back_what_it_read(base: Base) -> None:
    tokenizer = ChatTokenizer(base.folder)

    for text in ("plain text", "ls -la | grep 'x y'", "naïve café 漢字 \n\ttab", '{"tool": "book_flight"}', ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_frame_of_a_tool_call_costs_two_tokens(base: Base) -> None:
    tokenizer = ChatTokenizer(base.folder)

    name = tokenizer.encode("book_flight")
    call = tokenizer.encode('{"tool": "book_flight"}')

    assert len(call) == len(name) + 2
    assert tokenizer.encode_answer("x")[-1] == tokenizer.end


def test_a_killed_base_goes_on_to_the_same_bytes(
    base: Base, packs: Path, miniature: PretrainSpec, tmp_path: Path
) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 15:
            raise Killed

    with pytest.raises(Killed):
        fit_base(miniature, packs, tmp_path, watch=kill)
    again = fit_base(miniature, packs, tmp_path, watch=silent)

    assert digest_folder(again.folder) == digest_folder(base.folder)


def test_another_seed_makes_another_base(packs: Path, miniature: PretrainSpec, tmp_path: Path, base: Base) -> None:
    loop = msgspec.structs.replace(miniature.loop, seed=1)
    other = fit_base(msgspec.structs.replace(miniature, loop=loop), packs, tmp_path, watch=silent)

    assert digest_folder(other.folder) != digest_folder(base.folder)
