import pytest
import torch

from cortex_cli.domain.examples import Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.models import scoring
from cortex_cli.models.generation import LocalModel, load_model
from cortex_cli.models.scoring import mean_scores, score_answers
from tests.models.tiny import make_base

pytestmark = pytest.mark.model

REQUESTS = [
    "set a timer",
    "wake me up at seven in the morning please",
    "play",
    "what is the weather like in rome today",
]
ANSWERS = ['{"tool": "set_timer"}', '{"tool": "set_alarm"}', "", "it is sunny and warm, as it has been all week"]


def ask(request: str) -> Prompt:
    return (Message("user", request),)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return load_model(make_base(tmp_path_factory.mktemp("tiny"), [*REQUESTS, *ANSWERS]))


@torch.inference_mode()
def walk(model: LocalModel, prompt: Prompt, answer: str) -> float:
    """The same score the slow way: one token after another, nothing padded, nothing cached."""
    ids = model.tokenizer.encode_prompt(prompt)
    total = 0.0
    for token in model.tokenizer.encode_answer(answer):
        logits = model.network(input_ids=torch.tensor([ids])).logits[0, -1]
        total += float(logits.log_softmax(-1)[token])
        ids = [*ids, token]
    return total


def test_a_score_is_the_sum_over_the_answers_tokens(model: LocalModel) -> None:
    prompts = [ask(request) for request in REQUESTS]
    wanted = [walk(model, prompt, answer) for prompt, answer in zip(prompts, ANSWERS, strict=True)]

    assert score_answers(model, prompts, ANSWERS) == pytest.approx(wanted, abs=1e-3)


def test_a_score_does_not_depend_on_its_batch(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [ask(request) for request in REQUESTS]
    alone = [score_answers(model, [prompt], [answer])[0] for prompt, answer in zip(prompts, ANSWERS, strict=True)]
    whole = score_answers(model, prompts, ANSWERS)
    model.batch, before = 3, model.batch
    parted = score_answers(model, prompts, ANSWERS)
    model.batch = before
    monkeypatch.setattr(scoring, "_BATCH_TOKENS", 1)
    single = score_answers(model, prompts, ANSWERS)

    assert whole == pytest.approx(alone, abs=1e-3)
    assert single == pytest.approx(alone, abs=1e-3)
    assert parted == pytest.approx(alone, abs=1e-3)


def test_scores_come_in_the_order_of_the_pairs(model: LocalModel) -> None:
    forward = score_answers(model, [ask(REQUESTS[0])] * 4, ANSWERS)
    backward = score_answers(model, [ask(REQUESTS[0])] * 4, ANSWERS[::-1])

    assert forward == pytest.approx(backward[::-1], abs=1e-3)
    assert len({round(score, 3) for score in forward}) == 4


def test_an_empty_answer_scores_its_end_token_alone(model: LocalModel) -> None:
    with torch.inference_mode():
        ids = torch.tensor([model.tokenizer.encode_prompt(ask("play"))])
        wanted = float(model.network(input_ids=ids).logits[0, -1].log_softmax(-1)[model.tokenizer.end])

    assert score_answers(model, [ask("play")], [""]) == pytest.approx([wanted], abs=1e-3)


def test_the_mean_is_per_token_with_the_end_token_counted(model: LocalModel) -> None:
    prompts = [ask(request) for request in REQUESTS]
    lengths = [len(model.tokenizer.encode_answer(answer)) for answer in ANSWERS]
    totals = score_answers(model, prompts, ANSWERS)

    assert mean_scores(model, prompts, ANSWERS) == pytest.approx(
        [total / length for total, length in zip(totals, lengths, strict=True)]
    )


def test_no_pairs_have_no_scores(model: LocalModel) -> None:
    assert score_answers(model, [], []) == []


def test_a_prompt_without_an_answer_is_refused(model: LocalModel) -> None:
    with pytest.raises(ValueError, match="zip"):
        score_answers(model, [ask("play")], [])


def test_scoring_leaves_no_gradients(model: LocalModel) -> None:
    score_answers(model, [ask("play")], ["x"])

    assert all(parameter.grad is None for parameter in model.network.parameters())
