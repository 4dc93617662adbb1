from cortex_cli.domain.manifests import Adapter, Blob, DatasetVersion, Model, Part
from cortex_cli.evaluate.card import render_card
from cortex_cli.evaluate.gates import Gate, Override
from cortex_cli.evaluate.reports import Gates, report_suite
from tests.evaluate.test_gates import scores

BLOB = Blob("adapter_model.safetensors", "sha256:" + "1" * 64, 3_000_000)
ADAPTER = Adapter(
    id="dispatch-0123456789ab",
    name="dispatch",
    agent="dispatch",
    base="cortex-tiny",
    base_digest="sha256:" + "2" * 64,
    files=(BLOB,),
    dataset="dispatch/v0001",
    dataset_digest="sha256:" + "3" * 64,
    recipe="dispatch",
    recipe_digest="sha256:" + "4" * 64,
    examples=900,
    tokens=12_345,
    steps=70,
    seconds=61.0,
    final_loss=0.25,
    created="2026-01-05T09:00:00Z",
    scores={"dispatch/v0001:test": 0.9},
)
BASE = Model(name="cortex-tiny", kind="embedded", source="starter:cortex-tiny", licence="Apache-2.0")
DATASET = DatasetVersion(
    name="dispatch",
    version="v0001",
    agent="dispatch",
    parts={"train": Part(BLOB.digest, 9, 900)},
    lineage=BLOB,
    origins={"accepted": 500, "demonstration": 400},
    rejected={"too_short": 7},
    digest=ADAPTER.dataset_digest,
)


def test_a_card_names_what_made_the_adapter() -> None:
    card = render_card(ADAPTER, BASE, DATASET, {"r": 32, "target_modules": ["q_proj", "v_proj"]})

    assert card.startswith('---\nbase_model: "starter:cortex-tiny"\nlibrary_name: peft\nlicense: "Apache-2.0"\n')
    for said in ("dispatch/v0001", "| source accepted | 500 |", "| left out: too_short | 7 |", "12,345", "3.0 MB"):
        assert said in card
    assert "`q_proj, v_proj`" in card
    assert "| dispatch/v0001:test | 0.9 |" in card


def test_a_card_says_only_what_was_measured() -> None:
    card = render_card(ADAPTER, BASE, None, {})

    assert "none recorded" in card
    assert not any(word in card.lower() for word in ("carbon", "energy", "watt"))


def test_a_card_of_an_evaluation_shows_scores_intervals_gates_and_who_overrode_one() -> None:
    own, theirs = scores(8, 10, 0.5, 0.95), scores(5, 10, 0.2, 0.8)
    told = Override(gate="latency", by="Ada", because="nobody waits | for it", time="2026-01-06")
    gates = (
        Gate(name="success", outcome="passed", reason="80.0% right"),
        Gate(name="latency", outcome="failed", reason="2.00 times", override=told),
    )
    found = Gates(
        variant="v", agent="dispatch", against="w", suites=(report_suite(own, theirs),), gates=gates, digest="sha256:0"
    )
    card = render_card(ADAPTER, BASE, DATASET, {}, found)

    assert "| `s` | 10 | 80.0% | 50.0% to 95.0% | 50.0% | +30.0%" in card
    assert "## Gates: passed" in card
    assert "`latency` was overridden by Ada on 2026-01-06: nobody waits | for it" in card


def test_a_revoked_adapter_says_so_first() -> None:
    import msgspec

    card = render_card(msgspec.structs.replace(ADAPTER, state="revoked"), BASE, None, {})

    assert "**It is revoked" in card.split("## ")[0]
