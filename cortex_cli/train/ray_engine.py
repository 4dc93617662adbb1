"""`engine = "ray"`: the one loop in the workers of Ray Train, which share each step's micro-batches.

A worker that dies is started again with all others, and the loop goes on from its last checkpoint in the run folder,
which every worker must see: on several machines, a shared file system. Nothing leaves the machines: no usage
statistics, no dashboard, addresses on the loopback unless a cluster is running already.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cortex_cli.domain.errors import ConflictError, CortexError, IntegrityError, MissingExtraError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.store.atomic import write_atomic
from cortex_cli.train.crew import Workers
from cortex_cli.train.fitting import Fitted, check_enough, fit_prepared, prepare_adapter
from cortex_cli.train.loop import Progress, Result, Watch
from cortex_cli.train.spec import TrainSpec

__all__ = ["fit_ray"]

_LOOK = 0.2  # seconds between two looks at the metrics of the workers
_STORE = 80 << 20  # bytes of Ray's object store: the least it takes, as only settings pass through it
_KINDS: dict[str, type[CortexError]] = {kind.__name__: kind for kind in (UsageError, ConflictError, IntegrityError)}
# Read by Ray when it is imported, by its workers when they start.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_METRICS_EXPORT_PORT": "0",
    "HF_HUB_OFFLINE": "1",
}


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told: where things lie, and the settings as JSON."""

    examples: str
    base: str
    spec: str
    run: str
    start: str = ""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What rank 0 leaves when it has ended: the figures of the run, or why there are none."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    early: bool = False
    examples: int = 0
    counts: dict[str, int] = {}
    figures: dict[str, float] = {}
    error: tuple[str, str, str, str] = ("", "", "", "")  # kind, message, hint, state


def fit_ray(
    examples: Sequence[Example], base: Path, spec: TrainSpec, run: Path, *, watch: Watch, start: Path | None = None
) -> Fitted:
    """Train as `fit_adapter` does, on the workers that `[train.ray]` asks for; the loss curve is that of one worker.

    Starts a cluster in this machine, and stops it, unless one is connected already. Raises `CortexError` when the
    workers died more often than `failures`; their last checkpoint stays in *run*.
    """
    ray = _import_ray()
    _check(spec)
    check_enough(examples, spec)
    run.mkdir(parents=True, exist_ok=True)
    order = _place_order(examples, base, spec, run, start)
    try:
        with _cluster(ray, spec.ray.workers), ThreadPoolExecutor(1) as pool:
            _follow(run / "metrics.jsonl", pool.submit(_trainer(order, spec).fit), watch)
        told = msgspec.json.decode((run / "told.json").read_bytes(), type=_Told)
    finally:
        Path(order.examples).unlink(missing_ok=True)
        (run / "told.json").unlink(missing_ok=True)
    if told.error[0]:
        kind, message, hint, state = told.error
        raise _KINDS.get(kind, CortexError)(message, hint=hint, state=state)
    result = Result(told.steps, told.tokens, told.seconds, told.loss, told.early)
    return Fitted(run / "adapter", result, told.examples, told.counts, told.figures)


def _import_ray() -> Any:
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    try:
        import ray
        import ray.train.torch
    except ImportError as error:
        raise MissingExtraError("training on several workers", "ray") from error
    return ray


def _check(spec: TrainSpec) -> None:
    if spec.ray.strategy == "fsdp":
        raise UsageError(
            "strategy 'fsdp' is not possible yet: every worker of fully_shard must run as many micro-batches as the"
            " others, and a checkpoint would hold only the shard of rank 0",
            hint="set strategy = 'ddp' in [train.ray]; lora.bits = 4 or checkpointing = true save memory",
            state="nothing was trained",
        )


def _place_order(examples: Sequence[Example], base: Path, spec: TrainSpec, run: Path, start: Path | None) -> _Order:
    lines = run / "examples.jsonl"  # a file, for 100,000 examples are too many for a message
    write_atomic(lines, msgspec.json.Encoder().encode_lines(examples))
    (run / "told.json").unlink(missing_ok=True)
    return _Order(
        examples=str(lines.resolve()),
        base=str(base.resolve()),
        spec=msgspec.json.encode(spec).decode(),
        run=str(run.resolve()),
        start=str(start.resolve()) if start else "",
    )


@contextmanager
def _cluster(ray: Any, workers: int) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=_STORE,
        _node_ip_address="127.0.0.1",
        runtime_env={"env_vars": _QUIET},
    )
    try:
        yield
    finally:
        ray.shutdown()


def _trainer(order: _Order, spec: TrainSpec) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    return TorchTrainer(
        _work,
        train_loop_config=msgspec.to_builtins(order),
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=spec.ray.workers),
        run_config=RunConfig(
            name=f"cortex-{time.time_ns()}",
            storage_path=f"{order.run}/ray",
            failure_config=FailureConfig(max_failures=spec.ray.failures),
        ),
    )


def _work(config: dict[str, str]) -> None:
    """Be one worker. What is wrong with the data is wrong in every attempt, so it is told and not raised."""
    order = msgspec.convert(config, _Order)
    run, crew = Path(order.run), Workers()
    told = run / "told.json"
    try:
        fitted = _fit_share(order, run, crew)
    except CortexError as error:
        write_atomic(
            told, msgspec.json.encode(_Told(error=(type(error).__name__, str(error), error.hint, error.state)))
        )
        return
    if crew.rank == 0:
        write_atomic(told, msgspec.json.encode(_tell(fitted)))


def _fit_share(order: _Order, run: Path, crew: Workers) -> Fitted:
    spec = msgspec.json.decode(order.spec, type=TrainSpec)
    examples = msgspec.json.Decoder(Example).decode_lines(Path(order.examples).read_bytes())
    start = Path(order.start) if order.start else None
    prepared = prepare_adapter(examples, Path(order.base), spec, start=start)
    return fit_prepared(prepared, spec, run, watch=lambda _progress: None, crew=crew)


def _tell(fitted: Fitted) -> _Told:
    result = fitted.result
    return _Told(
        steps=result.steps,
        tokens=result.tokens,
        seconds=result.seconds,
        loss=result.loss,
        early=result.stopped_early,
        examples=fitted.examples,
        counts=fitted.counts,
        figures=fitted.figures,
    )


def _follow(metrics: Path, fit: "Future[Any]", watch: Watch) -> None:
    """Pass every step that rank 0 writes to *metrics* on to *watch*, until *fit* has ended."""
    shown = _last_step(metrics)
    while True:
        ended = wait([fit], timeout=_LOOK).done
        for progress in _read_steps(metrics):
            if progress.step > shown:
                shown = progress.step
                watch(progress)
        if ended:
            break
    if error := fit.exception():
        raise CortexError(
            f"the workers of Ray gave up: {type(error).__name__}: {str(error).splitlines()[0]}",
            hint="train again: it goes on from the last checkpoint",
            state=f"checkpoints up to the last full one are in '{metrics.parent}', no adapter was made",
        ) from error


def _read_steps(metrics: Path) -> list[Progress]:
    try:
        whole = metrics.read_bytes().rpartition(b"\n")[0]  # the last line may be half written
    except FileNotFoundError:
        return []
    return msgspec.json.Decoder(Progress).decode_lines(whole)


def _last_step(metrics: Path) -> int:
    steps = _read_steps(metrics)
    return steps[-1].step if steps else 0
