from pathlib import Path

import pytest

from cortex_cli.collect.redact import current_stamp
from cortex_cli.domain.interactions import Feedback, Interaction, Message
from cortex_cli.pipeline.mending import make_mender, open_redaction
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.workspace import Workspace, open_key


@pytest.fixture
def place(tmp_path: Path) -> Place:
    start_workspace(tmp_path / "work", name="work")
    return open_place(Workspace(tmp_path / "work"))


def test_what_a_stricter_policy_masked_is_masked_enough(place: Place) -> None:
    assert open_redaction(place, "standard").stamps == (current_stamp("standard"), current_stamp("strict"))
    assert open_redaction(place, "strict").stamps == (current_stamp("strict"),)


def test_a_workspace_that_masks_nothing_asks_for_no_stamp_and_makes_no_key(place: Place) -> None:
    redaction = open_redaction(place, "off")
    assert (redaction.stamps, redaction.make) == ((), None)
    assert not place.workspace.key_path.exists()


def test_records_and_judgements_are_masked_under_the_key_of_the_workspace(place: Place) -> None:
    told = Interaction(
        id="i-1", agent="shell", time="", messages=(Message("user", "ask bob@example.org"),), output="ok"
    )
    better = Feedback(id="f-1", target="i-1", kind="demonstration", time="", demonstration="ask bob@example.org")
    redaction = open_redaction(place, "standard")
    assert redaction.arguments == (open_key(place.workspace), "standard")
    first, second = make_mender(open_key(place.workspace), "standard")([told, better])
    assert isinstance(first, Interaction)
    assert isinstance(second, Feedback)
    assert first.messages[0].content == second.demonstration
    assert "bob" not in second.demonstration
    assert first.redaction == second.redaction == redaction.stamp
