"""Which interactions are to be forgotten: what was named, and what carries its text along."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from cortex_cli.collect.redact import Redactor
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.store.journal import Journal

__all__ = ["Named", "Selection", "Selectors", "select_interactions"]

# A text as short as "yes" or "continue" is not taken for the same one because it is spelled the same.
_TELLING = 16


class Selectors(msgspec.Struct, frozen=True, kw_only=True):
    """What to forget; what is given must hold together. *before* is a moment, RFC 3339 UTC.

    *interaction* is an id or an alias, *user* the name that a producer gave, or the placeholder it has here.
    """

    interaction: str = ""
    episode: str = ""
    user: str = ""
    agent: str = ""
    before: str = ""


class Named(NamedTuple):
    """An interaction that was selected: its names, and where it was read."""

    id: str
    aliases: tuple[str, ...]
    episode: str
    source: str


class Selection(NamedTuple):
    """What was *named*, and the *carriers*: other turns of the same episodes whose messages hold its text.

    Carriers go too, but *kept* carriers do not: what is selected by its age leaves younger ones until their own
    time comes. *names* are refused from now on, besides ids and aliases.
    """

    named: tuple[Named, ...]
    carriers: tuple[Named, ...] = ()
    kept: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def gone(self) -> tuple[Named, ...]:
        """Return all that goes."""
        return (*self.named, *self.carriers)


def select_interactions(journal: Journal, selectors: Selectors, key: bytes) -> Selection:
    """Return what *selectors* name; raise `UsageError` when they name nothing at all.

    In memory: the names of each interaction, and one episode at a time.
    """
    if selectors == Selectors():
        raise UsageError(
            "nothing was named to be forgotten",
            hint="cortex forget --interaction ID, --episode E, --user U, --agent A or --older-than 90d",
            state="nothing was changed",
        )
    keep = _filter(journal, selectors, key)
    named = tuple(_name(record) for record in _candidates(journal, selectors) if keep(record))
    carriers = tuple(_find_carriers(journal, named))
    if selectors.before:
        return Selection(named, kept=tuple(record.id for record in carriers))
    # A later export of such an episode would bring the text back, as the history of a new turn.
    touched = {record.episode for record in carriers}
    whole = {selectors.episode} if named and selectors.episode and not selectors.user else set()
    return Selection(named, carriers, names=tuple(sorted(touched | whole)))


def _candidates(journal: Journal, selectors: Selectors) -> Iterator[Interaction]:
    """Yield at least what is asked for, from the narrowest of the journal's ways in."""
    if selectors.interaction:
        yield from journal.called(selectors.interaction)
    elif selectors.episode:
        yield from journal.in_episode(selectors.episode)
    elif selectors.before:
        yield from (record for _, record in journal.aged(selectors.before, selectors.agent))
    else:
        yield from (record for _, record in journal.interactions(agent=selectors.agent))


def _filter(journal: Journal, selectors: Selectors, key: bytes) -> Callable[[Interaction], bool]:
    checks: list[Callable[[Interaction], bool]] = []
    if selectors.agent:
        checks.append(lambda record: record.agent == selectors.agent)
    if selectors.episode:
        checks.append(lambda record: record.episode == selectors.episode)
    if selectors.user:
        users = _spellings(journal, selectors.user, key)
        checks.append(lambda record: record.user in users)
    if selectors.before and (selectors.interaction or selectors.episode):
        aged = {record.id for _, record in journal.aged(selectors.before, selectors.agent)}
        checks.append(lambda record: record.id in aged)
    return lambda record: all(check(record) for check in checks)


def _spellings(journal: Journal, user: str, key: bytes) -> set[str]:
    """Return how *user* may stand in the journal: as it is, under its keyed placeholder, under the numbered one."""
    masked = Redactor(key).redact_record(Interaction(id="", agent="", time="", messages=(), user=user))
    tag = masked.user if isinstance(masked, Interaction) else user
    return {user, tag, journal.read_numbers(tag)}


def _find_carriers(journal: Journal, named: Iterable[Named]) -> Iterator[Named]:
    """Yield the interactions of the same episodes whose messages hold what was asked or answered in *named*."""
    ids: dict[str, set[str]] = {}
    for record in named:
        if record.episode:
            ids.setdefault(record.episode, set()).add(record.id)
    for episode, gone in ids.items():
        turns = journal.in_episode(episode)
        texts = _Texts.of(turn for turn in turns if turn.id in gone)
        yield from (_name(turn) for turn in turns if turn.id not in gone and texts.are_in(turn))


class _Texts(NamedTuple):
    """What was asked and answered in forgotten turns: whole *prompts*, and *pieces* that tell them by themselves."""

    prompts: set[tuple[tuple[str, str], ...]]
    pieces: set[str]

    @classmethod
    def of(cls, turns: Iterable[Interaction]) -> "_Texts":
        """Take the texts of *turns*."""
        texts = cls(set(), set())
        for turn in turns:
            asked = _spoken(turn.messages)
            texts.prompts.add(asked)
            pieces = (turn.output, *(text for role, text in asked[-1:] if role == "user"))
            texts.pieces.update(piece for piece in pieces if len(piece) >= _TELLING)
        return texts

    def are_in(self, turn: Interaction) -> bool:
        """Tell whether the messages of *turn* hold any of them."""
        history = _spoken(turn.messages)
        lengths = {len(prompt) for prompt in self.prompts if prompt and len(prompt) < len(history)}
        if any(history[:length] in self.prompts for length in lengths):
            return True
        return any(text in self.pieces for _, text in history)


def _spoken(messages: tuple[Message, ...]) -> tuple[tuple[str, str], ...]:
    # What the system says may differ from turn to turn, and is not the user's.
    return tuple((message.role, message.content) for message in messages if message.role != "system")


def _name(record: Interaction) -> Named:
    return Named(record.id, record.aliases, record.episode, record.origin.source)
