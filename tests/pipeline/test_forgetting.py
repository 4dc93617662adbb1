import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType

import msgspec
import pytest

from cortex_cli.collect.redact import Redactor
from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.pipeline.forgetting import (
    Forgotten,
    Selectors,
    apply_retention,
    find_unfinished,
    forget,
    plan_forgetting,
    resume_forgetting,
)
from cortex_cli.registry.actions import promote, rollback
from cortex_cli.registry.fsck import check
from cortex_cli.registry.gc import plan_gc, undo_gc
from cortex_cli.registry.history import read_log
from cortex_cli.store.journal import Record
from cortex_cli.store.settings import Settings
from tests.pipeline.memories import (
    Memory,
    copy_memory,
    find_bytes,
    leave_traces,
    make_version,
    names_of,
    open_memory,
    said,
    secret,
    talk,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    return open_memory(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def memory(made: Memory, tmp_path: Path) -> Memory:
    return copy_memory(made, tmp_path / "workspace")


def root(memory: Memory) -> Path:
    return memory.place.workspace.root


def test_no_byte_of_what_was_forgotten_is_left_anywhere(memory: Memory) -> None:
    leave_traces(memory)
    gone = memory.records[4]
    assert len(find_bytes(root(memory), list(names_of(gone)))) > 8
    forget(memory.place, Selectors(interaction=gone.id), reason="asked for")
    assert find_bytes(root(memory), list(names_of(gone))) == []
    others = [text for record in memory.records if record.id != gone.id for text in names_of(record)]
    assert {line.split(": ")[1] for line in find_bytes(root(memory), others)} == set(others)


def test_forgetting_is_told_in_counts_and_names_of_what_learned(memory: Memory) -> None:
    leave_traces(memory)
    done = forget(memory.place, Selectors(interaction=memory.records[2].aliases[0]))
    assert (done.interactions, done.carriers, done.feedback) == (1, 0, 1)
    assert (done.datasets, done.adapters) == (("dispatch/v0001",), (memory.adapter.id,))
    assert done.runs == 1
    assert done.files == 2
    assert done.sources == {"week.jsonl": 1}
    assert done.rebuild == ("cortex curate dispatch", "cortex train dispatch")
    assert [(each.role, each.variant) for each in done.served] == [("champion", memory.tuned.id)]


def test_one_commit_marks_all_that_descends(memory: Memory) -> None:
    before = memory.place.registry.git.head()
    done = forget(memory.place, Selectors(interaction=memory.records[0].id), reason="by law")
    event = next(read_log(memory.place.registry))
    assert (event.commit, event.action, event.target) == (done.commit, "forget", "dispatch")
    assert event.subject == "forget(dispatch): revoked 1 dataset version, 1 adapter"
    assert event.reason == "by law"
    assert event.run_id.startswith("forget-")
    assert memory.place.registry.git.run("rev-parse", "HEAD^").decode().strip() == before
    with memory.place.registry.snapshot() as snapshot:
        assert [each.state for each in snapshot.datasets("dispatch")] == ["revoked", "live"]
        assert snapshot.dataset("dispatch", "v0001").reason == "by law"
        assert snapshot.adapter(memory.adapter.id).state == "revoked"


def test_without_descendants_there_is_no_commit(memory: Memory) -> None:
    with memory.journal() as journal:
        journal.append([talk(77)])
    done = forget(memory.place, Selectors(interaction=talk(77).id))
    assert (done.interactions, done.commit, done.datasets) == (1, "", ())
    assert find_bytes(root(memory), [secret(77)]) == []


def test_a_dry_run_says_the_same_and_changes_nothing(memory: Memory) -> None:
    selectors = Selectors(interaction=memory.records[4].id)
    planned = plan_forgetting(memory.place, selectors)
    with memory.journal() as journal:
        assert journal.find(memory.records[4].id) is not None
    done = forget(memory.place, selectors)
    assert planned.dry_run
    for field in ("interactions", "carriers", "feedback", "datasets", "adapters", "objects", "rebuild", "sources"):
        assert getattr(planned, field) == getattr(done, field), field


def test_collecting_the_same_again_brings_nothing_back(memory: Memory) -> None:
    forget(memory.place, Selectors(interaction=memory.records[4].id))
    with memory.journal() as journal:
        told: list[Record] = [
            *memory.records,
            *(said(number, memory.records[number].aliases[0]) for number in range(12)),
        ]
        again = journal.append(told)
        assert (again.new, again.known, again.forgotten) == (0, 22, 2)
    assert find_bytes(root(memory), list(names_of(memory.records[4]))) == []


def test_selectors_must_hold_together(memory: Memory) -> None:
    with memory.journal() as journal:
        journal.append([talk(50, user="anna"), talk(51, user="anna", agent="other"), talk(52, user="ben")])
    assert forget(memory.place, Selectors(user="anna", agent="other")).interactions == 1
    with memory.journal() as journal:
        assert journal.known([talk(50).id, talk(51).id, talk(52).id]) == {talk(50).id, talk(52).id}


def test_a_user_is_found_under_the_placeholder_that_collecting_gave(memory: Memory) -> None:
    bare = Interaction(id="i-0", agent="a", time="", messages=(), user="anna@example.org")
    user = getattr(Redactor(memory.key).redact_record(bare), "user", "")
    masked = talk(60, user=user)
    with memory.journal() as journal:
        journal.append([masked])
        kept = journal.find(talk(60).id)
    assert kept is not None
    assert kept.user.startswith("<")
    assert forget(memory.place, Selectors(user="anna@example.org")).interactions == 1


def test_later_turns_that_repeat_the_text_go_too_and_are_counted_apart(memory: Memory) -> None:
    first = talk(70, episode="chat")
    history = (*first.messages, Message("assistant", first.output))
    later, apart = talk(71, history, episode="chat"), talk(72, episode="chat")
    with memory.journal() as journal:
        journal.append([first, later, apart])
    done = forget(memory.place, Selectors(interaction=first.id))
    assert (done.interactions, done.carriers) == (1, 1)
    assert find_bytes(root(memory), [secret(70), first.id, later.id]) == []
    with memory.journal() as journal:
        assert journal.find(apart.id) == apart
        longer = talk(73, (*history, *later.messages[-1:]), episode="chat")
        assert journal.append([longer]).forgotten == 1


def test_an_episode_goes_as_a_whole_with_what_was_said_of_it(memory: Memory) -> None:
    turns = [talk(number, episode="trip") for number in (80, 81)]
    with memory.journal() as journal:
        journal.append([*turns, said(80, "trip", target_kind="episode")])
    done = forget(memory.place, Selectors(episode="trip"))
    assert (done.interactions, done.carriers, done.feedback) == (2, 0, 1)
    with memory.journal() as journal:
        assert journal.append([talk(82, episode="trip"), said(83, "trip")]).forgotten == 2


def test_what_is_selected_by_age_leaves_younger_turns_and_names_them(memory: Memory) -> None:
    old = talk(90, episode="long", time="2026-01-01T00:00:00Z")
    young = talk(91, (*old.messages, Message("assistant", old.output)), episode="long")
    with memory.journal() as journal:
        journal.append([old, young])
    done = forget(memory.place, Selectors(before="2026-02-01T00:00:00Z"))
    assert (done.interactions, done.carriers, done.kept_carriers) == (1, 0, (young.id,))


def test_a_part_that_two_versions_share_is_content_of_both(memory: Memory) -> None:
    even, odd = [[record] for record in memory.records[::2]], [[record] for record in memory.records[1::2]]
    make_version(memory.place, {"test": even[:1], "train": odd[1:]}, "v0003")
    done = forget(memory.place, Selectors(interaction=memory.records[0].id))
    assert done.datasets == ("dispatch/v0001", "dispatch/v0003")
    version = memory.versions[1]
    assert memory.place.objects.has(version.parts["train"].digest)
    assert all(memory.place.objects.has(part.digest) for part in version.parts.values())


def test_a_duplicate_that_was_merged_away_descends_too(memory: Memory) -> None:
    twin = talk(95)
    with memory.journal() as journal:
        journal.append([twin])
    make_version(memory.place, {"train": [[memory.records[3], twin]]}, "v0003")
    done = forget(memory.place, Selectors(interaction=twin.id))
    assert done.datasets == ("dispatch/v0003",)


def test_a_version_whose_lineage_is_lost_is_found_by_its_parts(memory: Memory) -> None:
    memory.place.objects.delete(memory.versions[0].lineage.digest)
    assert forget(memory.place, Selectors(interaction=memory.records[0].id)).datasets == ("dispatch/v0001",)


def test_nothing_named_and_nothing_found_change_nothing(memory: Memory) -> None:
    head = memory.place.registry.git.head()
    with pytest.raises(UsageError, match="nothing was named"):
        forget(memory.place, Selectors())
    with pytest.raises(UsageError, match="no interaction 'i-none'"):
        forget(memory.place, Selectors(interaction="i-none"))
    assert forget(memory.place, Selectors(user="nobody")) == Forgotten()
    assert memory.place.registry.git.head() == head
    assert find_unfinished(memory.place) == ""


def test_forgetting_twice_is_forgetting_once(memory: Memory) -> None:
    forget(memory.place, Selectors(interaction=memory.records[0].id))
    assert forget(memory.place, Selectors(interaction=memory.records[0].id)) == Forgotten()
    assert forget(memory.place, Selectors(interaction=memory.records[0].aliases[0])) == Forgotten()


def test_a_reason_that_would_forge_an_account_is_refused_before_anything_goes(memory: Memory) -> None:
    with pytest.raises(UsageError, match="one printable line"):
        forget(memory.place, Selectors(interaction=memory.records[0].id), reason="a\nCortex-Actor: b")
    with memory.journal() as journal:
        assert journal.find(memory.records[0].id) is not None


def test_a_change_by_hand_is_found_before_anything_goes(memory: Memory) -> None:
    path = root(memory) / "datasets" / "dispatch" / "v0001.toml"
    path.write_text(path.read_text() + "\n# mine\n")
    with pytest.raises(ConflictError):
        forget(memory.place, Selectors(interaction=memory.records[0].id))
    assert find_unfinished(memory.place) == ""
    with memory.journal() as journal:
        assert journal.find(memory.records[0].id) is not None


def test_what_was_revoked_leaves_the_registry_sound(memory: Memory) -> None:
    leave_traces(memory)
    forget(memory.place, Selectors(interaction=memory.records[0].id))
    errors = [each for each in check(memory.place.registry, memory.place.objects) if each.severity == "error"]
    assert errors == []
    plan_gc(memory.place.registry, memory.place.objects)
    undo_gc(memory.place.registry, memory.place.objects)
    assert find_bytes(root(memory), [secret(0)]) == []


def test_a_variant_with_a_revoked_adapter_is_not_promoted_or_gone_back_to(memory: Memory) -> None:
    forget(memory.place, Selectors(interaction=memory.records[0].id))
    rollback(memory.place.registry, "dispatch", objects=memory.place.objects)
    with pytest.raises(ConflictError, match="revoked"):
        promote(memory.place.registry, "dispatch", memory.tuned.id)
    with pytest.raises(ConflictError, match="revoked"):
        rollback(memory.place.registry, "dispatch", to=memory.tuned.id, objects=memory.place.objects)


def forget_and_die(memory: Memory, step: str, name: str) -> None:
    """Forget the interaction *name* in a child that dies, as by a power cut, when it enters the function *step*."""
    child = os.fork()
    if child == 0:
        sys.setprofile(lambda frame, _event, _: die_in(step, frame))
        forget(memory.place, Selectors(interaction=name))
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def die_in(step: str, frame: FrameType) -> None:
    if frame.f_code.co_name == step:
        os.kill(os.getpid(), signal.SIGKILL)


STEPS = ("revoke", "write_pending", "delete", "sweep_objects", "scrub_runs", "erase_rows", "scrub_file", "_drop")


@pytest.mark.kill
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_is_completed_by_the_same_command(memory: Memory, step: str) -> None:
    leave_traces(memory)
    gone = memory.records[4]
    forget_and_die(memory, step, gone.id)
    assert find_unfinished(memory.place) == "2026-06-01T12:00:00Z"
    forget(memory.place, Selectors(interaction=gone.id))
    assert find_unfinished(memory.place) == ""
    assert find_bytes(root(memory), list(names_of(gone))) == []
    assert sum(event.action == "forget" for event in read_log(memory.place.registry)) == 1


@pytest.mark.kill
def test_an_unfinished_one_is_completed_with_what_has_come_since(memory: Memory) -> None:
    gone = memory.records[4]
    forget_and_die(memory, "scrub_runs", gone.id)
    make_version(memory.place, {"train": [[gone]]}, "v0003")
    done = resume_forgetting(memory.place)
    assert done is not None
    assert done.datasets == ("dispatch/v0001", "dispatch/v0003")
    assert find_bytes(root(memory), list(names_of(gone))) == []
    assert resume_forgetting(memory.place) is None


def test_an_intent_of_another_program_is_not_carried_out(memory: Memory) -> None:
    (memory.private / "forgetting.json").write_text('{"run": 3}')
    with pytest.raises(UsageError, match="not an intent"):
        find_unfinished(memory.place)


def test_retention_forgets_by_agent_and_leaves_the_rest(memory: Memory) -> None:
    with memory.journal() as journal:
        journal.append([talk(100, agent="other", time="2026-01-01T00:00:00Z"), talk(101, agent="other")])
    settings = Settings(retention_days={"default": 60, "dispatch": 20})
    done = apply_retention(memory.place, settings)
    # Of dispatch all are older than 20 days, of the others only the one from January is older than 60.
    assert (done.interactions, done.feedback, done.reason) == (13, 12, "retention")
    with memory.journal() as journal:
        assert journal.counts() == {"other": 1, "feedback": 0}
        assert journal.find(talk(101).id) is not None
    assert apply_retention(memory.place, settings) == Forgotten()


def test_without_a_limit_nothing_expires(memory: Memory) -> None:
    assert apply_retention(memory.place, Settings()) == Forgotten()
    assert apply_retention(memory.place, Settings(retention_days={"other": 1})) == Forgotten()


def test_a_record_without_a_time_expires_by_its_arrival(memory: Memory) -> None:
    with memory.journal() as journal:
        journal.append([talk(110, agent="timeless", time=""), talk(111, agent="timeless", time="2031-01-01T00:00:00Z")])
    settings = Settings(retention_days={"timeless": 10})
    assert apply_retention(memory.place, settings) == Forgotten()
    later = replace(memory.place, now=lambda: timedelta(days=11) + memory.place.now())
    assert apply_retention(later, settings).interactions == 2


def test_forgetting_in_a_workspace_without_a_journal_finds_nothing(memory: Memory) -> None:
    memory.place.workspace.journal_path.unlink()
    assert forget(memory.place, Selectors(agent="dispatch")) == Forgotten()
    assert not memory.place.workspace.journal_path.exists()


def test_every_interaction_of_an_agent_goes(memory: Memory) -> None:
    done = forget(memory.place, Selectors(agent="dispatch"))
    assert (done.interactions, done.feedback) == (12, 12)
    assert done.datasets == ("dispatch/v0001", "dispatch/v0002")
    assert find_bytes(root(memory), [text for record in memory.records for text in names_of(record)]) == []
    with memory.journal() as journal:
        assert journal.counts() == {"feedback": 0}
        assert journal.faults() == []


def test_the_answer_is_a_value_that_json_can_hold(memory: Memory) -> None:
    done = forget(memory.place, Selectors(interaction=memory.records[4].id))
    assert msgspec.json.decode(msgspec.json.encode(done), type=Forgotten) == done
