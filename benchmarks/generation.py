"""Greedy writing by the embedded base, one row: our decoder against `model.generate` of transformers.

A prompt of 128 tokens and 128 more, in float32 on all cores this process may use. Alternating rounds, median of the
wall time; every round's tokens must be identical. Then a batch of answers of unequal length, where finished rows leave.
"""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.measure import Report, at_least, tell
from cortex_cli.models.bases import load_network, prepare_torch
from cortex_cli.store.starter import starter_root

READ, WRITTEN, ROUNDS = 128, 128, 9
ROWS = 32


def main() -> None:
    """Print one JSON line and a table."""
    prepare_torch()
    tell("generation", measure())


def measure() -> Report:
    """Write the same tokens by both in turns."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    base = starter_root() / "registry" / "models" / "cortex-tiny"
    theirs, decoder = load_network(base), make(base)
    theirs.generation_config.eos_token_id = None
    draw = torch.Generator().manual_seed(0)
    ids = [torch.randint(10, 4000, (1, READ), generator=draw) for _ in range(ROUNDS + 1)]
    rows = torch.randint(10, 4000, (ROWS, READ), generator=draw)
    one = rounds([(partial(library, theirs, prompt), partial(own, decoder, prompt)) for prompt in ids])
    many = rounds([(partial(library, theirs, rows), partial(own, decoder, rows))] * 4)
    threads = torch.get_num_threads()
    return Report(
        [
            at_least("one row, tokens/s", one["ratio"], "times generate", 2.5, told(one, WRITTEN, threads)),
            at_least("one row, equal tokens", one["equal"], "of rounds", 1.0, "transformers, greedy"),
            at_least(
                f"{ROWS} rows, tokens/s", many["ratio"], "times generate", 1.0, told(many, ROWS * WRITTEN, threads)
            ),
        ],
        [{"threads": threads, "one": one, "many": many}],
    )


def make(base: Any) -> Any:
    """Return our decoder over the model in *base*."""
    from cortex_cli.models.decoding import make_decoder

    return make_decoder(load_network(base))


def library(network: Any, ids: Any) -> list[list[int]]:
    """Write by `generate`."""
    import torch

    out = network.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=WRITTEN,
        min_new_tokens=WRITTEN,
        do_sample=False,
    )
    return out[:, READ:].tolist()  # type: ignore[no-any-return]


def own(decoder: Any, ids: Any) -> list[list[int]]:
    """Write by our decoder."""
    import torch

    passage, logits = decoder.begin(ids.tolist(), WRITTEN)
    columns = [logits.argmax(-1)]
    while len(columns) < WRITTEN:
        columns.append(passage.step(columns[-1]).argmax(-1))
    return torch.stack(columns, dim=1).tolist()


def rounds(pairs: list[tuple[Callable[[], Any], Callable[[], Any]]]) -> dict[str, float]:
    """Run both of each pair in turns, the first pair to warm up; return median seconds, ratio, and how many agree."""
    seconds: list[tuple[float, float]] = []
    equal = 0
    for theirs, ours in pairs:
        begun = time.perf_counter()
        wanted = theirs()
        between = time.perf_counter()
        found = ours()
        seconds.append((between - begun, time.perf_counter() - between))
        equal += wanted == found
    library_s, own_s = (statistics.median(side) for side in zip(*seconds[1:], strict=True))
    return {"library_s": library_s, "own_s": own_s, "ratio": library_s / own_s, "equal": equal / len(pairs)}


def told(found: dict[str, float], tokens: int, threads: int) -> str:
    """Say both rates."""
    return f"{tokens / found['own_s']:,.0f} against {tokens / found['library_s']:,.0f} on {threads} threads"


if __name__ == "__main__":
    main()
