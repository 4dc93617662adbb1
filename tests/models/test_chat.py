import json
from pathlib import Path

import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.chat import ChatTokenizer, Dialogue
from cortex_cli.train.tokens import save_tokenizer, train_tokenizer

pytestmark = pytest.mark.model

# Every turn is rendered alike wherever it stands; what is said ends with a token, and a line break follows it.
STEADY = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# As bases with tools do it: tools in front, calls and results as their own texts.
TOOLS = (
    "{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}"
    "{% for m in messages %}{% if m['tool_calls'] %}<|assistant|>{% for c in m['tool_calls'] %}"
    "CALL {{ c['function']['name'] }} {{ c['function']['arguments'] | tojson }}{% endfor %}<|end|>"
    "{% elif m['role'] == 'tool' %}<|user|>RESULT {{ m['content'] }}<|end|>"
    "{% else %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
REFUSES = (
    "{% if messages | length == 1 and messages[0]['role'] == 'system' %}{{ raise_exception('a user is missing') }}{% endif %}"
    + STEADY
)

CALLS = json.dumps([{"id": "c1", "type": "function", "function": {"name": "ring", "arguments": '{"at": 7}'}}])
TOOL_LIST = json.dumps([{"type": "function", "function": {"name": "ring", "parameters": {"type": "object"}}}])


def tokenizer(folder: Path, template: str = "") -> ChatTokenizer:
    save_tokenizer(train_tokenizer(["wake me at seven please"] * 3, 300), folder, context=64)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    if template:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    return ChatTokenizer(folder)


def example(*messages: Message, answer: str = "ok", calls: str = "", tools: str = "") -> Example:
    return Example(
        id="x", agent="a", messages=messages, answer=answer, calls=calls, tools=tools, source="demonstration"
    )


def texts(chat: ChatTokenizer, found: Dialogue) -> list[str]:
    return [chat.decode(found.ids[start:end]) for start, end in found.said]


def dialogue() -> tuple[Message, ...]:
    asked, said = Message("user", "wake me"), Message("assistant", "at seven?")
    return asked, said, Message("user", "please")


def test_every_turn_of_the_assistant_is_learned_with_its_end_and_nothing_after_it(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, STEADY)
    found = chat.encode_dialogue(example(*dialogue(), answer="ok"))

    assert texts(chat, found) == ["at seven?", "ok"]
    assert [found.ids[end - 1] for _, end in found.said] == [chat.end, chat.end]
    assert found.unlearned == 0
    assert len(found.ids) == found.said[-1][1]


def test_the_ids_are_those_that_serving_shows_and_then_the_answer(tmp_path: Path) -> None:
    for template in ("", STEADY):
        chat = tokenizer(tmp_path, template)
        found = chat.encode_dialogue(example(*dialogue()))

        assert list(found.ids) == [*chat.encode_prompt(dialogue()), *chat.encode_answer("ok")]


def test_an_answer_that_repeats_the_question_is_found_all_the_same(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, STEADY)
    found = chat.encode_dialogue(example(Message("user", "please"), Message("assistant", "please"), answer="please"))

    assert texts(chat, found) == ["please", "please"]
    assert found.said[0][0] > chat.encode_prompt([Message("user", "please")]).index(chat.end)


def test_a_turn_that_the_template_shows_otherwise_later_is_not_learned_but_counted(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path)  # the template of the shipped base: the last user turn has no end
    found = chat.encode_dialogue(example(*dialogue()))

    assert texts(chat, found) == ["ok"]
    assert found.unlearned == 1


def test_a_turn_before_which_the_template_refuses_to_stop_is_not_learned(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, REFUSES)
    opening = (Message("system", "be brief"), Message("assistant", "hello"), Message("user", "wake me"))
    found = chat.encode_dialogue(example(*opening))

    assert (texts(chat, found), found.unlearned) == (["ok"], 1)


def test_a_dialogue_that_the_assistant_opens_is_learned_from_its_second_turn(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, STEADY)
    found = chat.encode_dialogue(example(Message("assistant", "hello"), Message("user", "wake me")))

    assert (texts(chat, found), found.unlearned) == (["ok"], 1)


def test_calls_are_rendered_by_a_template_that_knows_tools(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, TOOLS)
    found = chat.encode_dialogue(example(Message("user", "wake me"), answer=CALLS, calls=CALLS, tools=TOOL_LIST))

    assert texts(chat, found) == ['CALL ring {"at": 7}']
    assert '"ring"' in chat.decode(found.ids[: found.said[0][0]])


def test_earlier_calls_and_results_are_part_of_the_dialogue(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, TOOLS)
    before = (
        Message("user", "wake me"),
        Message("assistant", "", tool_calls=CALLS),
        Message("tool", "done", name="ring"),
    )
    found = chat.encode_dialogue(example(*before, answer="ok"))

    assert texts(chat, found) == ['CALL ring {"at": 7}', "ok"]
    assert "RESULT done" in chat.decode(found.ids)


def test_calls_are_told_as_the_shipped_agents_do_where_a_template_knows_no_tools(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, STEADY)
    bare = json.dumps([{"type": "function", "function": {"name": "stop", "arguments": "{}"}}])

    assert texts(chat, chat.encode_dialogue(example(Message("user", "x"), answer=CALLS, calls=CALLS))) == [
        '{"tool": "ring", "arguments": {"at": 7}}'
    ]
    assert texts(chat, chat.encode_dialogue(example(Message("user", "x"), answer="so:", calls=bare))) == [
        'so:\n{"tool": "stop"}'
    ]


def test_a_result_is_told_as_a_request_where_a_template_knows_no_tools(tmp_path: Path) -> None:
    chat = tokenizer(tmp_path, STEADY)
    before = (Message("user", "wake me"), Message("assistant", "", tool_calls=CALLS), Message("tool", "done"))

    assert chat.encode_prompt(before) == chat.encode_prompt(
        (before[0], Message("assistant", '{"tool": "ring", "arguments": {"at": 7}}'), Message("user", "done"))
    )


def test_a_base_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    tokenizer(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["chat_template"]
    path.write_text(json.dumps(config))

    with pytest.raises(UsageError, match="has no chat template"):
        ChatTokenizer(tmp_path)
