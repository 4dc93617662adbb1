"""NL2Bash manual judgements: a request, a system's command, and the verdicts of up to three people.

Source: the `manual_judgements` of https://github.com/TellinaTool/nl2bash (MIT). One interaction per
row; each judge who gave a verdict is one human judgement on it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from cortex_cli.collect.records import (
    BadRecordError,
    Format,
    Place,
    Record,
    identify,
    identify_feedback,
    pick_agent,
    typed,
)
from cortex_cli.domain.interactions import Feedback, Interaction, Message

__all__ = ["FORMAT"]

_VERDICTS = {"y": True, "n": False}


def _recognises(value: dict[str, Any]) -> bool:
    return {"request", "prediction", "command_correct", "judges"} <= value.keys()


class _Rows:
    """Rows of one file: the same system may give the same command twice, and both were judged."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record]:
        system, request, prediction = (self._text(value, key) for key in ("system", "request", "prediction"))
        self._seen[system, request, prediction] += 1
        interaction = identify(
            Interaction(
                id="",
                agent=pick_agent(value, place, "agent"),
                time="",
                messages=(Message("user", request),),
                output=prediction,
                outcome="success" if value.get("command_correct") == "y" else "failure",
                origin=place.origin,
                meta={"producer_id": f"{system}#{self._seen[system, request, prediction]}", "system": system},
            )
        )
        return [interaction, *_verdicts(value, interaction)]

    def finish(self) -> Iterable[Record]:
        return ()

    @staticmethod
    def _text(value: dict[str, Any], key: str) -> str:
        text = typed(value.get(key), str, key)
        if text is None or (key == "request" and not text):
            raise BadRecordError("missing_field", f"{key!r} is missing or empty")
        return str(text)


def _verdicts(value: dict[str, Any], interaction: Interaction) -> Iterable[Feedback]:
    judges = typed(value.get("judges"), dict[str, dict[str, str]], "judges") or {}
    for judge, verdict in sorted(judges.items()):
        told = _VERDICTS.get(verdict.get("command", ""))
        if told is not None:
            yield identify_feedback(
                Feedback(
                    id="",
                    target=interaction.id,
                    kind="boolean",
                    time="",
                    thumbs=told,
                    name=f"judge-{judge}",
                    origin=interaction.origin,
                )
            )


FORMAT = Format("nl2bash-judged", "NL2Bash commands with the verdicts of human judges", _recognises, _Rows)
