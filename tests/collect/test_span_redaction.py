import json
from typing import Any

import pytest

from cortex_cli.collect.formats.otel import decode_items
from cortex_cli.collect.otlp import Event, Fault, Item, Span
from cortex_cli.collect.redact import Redactor
from cortex_cli.collect.span_redaction import redact_items
from tests.collect.spans import CHAT, logs, make_event, make_log, make_span, traces

MAIL = "anna.berg@example.org"
ASKED = [{"role": "user", "parts": [{"type": "text", "content": f"mail {MAIL}"}]}]


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(b"k" * 32)


def items(*values: dict[str, Any]) -> list[Item]:
    return [item for value in values for item in decode_items(value) if not isinstance(item, Fault)]


def test_text_is_masked_wherever_it_stands(redactor: Redactor) -> None:
    told = CHAT | {"gen_ai.input.messages": json.dumps(ASKED), "gen_ai.output.messages": ASKED, "user.id": MAIL}
    event = make_event("gen_ai.content.prompt", {"gen_ai.prompt": MAIL})
    span = make_span(told, events=[event], status={"code": 2, "message": MAIL})
    log = make_log("gen_ai.user.message", {"content": MAIL})
    found = redact_items(redactor, items(traces(span), logs(log)))
    assert MAIL not in repr(found)
    assert repr(found).count("<EMAIL_") == 5
    assert repr(found).count("<ACCOUNT_") == 1


def test_what_joins_spans_is_left_as_it_is(redactor: Redactor) -> None:
    ids = {"gen_ai.response.id": "4111111111111111", "session.id": "+44 20 7946 0958", "gen_ai.request.model": MAIL}
    (span,) = redact_items(redactor, items(traces(make_span(CHAT | ids | {"gen_ai.usage.input_tokens": 7}))))
    assert isinstance(span, Span)
    assert span.attributes == CHAT | ids | {"gen_ai.usage.input_tokens": 7}


def test_json_stays_json_and_masking_again_changes_nothing(redactor: Redactor) -> None:
    told = CHAT | {"gen_ai.input.messages": json.dumps(ASKED)}
    once = redact_items(
        redactor, items(traces(make_span(told)), logs(make_log("gen_ai.choice", {"message": ASKED[0]})))
    )
    assert json.loads(once[0].attributes["gen_ai.input.messages"])[0]["role"] == "user"
    assert isinstance(once[1], Event)
    assert once[1].body["message"]["role"] == "user"
    assert redact_items(redactor, once) == once


def test_with_the_policy_off_nothing_changes() -> None:
    found = items(traces(make_span(CHAT | {"user.id": MAIL, "gen_ai.prompt": MAIL})))
    assert redact_items(Redactor(b"k" * 32, "off"), found) == tuple(found)
