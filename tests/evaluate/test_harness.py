from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from cortex_cli.domain.errors import MissingExtraError
from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.evaluate.harness import cut_at, wrap_model


class Known:
    """Likelihoods by length, so that a test knows them."""

    def score_continuations(self, pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[float, bool]]:
        return [(-float(len(continuation)), len(context) > 3) for context, continuation in pairs]

    def score_texts(self, texts: Sequence[str]) -> Sequence[float]:
        return [-float(len(text)) for text in texts]


def write(prompts: Sequence[Prompt]) -> list[Answer]:
    return [Answer(text=f"{prompt[0].content}!\n\nmore") for prompt in prompts]


@pytest.mark.parametrize(
    ("until", "kept"),
    [(["\n\n"], "a\nb"), ("\n", "a"), ([], "a\nb\n\nc"), (None, "a\nb\n\nc"), (["", "c"], "a\nb\n\n")],
)
def test_an_answer_is_cut_at_the_first_stop(until: object, kept: str) -> None:
    assert cut_at("a\nb\n\nc", {"until": until}) == kept


def test_without_the_package_the_extra_is_named() -> None:
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="'lm-eval' extra"):
            wrap_model(write, Known())
    else:
        pytest.skip("lm-eval is installed")


def test_requests_of_the_harness_are_answered_by_our_model() -> None:
    pytest.importorskip("lm_eval", reason="the extra 'lm-eval' is not installed")
    model = wrap_model(write, Known())
    asked = [SimpleNamespace(args=("long context", " yes")), SimpleNamespace(args=("c", " no"))]

    assert model.loglikelihood(asked) == [(-4.0, True), (-3.0, False)]
    assert model.loglikelihood_rolling([SimpleNamespace(args=("text",))]) == [-4.0]
    assert model.generate_until([SimpleNamespace(args=("q", {"until": ["\n\n"]}))]) == ["q!"]
