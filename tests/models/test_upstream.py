import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cortex_cli.domain.errors import AuthenticationError, UsageError
from cortex_cli.domain.examples import Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.models.transport import Limits
from cortex_cli.models.upstream import find_endpoint, open_upstream
from tests.models.asking import KEY, api, asked, echo, once, upstream
from tests.models.provider import Turn, failed, said, serving


def test_answers_come_in_the_order_of_the_prompts_with_their_tokens() -> None:
    with serving(echo) as provider:
        model = upstream(provider, max_tokens=7, temperature=0.5)
        answers = model([asked(str(number)) for number in range(20)])
        model.close()

    assert [answer.text for answer in answers] == [f"to {number}" for number in range(20)]
    assert {(answer.tokens_in, answer.tokens_out, answer.finish, answer.error) for answer in answers} == {
        (10, 5, "stop", "")
    }
    assert all(answer.seconds > 0 for answer in answers)
    first = provider.asked[0]
    assert (first["model"], first["max_tokens"], first["temperature"]) == ("m", 7, 0.5)
    assert set(provider.paths) == {"/v1/chat/completions"}
    assert provider.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>it works</html>", "the answer cannot be read"),
        (b"\xff\xfe\x00", "the answer cannot be read"),
        (b"[" * 100_000, "the answer cannot be read"),
        (b"{}", "the answer has no choices"),
        (b'{"choices": [{"message": 3}]}', "the answer cannot be read"),
        (b'{"error": {"message": "upstream\\nis down", "code": 502}}', "upstream is down"),
        (b'{"error": "no such model"}', "no such model"),
    ],
)
def test_garbage_with_status_200_is_an_error_with_a_reason(body: bytes, reason: str) -> None:
    answer, _, _ = once([Turn(body)])

    assert (answer.text, answer.finish) == ("", "error")
    assert answer.error.startswith(reason)


def test_a_refusal_and_a_filtered_answer_are_errors_that_say_so() -> None:
    refused, _, _ = once([said("", refusal="I cannot help with that")])
    filtered, _, _ = once([said("half", finish="content_filter")])

    assert refused.error == "refused: I cannot help with that"
    assert filtered.error == "refused: the provider's content filter stopped it"
    assert filtered.text == ""


def test_an_answer_at_the_token_limit_says_so() -> None:
    answer, _, _ = once([said("and then", finish="length")])

    assert (answer.text, answer.finish) == ("and then", "length")


def test_content_in_parts_and_tool_calls_without_text_are_read() -> None:
    parts, _, _ = once([said("", content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])])
    calls, _, _ = once([said("", content=None, tool_calls=[{"id": "c", "function": {"name": "f"}}])])

    assert parts.text == "ab"
    assert calls.text == '[{"id":"c","function":{"name":"f"}}]'


def test_missing_or_strange_usage_counts_as_not_known() -> None:
    answer, _, _ = once([Turn(b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": -4}}')])

    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("x", 0, 0)


def test_a_parameter_that_a_model_does_not_support_is_renamed_or_left_out_once_for_all() -> None:
    def picky(request: dict[str, Any], _number: int) -> Turn:
        if "max_tokens" in request:
            return failed(400, "use max_completion_tokens", param="max_tokens", code="unsupported_parameter")
        if "temperature" in request:
            return failed(400, "only the default (1)", param="temperature", code="unsupported_value")
        return said(str(request["max_completion_tokens"]))

    with serving(picky) as provider:
        model = upstream(provider, Limits(together=1), max_tokens=9, temperature=0.7)
        answers = model([asked("one"), asked("two")])
        model.close()

    assert [answer.text for answer in answers] == ["9", "9"]
    assert len(provider.asked) == 4  # two lessons, two answers


def test_a_parameter_that_is_refused_for_its_value_is_told() -> None:
    answer, _, provider = once([failed(400, "max_tokens is too large", param="max_tokens", code="invalid_value")])

    assert answer.error == "HTTP 400 Bad Request: max_tokens is too large"
    assert len(provider.asked) == 1


def test_the_key_is_in_no_error_even_when_the_server_repeats_it() -> None:
    for turn in (failed(401, f"incorrect key {KEY} provided"), Turn(b'{"error": "bad key ' + KEY.encode() + b'"}')):
        answer, _, _ = once([turn])
        assert KEY not in answer.error
        assert "<key>" in answer.error


def test_a_prompt_that_no_json_can_carry_is_an_error_and_not_a_gap() -> None:
    with serving(echo) as provider:
        model = upstream(provider)
        answers = model([asked("\ud800"), asked("fine")])
        model.close()

    assert [answer.finish for answer in answers] == ["error", "stop"]
    assert "not Unicode" in answers[0].error


def test_earlier_turns_and_tool_calls_are_sent_as_the_format_has_them() -> None:
    prompt = (
        Message("system", "be brief"),
        Message("assistant", "", tool_calls='[{"id": "c1"}]'),
        Message("tool", "42", name="c1"),
        Message("user", "and now?", name="anna"),
        Message("assistant", "x", tool_calls="no json"),
    )
    with serving(echo) as provider:
        model = upstream(provider)
        model.ask(prompt)
        model.close()

    assert provider.asked[0]["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "user", "content": "and now?", "name": "anna"},
        {"role": "assistant", "content": "x"},
    ]


def test_prompts_are_taken_only_when_they_can_be_sent() -> None:
    answered, most = 0, 0
    taken: list[int] = []

    def prompts() -> Iterator[Prompt]:
        for number in range(12):
            taken.append(number)
            yield asked(str(number))

    with serving(echo) as provider:
        model = upstream(provider, Limits(together=3))
        for _number, _answer in model.stream(prompts()):
            most = max(most, len(taken) - answered)
            answered += 1
        model.close()

    assert answered == 12
    assert most <= 3


def test_leaving_the_stream_breaks_off_what_is_under_way() -> None:
    first = threading.Event()

    def one_then_never(_request: dict[str, Any], number: int) -> Turn:
        if number == 0:
            return said("first")
        first.wait(10)
        return said("late")._replace(slow=True)

    with serving(one_then_never) as provider:
        model = upstream(provider, Limits(seconds=30.0, tries=5, together=2))
        stream = model.stream(asked(str(number)) for number in range(4))
        assert next(stream)[1].text == "first"
        first.set()
        stream.close()

    assert len(provider.asked) <= 3


def test_a_provider_is_found_by_name_and_its_key_by_its_variable() -> None:
    found = find_endpoint(api("openai:gpt-5-mini"), {"OPENAI_API_KEY": f" {KEY}\n"})

    assert found == ("https://api.openai.com/v1", "gpt-5-mini", KEY)


def test_names_with_slashes_and_colons_stay_whole() -> None:
    env = {"OPENROUTER_API_KEY": KEY}

    assert find_endpoint(api("openrouter:qwen/qwen3-8b:free"), env).model == "qwen/qwen3-8b:free"
    assert find_endpoint(api("qwen3:8b", "ollama"), {}) == ("http://127.0.0.1:11434/v1", "qwen3:8b", "")
    assert find_endpoint(api("http://gpu:8000/v1#org/model"), {}) == ("http://gpu:8000/v1", "org/model", "")


def test_a_base_url_from_the_environment_moves_a_provider() -> None:
    env = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": KEY}

    assert find_endpoint(api("openai:m"), env).base == "http://127.0.0.1:9/v1"


def test_the_key_of_one_host_is_not_given_to_another() -> None:
    env = {"OPENAI_API_KEY": KEY, "CORTEX_KEY_LLM_EXAMPLE_COM": "theirs"}

    assert find_endpoint(api("https://elsewhere.example/v1#m"), env).key == ""
    assert find_endpoint(api("https://llm.example.com/v1#m"), env).key == "theirs"


def test_a_missing_key_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY, which is not set") as caught:
        open_upstream(api("openai:gpt-5-mini"), {})

    assert caught.value.exit_code == 4
    assert "export OPENAI_API_KEY" in caught.value.hint


def test_a_key_that_would_break_a_header_is_refused_without_showing_it() -> None:
    with pytest.raises(AuthenticationError) as caught:
        find_endpoint(api("openai:m"), {"OPENAI_API_KEY": "sk-1\r\nX-Evil: 1"})

    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "gpt-5-mini",
        "nobody:model",
        "openai:",
        "http://127.0.0.1:8080/v1",
        "http://#m",
        "http://user:secret@host/v1#m",
        "http://host/v1?key=secret#m",
        "http://host:port/v1#m",
        "ftp:model",
    ],
)
def test_a_source_that_names_no_endpoint_is_refused_with_the_forms_that_do(source: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_endpoint(api(source), {"OPENAI_API_KEY": KEY})

    assert caught.value.hint
    assert "secret" not in caught.value.message.removeprefix(f"model 'teacher' has the source '{source}'")
