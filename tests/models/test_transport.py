import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.models.transport import Caller, Limits, Means
from cortex_cli.models.upstream import Asking, open_upstream
from tests.models.asking import FAST, api, asked, echo, once, upstream
from tests.models.provider import Turn, failed, said, serving


def test_connections_are_kept_and_never_more_than_the_limit_at_once() -> None:
    gate = threading.Barrier(FAST.together, timeout=10)  # nobody is answered before all of them have come

    def together(request: dict[str, Any], number: int) -> Turn:
        gate.wait()
        return echo(request, number)

    with serving(together) as provider:
        model = upstream(provider)
        answers = [*model([asked(str(number)) for number in range(40)]), *model([asked("again")] * 8)]
        model.close()

    assert {answer.error for answer in answers} == {""}
    assert provider.most_together == FAST.together
    assert provider.connections == FAST.together


def test_a_kept_connection_that_the_server_closed_meanwhile_costs_no_try() -> None:
    with serving(lambda _request, number: said("x")._replace(close=number == 0)) as provider:
        model = upstream(provider, Limits(tries=1))
        answers = [model.ask(asked("one")), model.ask(asked("two"))]
        model.close()

    assert [answer.text for answer in answers] == ["x", "x"]
    assert provider.connections == 2


def test_too_many_requests_waits_as_long_as_the_server_asks() -> None:
    answer, pauses, provider = once([failed(429, "slow down", ("Retry-After", "3")), said("fine")])

    assert (answer.text, answer.error) == ("fine", "")
    assert pauses == [3.0]
    assert len(provider.asked) == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (("Retry-After", "Mon, 05 Jan 2026 12:00:09 GMT"), 9.0),
        (("retry-after-ms", "250"), 0.25),
        (("Retry-After", "Mon, 05 Jan 2026 11:00:00 GMT"), 0.0),
        (("Retry-After", "soon"), 0.5),
    ],
)
def test_every_form_of_asking_for_a_pause_is_read(header: tuple[str, str], seconds: float) -> None:
    answer, pauses, _ = once([failed(503, "busy", header), said("fine")])

    assert answer.text == "fine"
    assert pauses == [seconds]


def test_server_errors_are_tried_again_with_growing_pauses_and_then_told() -> None:
    answer, pauses, provider = once([failed(500, "the model is loading")])

    assert answer.finish == "error"
    assert answer.error == "HTTP 500 Internal Server Error (4 tries): the model is loading"
    assert pauses == [0.5, 1.0, 2.0]
    assert len(provider.asked) == 4


def test_pauses_are_spread_by_chance_so_that_callers_do_not_come_back_together() -> None:
    pauses: list[float] = []
    with serving(lambda _request, _number: failed(502, "gone")) as provider:
        means = Means(chance=lambda: 0.5, wait=pauses.append)
        model = open_upstream(api(f"{provider.url}#m"), {}, Asking(limits=FAST, means=means))
        model.ask(asked("hello"))
        model.close()

    assert pauses == [0.375, 0.75, 1.5]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_the_client_did_wrong_is_never_tried_again(status: int) -> None:
    answer, pauses, provider = once([failed(status, "no")])

    assert answer.finish == "error"
    assert answer.error.startswith(f"HTTP {status} ")
    assert answer.error.endswith(": no")
    assert pauses == []
    assert len(provider.asked) == 1


@pytest.mark.parametrize("status", [408, 409, 429])
def test_timeouts_conflicts_and_limits_are_tried_again(status: int) -> None:
    answer, _, provider = once([failed(status, "later"), said("fine")])

    assert answer.text == "fine"
    assert len(provider.asked) == 2


def test_a_quota_that_is_used_up_is_not_waited_for() -> None:
    answer, pauses, _ = once([failed(429, "you exceeded your quota", code="insufficient_quota")])

    assert answer.error == "HTTP 429 Too Many Requests: you exceeded your quota"
    assert pauses == []


def test_a_server_that_asks_for_an_hour_is_not_waited_for() -> None:
    answer, pauses, _ = once([failed(429, "limit", ("Retry-After", "3600"))])

    assert answer.error == "HTTP 429 Too Many Requests; it asks to wait 3,600 s: limit"
    assert pauses == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_torn_answer_is_asked_for_again(chunked: bool) -> None:
    torn = said("half of this is lost")._replace(torn=True, chunked=chunked)
    answer, _, provider = once([torn, said("whole")._replace(chunked=chunked)])

    assert answer.text == "whole"
    assert len(provider.asked) == 2


def test_an_answer_that_stays_torn_is_an_error_and_not_a_short_text() -> None:
    answer, _, _ = once([said("half of this is lost")._replace(torn=True)])

    assert (answer.text, answer.finish) == ("", "error")
    assert "IncompleteRead" in answer.error


def test_a_server_that_hangs_up_without_a_word_is_told() -> None:
    answer, pauses, _ = once([Turn(silent=True)])

    assert answer.finish == "error"
    assert "closed connection without response (4 tries)" in answer.error
    assert len(pauses) == 3


def test_an_answer_that_never_ends_is_given_up_at_the_deadline() -> None:
    answer, _, _ = once([said("slow")._replace(slow=True)], Limits(seconds=0.2, tries=1))

    assert answer.finish == "error"
    assert "did not answer within 0.2 s" in answer.error
    assert answer.seconds < 5


def test_the_deadline_is_for_the_whole_answer_however_it_drips() -> None:
    ticks = iter(range(1000))  # a clock on which every look takes a second
    with serving(lambda _request, _number: said("x" * 200_000)) as provider:
        means = Means(seconds=lambda: float(next(ticks)), wait=lambda _seconds: None)
        model = open_upstream(api(f"{provider.url}#m"), {}, Asking(limits=Limits(seconds=3.0, tries=1), means=means))
        answer = model.ask(asked("hello"))
        model.close()

    assert "did not answer within 3 s" in answer.error


def test_an_answer_larger_than_the_bound_is_not_read() -> None:
    answer, pauses, provider = once([said("x" * 5000)], Limits(size=1000))

    assert "answers with more than 1,000 bytes" in answer.error
    assert (pauses, len(provider.asked)) == ([], 1)


def test_a_redirect_is_not_followed_and_names_where_it_led() -> None:
    answer, _, provider = once([Turn(b"", 307, (("Location", "https://elsewhere.example/v1"),))])

    assert "sends on to 'elsewhere.example', which is not followed" in answer.error
    assert len(provider.asked) == 1


def test_a_server_that_is_not_there_is_an_error_for_every_prompt() -> None:
    with serving(echo) as provider:
        pass
    model = upstream(provider, Limits(tries=2))
    answers = model([asked("one"), asked("two")])

    assert [answer.finish for answer in answers] == ["error", "error"]
    assert all("refused" in answer.error and "(2 tries)" in answer.error for answer in answers)


def test_a_caller_passes_any_body_on_to_any_path_below_its_base() -> None:
    with serving(echo) as provider:
        caller = Caller(provider.url, {"X-Title": "cortex"}, FAST)
        reply = caller.post("/embeddings", b'{"messages": [{"content": "raw"}]}')
        caller.close()

    assert (reply.status, reply.error) == (200, "")
    assert b"to raw" in reply.body
    assert provider.paths == ["/v1/embeddings"]
    assert provider.headers[0]["X-Title"] == "cortex"
    assert provider.headers[0]["Accept-Encoding"] == "identity"


def test_a_closed_caller_tries_nothing_again() -> None:
    with serving(lambda _request, _number: failed(503, "busy")) as provider:
        caller = Caller(provider.url, {}, Limits(tries=5, first=30.0, longest=30.0))
        caller.close()
        reply = caller.post("/chat/completions", b'{"messages": [{"content": "x"}]}')

    assert reply.error == "HTTP 503 Service Unavailable"
    assert len(provider.asked) == 1


def test_a_certificate_that_nobody_vouches_for_is_not_accepted_and_not_tried_again(tmp_path: Path) -> None:
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program to make a certificate")
    subprocess.run([*made, "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    with serving(echo, context) as provider:
        caller = Caller(provider.url.replace("http://", "https://"), {}, FAST)
        reply = caller.post("/chat/completions", b"{}")
        caller.close()

    assert "is not trusted" in reply.error
    assert "tries" not in reply.error
    assert provider.asked == []
