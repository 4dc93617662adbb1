"""What is known of a task and of who did it, as plain columns: the input of predictors of success, time and cost."""

from datetime import datetime

from cortex_cli.curate.export import Row
from cortex_cli.curate.languages import detect_language
from cortex_cli.curate.profiles import count_tokens
from cortex_cli.domain.interactions import Interaction

__all__ = ["FEATURE_COLUMNS", "find_features"]

FEATURE_COLUMNS = {
    "interaction": "VARCHAR",
    "part": "VARCHAR",
    "agent": "VARCHAR",
    "variant": "VARCHAR",
    "domain": "VARCHAR",
    "language": "VARCHAR",
    "turns": "INTEGER",
    "prompt_words": "INTEGER",
    "prompt_characters": "INTEGER",
    "answer_words": "INTEGER",
    "answer_characters": "INTEGER",
    "has_tools": "BOOLEAN",
    "called_tools": "BOOLEAN",
    "hour": "INTEGER",
    "weekday": "INTEGER",
    "retries": "INTEGER",
    "latency": "DOUBLE",
    "tokens_in": "BIGINT",
    "tokens_out": "BIGINT",
    "cost": "DOUBLE",
    "quality": "DOUBLE",
    "accepted": "BOOLEAN",
    "outcome": "VARCHAR",
    "failed": "BOOLEAN",
}


def find_features(interaction: Interaction, *, keyed: str, part: str, accepted: bool | None) -> Row:
    """Return the features of one interaction, no text of it; what is not known is None.

    *keyed* is its name outside of the journal. Hours and weekdays (0 is Monday) are UTC, quality is on [0, 1].
    """
    return {
        "interaction": keyed,
        "part": part,
        "agent": interaction.agent,
        "variant": interaction.variant or None,
        "domain": interaction.domain or None,
        **_texts(interaction),
        **_moment(interaction.time),
        "retries": interaction.retries,
        "latency": interaction.latency,
        "tokens_in": interaction.tokens_in,
        "tokens_out": interaction.tokens_out,
        "cost": interaction.cost,
        "quality": _quality(interaction),
        "accepted": accepted,
        "outcome": interaction.outcome,
        "failed": bool(interaction.error) or interaction.outcome == "error",
    }


def _texts(interaction: Interaction) -> Row:
    prompt = "\n".join(message.content for message in interaction.messages)
    requests = [message.content for message in interaction.messages if message.role == "user"]
    return {
        "language": detect_language(requests[-1] if requests else ""),
        "turns": len(requests),
        "prompt_words": count_tokens(prompt),
        "prompt_characters": len(prompt),
        "answer_words": count_tokens(interaction.output),
        "answer_characters": len(interaction.output),
        "has_tools": bool(interaction.tools),
        "called_tools": bool(interaction.calls),
    }


def _moment(time: str) -> Row:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return {"hour": None, "weekday": None}
    return {"hour": moment.hour, "weekday": moment.weekday()}


def _quality(interaction: Interaction) -> float | None:
    scale = interaction.quality_scale
    if interaction.quality is None or scale is None or not scale.low < scale.high:
        return None
    return (interaction.quality - scale.low) / (scale.high - scale.low)
