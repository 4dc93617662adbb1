import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.curate.contamination import Suite
from cortex_cli.curate.engine import Curated, Records, curate
from cortex_cli.curate.gathering import Workshop
from cortex_cli.curate.normal import normalise
from cortex_cli.curate.sifting import Redaction
from cortex_cli.curate.sketches import jaccard, shingle
from cortex_cli.curate.spec import Balance, CurateSpec, Duplicates, Pairs, Split
from cortex_cli.curate.versions import SEALED, read_examples, read_sealed, verify_version
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Scale
from cortex_cli.domain.manifests import DatasetVersion
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


def bodies(interactions: list[Interaction]) -> list[tuple[int, bytes]]:
    return [(number, canonical_json(each)) for number, each in enumerate(interactions, 1)]


def run(
    store: ObjectStore,
    interactions: list[Interaction],
    feedback: list[Feedback] | None = None,
    spec: CurateSpec = SPEC,
    key: bytes = KEY,
    shop: Workshop = Workshop(),  # noqa: B008 - a frozen value
) -> Curated:
    start = len(interactions) + 1
    records = Records(bodies(interactions), list(enumerate(feedback or [], start)))
    return curate(records, spec, store=store, key=key, shop=shop)


def read_part(store: ObjectStore, version: DatasetVersion, part: str) -> list[Example]:
    return list(read_sealed(store, version) if part == SEALED else read_examples(store, version, part))


def read_all(store: ObjectStore, version: DatasetVersion) -> list[Example]:
    return [example for part in sorted(version.parts) for example in read_part(store, version, part)]


def examples(store: ObjectStore, curated: Curated) -> list[Example]:
    return read_all(store, curated.version)


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
    assert listed == [example.interaction for example in read_all(store, version)]
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
    pairs, told = bodies(interactions), list(enumerate(feedback, 200))
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
        for example in read_part(store, version, part):
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
    assert listed == [example.interaction for example in read_all(store, shuffled)]


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
        (
            number,
            canonical_json(make(number, messages=(Message("user", request),), output=output or " ", outcome=outcome)),
        )
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


TEXT = " ".join(f"word{number}" for number in range(60))
TALK = (Message("user", "first question"), Message("assistant", "answer 1"), Message("user", "second question"))


def lineage(store: ObjectStore, version: DatasetVersion) -> list[list[str]]:
    return [line.decode().split(" ") for line in store.open_lines(version.lineage.digest)]


def keyed(*numbers: int) -> list[str]:
    return [keyed_id(KEY, f"i-{number}") for number in numbers]


def with_spec(**fields: Any) -> CurateSpec:
    return msgspec.structs.replace(SPEC, **fields)


def test_near_duplicates_are_dropped_for_the_better_one_and_found_in_its_lineage(store: ObjectStore) -> None:
    good = make(1, TEXT + " alpha", TEXT, quality=5.0, quality_scale=Scale(1.0, 5.0))
    copy = make(2, TEXT + " beta", TEXT + " more", quality=4.0, quality_scale=Scale(1.0, 5.0))
    curated = run(store, [copy, good])
    (example,) = examples(store, curated)
    assert example.messages[0].content.endswith("alpha")
    assert example.quality == 1.0
    assert curated.version.rejected == {"near_duplicate": 1}
    assert curated.rejected == {"near_duplicate": ["i-2"]}
    assert lineage(store, curated.version) == [keyed(1, 2)]


def test_near_duplicates_stay_where_they_are_not_asked_for(store: ObjectStore) -> None:
    both = [make(1, TEXT + " alpha", TEXT), make(2, TEXT + " beta", TEXT)]
    assert len(examples(store, run(store, both, spec=with_spec(duplicates=Duplicates(near=False))))) == 2
    assert len(examples(store, run(store, both, spec=with_spec(duplicates=Duplicates(similarity=1.0))))) == 2


def test_a_table_for_two_and_one_for_three_both_stay(store: ObjectStore) -> None:
    request = "please book a table at the italian restaurant around the corner tonight at eight for {} people thank you"
    both = [make(number, request.format(number), f"book(table, people={number})") for number in (2, 3)]
    assert len(examples(store, run(store, both))) == 2


def test_a_conversation_is_collapsed_into_the_longer_one(store: ObjectStore) -> None:
    short = make(1, messages=TALK[:1])
    curated = run(store, [short, make(2, messages=TALK), make(3, messages=TALK[:1], output="other")])
    assert curated.version.rejected == {"prefix_of_longer": 1}
    assert sorted(lineage(store, curated.version)) == sorted([keyed(2, 1), keyed(3)])
    kept = run(store, [short, make(2, messages=TALK)], spec=with_spec(duplicates=Duplicates(prefixes=False)))
    assert kept.version.counts["examples"] == 2


def test_duplicates_of_a_shorter_conversation_lead_to_the_longest(store: ObjectStore) -> None:
    longest = (*TALK, Message("assistant", "answer 3"), Message("user", "third question"))
    turns = [
        make(1, messages=TALK[:1]),
        make(2, messages=TALK[:1], output="answer 1 "),
        make(3, messages=TALK),
        make(4, messages=longest),
    ]
    version = run(store, turns).version
    assert version.rejected == {"duplicate": 1, "prefix_of_longer": 2}
    (line,) = lineage(store, version)
    assert line[0] == keyed(4)[0]
    assert sorted(line[1:]) == sorted(keyed(1, 2, 3))


def test_a_wrong_answer_to_the_same_prompt_makes_a_pair(store: ObjectStore) -> None:
    told = [make(1, "List  files", "ls"), make(2, "list files", "dir", outcome="failure")]
    curated = run(store, told)
    (example,) = examples(store, curated)
    assert (example.answer, example.rejected, example.source) == ("ls", "dir", "accepted")
    assert curated.version.counts["pairs"] == 1
    assert curated.version.counts["pair_rows"] == 0
    assert lineage(store, curated.version) == [keyed(1, 2)]
    assert run(store, told, spec=with_spec(pairs=Pairs(per_prompt=0))).version.counts["pairs"] == 0


def test_further_pairs_are_rows_of_their_own_in_the_same_part(store: ObjectStore) -> None:
    wrong = [make(number, "list", f"wrong {number}", outcome="failure") for number in range(2, 6)]
    curated = run(store, [make(1, "list", "ls"), *wrong], spec=with_spec(pairs=Pairs(per_prompt=3)))
    found = examples(store, curated)
    assert sorted(example.source for example in found) == ["accepted", "pair", "pair"]
    assert {example.answer for example in found} == {"ls"}
    assert len({example.rejected for example in found}) == len({example.id for example in found}) == 3
    assert sum(part.rows > 0 for part in curated.version.parts.values()) == 1
    counts = curated.version.counts
    assert (counts["examples"], counts["pairs"], counts["pair_rows"]) == (1, 3, 2)
    assert counts["read"] == counts["examples"] + sum(curated.version.rejected.values())
    assert curated.version.origins == {"accepted": 1, "pair": 2}
    assert {line[0] for line in lineage(store, curated.version)} == set(keyed(1))
    assert verify_version(store, curated.version) == []


def test_no_domain_has_more_than_its_share(store: ObjectStore) -> None:
    many = [make(number, domain="files" if number % 4 else "mail") for number in range(80)]
    curated = run(store, many, spec=with_spec(balance=Balance(max_share=0.5)))
    domains = Counter(example.domain for example in examples(store, curated))
    assert domains == {"files": 20, "mail": 20}
    assert curated.version.rejected == {"over_represented": 40}
    assert (
        run(store, many[::-1], spec=with_spec(balance=Balance(max_share=0.5))).version.digest == curated.version.digest
    )


def test_what_a_suite_asks_is_not_learned(store: ObjectStore) -> None:
    shop = Workshop(
        suites=(Suite("held", (("request 1", ""), ("request 2", ""))), Suite("other", (("request 3", ""),)))
    )
    curated = run(store, [make(number) for number in range(6)], shop=shop)
    assert curated.version.rejected == {"contaminated_exact": 3}
    assert curated.version.contaminated == {"held": 2, "other": 1}
    assert {example.messages[0].content for example in examples(store, curated)} == {
        "request 0",
        "request 4",
        "request 5",
    }


def test_nothing_of_the_test_part_is_in_another_part(store: ObjectStore) -> None:
    chance = random.Random(4)
    words = [f"w{number}" for number in range(300)]
    texts = [" ".join(chance.choice(words) for _ in range(40)) for _ in range(60)]
    near = [f"{chance.choice(texts)} {chance.choice(words)}" for _ in range(60)]
    version = run(store, [make(number, text, "done") for number, text in enumerate(texts + near)]).version
    sealed, open_ones = (
        [shingle(normalise(f"{each.messages[0].content} {each.answer}")) for each in part]
        for part in (read_sealed(store, version), read_examples(store, version, ""))
    )
    assert sealed
    assert max(jaccard(one, other) for one in sealed for other in open_ones) < 0.8


def test_what_was_tested_once_is_never_trained_on_later(store: ObjectStore) -> None:
    chance = random.Random(9)
    words = [f"w{number}" for number in range(300)]
    texts = [" ".join(chance.choice(words) for _ in range(40)) for _ in range(80)]
    first = [make(number, text, text) for number, text in enumerate(texts)]
    # Better copies of all of them come later and take their places.
    later = [
        make(100 + number, f"{text} {chance.choice(words)}", text, quality=1.0, quality_scale=Scale(0.0, 1.0))
        for number, text in enumerate(texts)
    ]
    before, after = run(store, first).version, run(store, [*first, *later]).version
    tested = {example.answer for example in read_sealed(store, before)}
    assert tested
    assert tested <= {example.answer for example in read_sealed(store, after)}
    assert tested.isdisjoint(example.answer for example in read_examples(store, after, ""))


def test_tasks_stay_together_whatever_their_prompts(store: ObjectStore) -> None:
    told = [make(number, meta={"task_id": f"task-{number % 12}"}) for number in range(120)]
    version = run(store, told).version
    parts: dict[int, set[str]] = {}
    for part in version.parts:
        for example in read_part(store, version, part):
            parts.setdefault(int(example.answer.split()[1]) % 12, set()).add(part)
    assert all(len(found) == 1 for found in parts.values())


def test_a_demonstration_on_an_episode_is_for_its_last_interaction(store: ObjectStore) -> None:
    told = Feedback(id="f", target="e-1", target_kind="episode", kind="demonstration", time="", demonstration="better")
    turns = [make(number, episode="e-1") for number in (1, 2, 3)]
    for order in (turns, turns[::-1]):
        numbered = [(int(each.id[2:]), canonical_json(each)) for each in order]
        curated = curate(Records(numbered, [(9, told)]), SPEC, store=store, key=KEY)
        found = {example.messages[0].content: example.answer for example in examples(store, curated)}
        assert found == {"request 1": "answer 1", "request 2": "answer 2", "request 3": "better"}
        assert curated.version.counts["read"] == 3


def test_feedback_by_an_alias_counts(store: ObjectStore) -> None:
    told = [make(1, aliases=("chatcmpl-1",), outcome="unknown"), make(2, outcome="unknown")]
    curated = run(store, told, [thumbs(1, True, "chatcmpl-1")])
    assert curated.version.rejected == {"unjudged": 1}


def mend(records: Sequence[Interaction | Feedback]) -> list[Interaction | Feedback]:
    return [
        msgspec.structs.replace(record, output=record.output.replace("Anna", "<PERSON_1>"), redaction="standard/2")
        if isinstance(record, Interaction)
        else msgspec.structs.replace(record, demonstration=record.demonstration.replace("Anna", "<PERSON_1>"))
        for record in records
    ]


def test_what_was_not_redacted_as_it_should_be_is_masked_or_left_out(store: ObjectStore) -> None:
    told = [make(1, output="ask Anna"), make(2, redaction="standard/2"), make(3, redaction="strict/2")]
    stamps = ("standard/2", "strict/2")
    left = run(store, told, shop=Workshop(redaction=Redaction(stamps)))
    assert left.version.rejected == {"not_redacted": 1}
    assert left.version.redaction == "standard/2, strict/2"
    masked = run(store, told, shop=Workshop(redaction=Redaction(stamps, lambda: mend, (), "standard/2")))
    assert masked.version.rejected == {}
    assert {example.answer for example in examples(store, masked)} == {"ask <PERSON_1>", "answer 2", "answer 3"}


def test_a_demonstration_of_another_stamp_is_masked_too(store: ObjectStore) -> None:
    told = [make(1, redaction="standard/2")]
    shop = Workshop(redaction=Redaction(("standard/2",), lambda: mend, (), "standard/2"))
    curated = run(store, told, [correct(1, "call Anna", "i-1")], shop=shop)
    assert [example.answer for example in examples(store, curated)] == ["call <PERSON_1>"]


def test_tools_and_calls_stay_with_the_answer_that_made_them(store: ObjectStore) -> None:
    calls = '[{"function":{"arguments":"{}","name":"f"},"id":"1","type":"function"}]'
    (example,) = examples(store, run(store, [make(1, output=calls, calls=calls, tools="[]")]))
    assert (example.calls, example.tools) == (calls, "[]")
    (example,) = examples(store, run(store, [make(1, output=calls, calls=calls)], [correct(1, "no tool", "i-1")]))
    assert (example.answer, example.calls, example.rejected) == ("no tool", "", calls)


def test_what_is_valid_is_counted_apart_from_what_is_kept(store: ObjectStore) -> None:
    told = [make(1), make(2, error="boom"), make(3, outcome="failure"), make(4, meta={"history": "missing"})]
    version = run(store, told).version
    assert (version.counts["read"], version.counts["valid"], version.counts["examples"]) == (4, 2, 1)


def test_a_record_that_cannot_be_read_stops_the_work(store: ObjectStore) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        curate(Records([(1, b'{"id": 5}')], []), SPEC, store=store, key=KEY)
    assert list(store.leftovers()) == []


def test_several_processes_give_what_one_gives(store: ObjectStore) -> None:
    chance = random.Random(2)
    words = [f"w{number}" for number in range(200)]
    texts = [" ".join(chance.choice(words) for _ in range(30)) for _ in range(1500)]
    texts += [f"{chance.choice(texts)} {chance.choice(words)}" for _ in range(1100)]
    told = [make(number, text, text, domain=f"d{number % 3}") for number, text in enumerate(texts)]
    feedback = [correct(number, f"better {number}", f"i-{number}") for number in range(0, 2600, 50)]
    heard: list[tuple[str, int]] = []
    one = run(store, told, feedback)
    two = run(store, told, feedback, shop=Workshop(workers=2, told=lambda what, count: heard.append((what, count))))
    assert two.version == one.version
    assert two.version.rejected["near_duplicate"] > 500
    assert ("read", 2600) in heard
    assert {what for what, _ in heard} == {"read", "compare", "write"}
