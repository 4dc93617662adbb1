"""Trackers: the numbers of a run sent to MLflow, TensorBoard or OpenTelemetry, beside its own JSON lines.

Numbers, names and digests go out; never a text, and never the id of an example. A tracker that fails is told once and
left alone from then on: a training does not end because somebody who watches it is gone.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cortex_cli.domain.errors import MissingExtraError, RemoteError
from cortex_cli.store.atomic import write_atomic
from cortex_cli.train.diary import Progress

__all__ = ["Note", "Opener", "Sink", "Trackers", "find_openers", "require_trackers"]

# What must be importable for each tracker, which is the name of its extra too.
_MODULES = {
    "mlflow": ("mlflow", "sqlalchemy"),
    "tensorboard": ("tensorboard", "torch"),
    "otlp": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
}
_EXTRAS = {"otlp": "otel"}
_LINKS = "trackers.json"  # in the run's folder: a run that goes on after a kill stays one run to its trackers
_PAUSE = 2.0  # seconds between writes to a tracker that waits for a disk or a network


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a tracker is told of a run beside its numbers: names, digests and settings, never any text of a user."""

    name: str
    agent: str
    base: str
    dataset: str
    plan: str
    settings: dict[str, str | int | float]


class Sink(Protocol):
    """A tracker with a run open; *link* is what the adapter's manifest names it by."""

    link: str

    def log(self, progress: Progress) -> None:
        """Take one step's numbers; may keep them for a while."""
        ...

    def end(self, totals: Mapping[str, float]) -> None:
        """Send what was kept and *totals*, and close the run."""
        ...


Opener = Callable[[Note, Path, str], Sink]


class Trackers:
    """The trackers of one run in *folder*; a `Watch` while it goes.

    *links* has the run's name at each tracker, *warnings* one line for each that failed.
    """

    def __init__(self, openers: Mapping[str, Opener], note: Note, folder: Path) -> None:
        self.links: dict[str, str] = {}
        self.warnings: list[str] = []
        self._sinks: dict[str, Sink] = {}
        path = folder / _LINKS
        known: dict[str, str] = msgspec.json.decode(path.read_bytes()) if path.is_file() else {}
        for name, opener in openers.items():
            self._try(name, partial(self._open, name, partial(opener, note, folder, known.get(name, ""))))
        if self.links:
            write_atomic(path, msgspec.json.encode(self.links))

    def log(self, progress: Progress) -> None:
        """Send one step's numbers."""
        for name, sink in list(self._sinks.items()):
            self._try(name, partial(sink.log, progress))

    def end(self, totals: Mapping[str, float]) -> None:
        """Close the run everywhere, with *totals* such as seconds, memory and final loss."""
        for name, sink in list(self._sinks.items()):
            self._try(name, partial(sink.end, totals))
        self._sinks.clear()

    def _open(self, name: str, begin: Callable[[], Sink]) -> None:
        self._sinks[name] = begin()
        self.links[name] = self._sinks[name].link

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - other people's code: whatever it raises, the training goes on
            self._sinks.pop(name, None)
            told = getattr(error, "message", str(error)).partition("\n")[0][:200]
            self.warnings.append(f"tracker '{name}' failed and gets no more: {told or type(error).__name__}")


def require_trackers(names: Sequence[str]) -> None:
    """Raise `MissingExtraError` for the first of *names* whose packages are not installed."""
    for name in names:
        if not all(_is_there(module) for module in _MODULES[name]):
            raise MissingExtraError(f"track = ['{name}']", _EXTRAS.get(name, name))


def find_openers(names: Sequence[str]) -> dict[str, Opener]:
    """Return how the run is opened at each of *names*; raise `MissingExtraError` for one that is not installed."""
    require_trackers(names)
    openers: dict[str, Opener] = {"mlflow": _Mlflow, "tensorboard": _TensorBoard, "otlp": _Otlp}
    return {name: openers[name] for name in names}


def _is_there(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


def _numbers(progress: Progress) -> dict[str, float]:
    rate = progress.tokens / progress.seconds if progress.seconds else 0.0
    return {
        "loss": progress.loss,
        "learning_rate": progress.learning_rate,
        "tokens": float(progress.tokens),
        "tokens_per_second": round(rate, 1),
    }


class _Mlflow:
    """A run at `MLFLOW_TRACKING_URI`, or else in a SQLite file beside the runs of the workspace."""

    def __init__(self, note: Note, folder: Path, link: str) -> None:
        # MLflow reports its use to its makers unless told not to, before it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own dependencies
            from mlflow.tracking import MlflowClient

            logging.getLogger("mlflow").setLevel(logging.ERROR)
            logging.getLogger("alembic").setLevel(logging.ERROR)
            uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.parent / 'mlflow.db'}"
            self._client: Any = MlflowClient(tracking_uri=uri)
            self.link = link or self._start(note, folder)
        self._waiting: list[tuple[str, float, int]] = []
        self._sent = time.monotonic()

    def _start(self, note: Note, folder: Path) -> str:
        name = f"cortex/{note.agent}"
        found = self._client.get_experiment_by_name(name)
        place = (folder.parent / "mlflow").as_uri()
        experiment = found.experiment_id if found else self._client.create_experiment(name, artifact_location=place)
        run = self._client.create_run(experiment, run_name=note.name)
        told = {"agent": note.agent, "base": note.base, "dataset": note.dataset, "plan": note.plan, **note.settings}
        for key, value in told.items():
            self._client.log_param(run.info.run_id, key, value)
        return str(run.info.run_id)

    def log(self, progress: Progress) -> None:
        self._waiting += [(key, value, progress.step) for key, value in _numbers(progress).items()]
        # Every write is a transaction of some 10 ms: too many for steps of 100 ms.
        if time.monotonic() - self._sent >= _PAUSE or len(self._waiting) >= 900:  # 1,000 is the most it takes at once
            self._send()

    def end(self, totals: Mapping[str, float]) -> None:
        self._waiting += [(f"total_{key}", value, 0) for key, value in totals.items()]
        self._send()
        self._client.set_terminated(self.link)

    def _send(self) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.link, [Metric(key, value, now, step) for key, value, step in self._waiting])
        self._waiting.clear()
        self._sent = time.monotonic()


class _TensorBoard:
    """An event file in the run's folder; TensorBoard shows all runs under `.cortex/runs`."""

    def __init__(self, note: Note, folder: Path, link: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        place = folder / "tensorboard"
        self._writer: Any = SummaryWriter(str(place))
        self.link = link or f"{folder.name}/tensorboard"
        del note  # a curve needs no more than its numbers

    def log(self, progress: Progress) -> None:
        for key, value in _numbers(progress).items():
            self._writer.add_scalar(f"train/{key}", value, progress.step)

    def end(self, totals: Mapping[str, float]) -> None:
        for key, value in totals.items():
            self._writer.add_scalar(f"total/{key}", value, 0)
        self._writer.close()


class _Otlp:
    """Gauges sent over OTLP to where `OTEL_EXPORTER_OTLP_ENDPOINT` says, every ten seconds and at the end."""

    _EVERY = 10.0
    _TIMEOUT = 2.0  # seconds: the training waits for it

    def __init__(self, note: Note, folder: Path, link: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.resources import Resource

        # What it logs goes to the terminal; that it failed is told once, by Cortex.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self.link = link or folder.name
        told = {"service.name": "cortex", "cortex.run": self.link, "cortex.agent": note.agent, "cortex.base": note.base}
        self._reader: Any = InMemoryMetricReader()
        provider = MeterProvider([self._reader], resource=Resource.create(told))
        self._meter: Any = provider.get_meter("cortex.train")
        self._exporter: Any = OTLPMetricExporter(timeout=self._TIMEOUT)
        self._gauges: dict[str, Any] = {}
        self._sent = 0.0

    def log(self, progress: Progress) -> None:
        self._set("train", {**_numbers(progress), "step": float(progress.step)})
        if time.monotonic() - self._sent >= self._EVERY:
            self._send()

    def end(self, totals: Mapping[str, float]) -> None:
        self._set("train.total", totals)
        self._send()
        self._exporter.shutdown()

    def _set(self, prefix: str, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            name = f"cortex.{prefix}.{key}"
            if name not in self._gauges:
                self._gauges[name] = self._meter.create_gauge(name)
            self._gauges[name].set(value)

    def _send(self) -> None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        sent = self._exporter.export(self._reader.get_metrics_data(), timeout_millis=1000 * self._TIMEOUT)
        self._sent = time.monotonic()
        if sent is not MetricExportResult.SUCCESS:
            place = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"
            raise RemoteError(f"nothing takes metrics at '{place}'")
