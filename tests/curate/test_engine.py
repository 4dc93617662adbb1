import random
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.curate.engine import Curated, Records, curate
from cortex_cli.curate.spec import CurateSpec, Split
from cortex_cli.curate.versions import read_examples, verify_version
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction, Message
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import keyed_id

KEY = b"k" * 32
SPEC = CurateSpec(agent="shell", dataset="shell")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def make(number: int, request: str = "", output: str = "", **fields: Any) -> Interaction:
    return Interaction(
        **{
            "id": f"i-{number}",
            "agent": "shell",
            "time": f"2026-01-02T03:04:{number % 60:02}Z",
            "messages": (Message("user", request or f"request {number}"),),
            "output": output or f"answer {number}",
            "outcome": "success",
            **fields,
        }
    )


def thumbs(number: int, told: bool, target: str) -> Feedback:
    return Feedback(id=f"f-{number}", target=target, kind="boolean", time="", thumbs=told, name=str(number))


def correct(number: int, text: str, target: str) -> Feedback:
    return Feedback(id=f"f-{number}", target=target, kind="demonstration", time="", demonstration=text)


def run(
    store: ObjectStore,
    interactions: list[Interaction],
    feedback: list[Feedback] | None = None,
    spec: CurateSpec = SPEC,
    key: bytes = KEY,
) -> Curated:
    start = len(interactions) + 1
    records = Records(list(enumerate(interactions, 1)), list(enumerate(feedback or [], start)))
    return curate(records, spec, store=store, key=key)


def examples(store: ObjectStore, curated: Curated) -> list[Example]:
    return list(read_examples(store, curated.version, ""))


def test_every_interaction_is_an_example_or_has_a_reason(store: ObjectStore) -> None:
    curated = run(
        store,
        [
            make(1),
            make(2, error="boom"),
            make(3, outcome="failure"),
            make(4, outcome="unknown"),
            make(5, messages=()),
            make(6, request="x" * 30_000),
            make(7, agent="dispatch"),
            make(8, "request 1", "answer 1"),
            make(9),
        ],
        [thumbs(1, True, "i-9"), thumbs(2, False, "i-9")],
    )
    assert curated.version.rejected == {
        "duplicate": 1,
        "error": 1,
        "judges_disagree": 1,
        "no_prompt": 1,
        "other_agent": 1,
        "outcome_failure": 1,
        "too_long": 1,
        "unjudged": 1,
    }
    counts = curated.version.counts
    assert counts["read"] == 9 == counts["examples"] + sum(curated.version.rejected.values())
    assert counts["feedback"] == 2
    assert curated.version.journal == (1, 11)
    assert curated.rejected["error"] == ["i-2"]


def test_an_example_has_the_prompt_the_answer_and_where_it_came_from(store: ObjectStore) -> None:
    (example,) = examples(store, run(store, [make(1, domain="files")], [correct(1, "better", "i-1")]))
    assert example.messages == (Message("user", "request 1"),)
    assert (example.answer, example.rejected, example.source) == ("better", "answer 1", "correction")
    assert (example.agent, example.domain, example.time) == ("shell", "files", "2026-01-02T03:04:01Z")
    assert example.interaction == keyed_id(KEY, "i-1")


def test_the_version_counts_origins_pairs_and_replayed(store: ObjectStore) -> None:
    interactions = [make(1), make(2), make(3, replayed=True)]
    version = run(store, interactions, [correct(1, "better", "i-1")]).version
    assert version.origins == {"accepted": 2, "correction": 1}
    assert (version.counts["pairs"], version.counts["replayed"]) == (1, 1)


def test_the_manifest_holds_no_text_and_no_plain_id(store: ObjectStore) -> None:
    version = run(store, [make(1, "my secret request", "my secret answer")], [correct(1, "secret", "i-1")]).version
    text = canonical_json(version).decode()
    assert "secret" not in text
    assert "i-1" not in text


def test_lineage_lists_one_keyed_id_per_example_in_the_order_of_the_parts(store: ObjectStore) -> None:
    version = run(store, [make(number) for number in range(50)]).version
    listed = [line.decode() for line in store.open_lines(version.lineage.digest)]
    assert listed == [example.interaction for example in read_examples(store, version, "")]
    assert len(listed) == 50
    assert verify_version(store, version) == []


def test_parts_are_canonical_lines_sorted_by_id(store: ObjectStore) -> None:
    version = run(store, [make(number) for number in range(50)]).version
    for part in version.parts.values():
        lines = list(store.open_lines(part.digest))
        found = [msgspec.json.decode(line, type=Example) for line in lines]
        assert [canonical_json(example) for example in found] == lines
        assert [example.id for example in found] == sorted(example.id for example in found)
        assert len(lines) == part.rows


def test_the_order_of_reading_does_not_matter(store: ObjectStore) -> None:
    interactions = [make(number, f"request {number % 30}", f"answer {number % 40}") for number in range(120)]
    feedback = [correct(number, "better", f"i-{number}") for number in range(0, 120, 7)]
    pairs, told = list(enumerate(interactions, 1)), list(enumerate(feedback, 200))
    digests = set()
    for seed in range(5):
        random.Random(seed).shuffle(pairs)
        random.Random(seed).shuffle(told)
        digests.add(curate(Records(pairs, told), SPEC, store=store, key=KEY).version.digest)
    assert len(digests) == 1


def test_the_digest_is_the_same_on_any_machine(store: ObjectStore) -> None:
    version = run(store, [make(number) for number in range(30)]).version
    assert version.digest == "sha256:2282409720643945fc2a8d8e2dccde874b53d740c628d3b096df40b4b7b88903"


def test_another_key_salt_or_range_is_another_version(store: ObjectStore) -> None:
    interactions = [make(number) for number in range(30)]
    digests = {
        run(store, interactions).version.digest,
        run(store, interactions[:-1]).version.digest,
        run(store, interactions, key=b"l" * 32).version.digest,
        run(store, interactions, spec=msgspec.structs.replace(SPEC, salt="other")).version.digest,
    }
    assert len(digests) == 4


def test_the_same_request_never_stands_on_both_sides_of_the_split(store: ObjectStore) -> None:
    interactions = [
        make(number, f"Request  {number % 40}".upper() if number % 2 else f"request {number % 40}")
        for number in range(400)
    ]
    version = run(store, interactions).version
    sides: dict[str, set[str]] = {}
    for part in version.parts:
        for example in read_examples(store, version, part):
            sides.setdefault(" ".join(example.messages[0].content.lower().split()), set()).add(part)
    assert all(len(parts) == 1 for parts in sides.values())
    assert set().union(*sides.values()) == {"train", "valid", "test"}


def test_the_dataset_is_called_like_its_agent_unless_named(store: ObjectStore) -> None:
    assert run(store, []).version.name == "shell"
    assert run(store, [], spec=CurateSpec(agent="shell")).version.name == "shell"
    assert run(store, [], spec=CurateSpec(agent="shell", dataset="judged")).version.name == "judged"


def test_a_part_without_a_share_does_not_exist(store: ObjectStore) -> None:
    spec = msgspec.structs.replace(SPEC, split=Split(0.8, 0.2, 0.0))
    assert list(run(store, [make(number) for number in range(20)], spec=spec).version.parts) == ["train", "valid"]


def test_the_order_of_the_lineage_survives_a_manifest_that_sorts_its_keys(store: ObjectStore) -> None:
    version = run(store, [make(number) for number in range(50)]).version
    shuffled = msgspec.structs.replace(version, parts=dict(sorted(version.parts.items(), reverse=True)))
    listed = [line.decode() for line in store.open_lines(version.lineage.digest)]
    assert listed == [example.interaction for example in read_examples(store, shuffled, "")]


def test_of_duplicates_the_correction_survives_and_then_the_oldest(store: ObjectStore) -> None:
    same = [make(3, "list", "ls"), make(1, "LIST", "ls "), make(2, "list", "dir")]
    curated = run(store, same, [correct(1, "ls", "i-2")])
    (example,) = examples(store, curated)
    assert (example.source, example.rejected) == ("correction", "dir")
    (example,) = examples(store, run(store, same[:2]))
    assert example.time == "2026-01-02T03:04:01Z"


def test_a_limit_keeps_the_same_examples_in_any_order(store: ObjectStore) -> None:
    spec = msgspec.structs.replace(SPEC, limit=10)
    interactions = [make(number) for number in range(40)]
    first = run(store, interactions, spec=spec)
    second = run(store, interactions[::-1], spec=spec)
    assert first.version.digest == second.version.digest
    assert first.version.counts["examples"] == 10
    assert first.version.rejected == {"over_limit": 30}


def test_nothing_to_learn_is_an_empty_version_not_an_error(store: ObjectStore) -> None:
    version = run(store, []).version
    assert [part.rows for part in version.parts.values()] == [0, 0, 0]
    assert version.journal == (0, 0)
    assert verify_version(store, version) == []


words = st.sampled_from(["ls", "LS", " ls", "dir", "", "x y"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(words, words, st.sampled_from(["success", "failure", "unknown", "error"])), max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_counts_add_up_and_order_never_matters(
    values: list[tuple[str, str, Any]], told: list[tuple[int, bool]], chance: random.Random
) -> None:
    interactions = [
        (number, make(number, messages=(Message("user", request),), output=output or " ", outcome=outcome))
        for number, (request, output, outcome) in enumerate(values, 1)
    ]
    feedback = [(100 + number, thumbs(number, up, f"i-{target}")) for number, (target, up) in enumerate(told)]
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(Path(folder))
        first = curate(Records(interactions, feedback), SPEC, store=store, key=KEY).version
        chance.shuffle(interactions)
        chance.shuffle(feedback)
        second = curate(Records(interactions, feedback), SPEC, store=store, key=KEY).version
        assert verify_version(store, first) == []
    assert first == second
    assert first.counts["read"] == first.counts["examples"] + sum(first.rejected.values()) == len(values)
