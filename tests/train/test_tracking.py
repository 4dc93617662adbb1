"""Trackers: every number arrives, no text does, and one that fails never ends a training."""

import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cortex_cli.domain.errors import MissingExtraError, RemoteError
from cortex_cli.train.diary import Progress
from cortex_cli.train.tracking import Note, Trackers, find_openers, require_trackers

NOTE = Note(
    name="nightly",
    agent="dispatch",
    base="cortex-tiny",
    dataset="dispatch/v0001",
    plan="sha256:" + "0" * 64,
    settings={"learning_rate": 0.01, "objective": "sft"},
)


def steps(count: int) -> Iterator[Progress]:
    for step in range(1, count + 1):
        yield Progress(step=step, steps=count, loss=1 / step, learning_rate=0.01, tokens=100 * step, seconds=0.5 * step)


class Kept:
    """A tracker in memory."""

    def __init__(self, note: Note, folder: Path, link: str) -> None:
        self.link = link or "kept-1"
        self.lines: list[Progress] = []
        self.totals: dict[str, float] = {}
        del note, folder

    def log(self, progress: Progress) -> None:
        self.lines.append(progress)

    def end(self, totals: Mapping[str, float]) -> None:
        self.totals.update(totals)


class Breaking(Kept):
    """A tracker whose server goes away at the third step."""

    def log(self, progress: Progress) -> None:
        super().log(progress)
        if progress.step == 3:
            raise RemoteError("connection refused")


def refuse(note: Note, folder: Path, link: str) -> Kept:
    del note, folder, link
    raise OSError("no route to host\nand a long trace")


def test_every_step_and_the_totals_reach_every_tracker(tmp_path: Path) -> None:
    made: list[Kept] = []

    def keep(note: Note, folder: Path, link: str) -> Kept:
        made.append(Kept(note, folder, link))
        return made[-1]

    trackers = Trackers({"one": keep, "two": keep}, NOTE, tmp_path)
    for progress in steps(5):
        trackers.log(progress)
    trackers.end({"seconds": 2.5})
    assert [[line.step for line in sink.lines] for sink in made] == [[1, 2, 3, 4, 5]] * 2
    assert made[0].totals == {"seconds": 2.5}
    assert (trackers.links, trackers.warnings) == ({"one": "kept-1", "two": "kept-1"}, [])


def test_a_tracker_that_fails_is_told_once_and_the_others_go_on(tmp_path: Path) -> None:
    made: list[Kept] = []

    def keep(note: Note, folder: Path, link: str) -> Kept:
        made.append(Kept(note, folder, link))
        return made[-1]

    trackers = Trackers({"gone": refuse, "breaks": Breaking, "stays": keep}, NOTE, tmp_path)
    for progress in steps(6):
        trackers.log(progress)
    trackers.end({})
    assert trackers.warnings == [
        "tracker 'gone' failed and gets no more: no route to host",
        "tracker 'breaks' failed and gets no more: connection refused",
    ]
    assert len(made[0].lines) == 6
    assert trackers.links == {"breaks": "kept-1", "stays": "kept-1"}


def test_a_run_that_goes_on_stays_one_run_to_its_trackers(tmp_path: Path) -> None:
    def first(note: Note, folder: Path, link: str) -> Kept:
        assert link == ""
        return Kept(note, folder, "run-7")

    def again(note: Note, folder: Path, link: str) -> Kept:
        return Kept(note, folder, link)

    Trackers({"one": first}, NOTE, tmp_path)
    assert Trackers({"one": again}, NOTE, tmp_path).links == {"one": "run-7"}


def test_a_tracker_that_is_not_installed_is_refused_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match="needs the 'otel' extra"):
        require_trackers(["otlp"])
    require_trackers([])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_mlflow_has_the_curve_the_settings_and_the_totals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    pytest.importorskip("sqlalchemy", reason="the mlflow extra is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = tmp_path / "train-1"
    run.mkdir()
    trackers = Trackers(find_openers(["mlflow"]), NOTE, run)
    for progress in steps(4):
        trackers.log(progress)
    trackers.end({"final_loss": 0.25})
    assert trackers.warnings == []

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    link = trackers.links["mlflow"]
    assert [(metric.step, metric.value) for metric in client.get_metric_history(link, "loss")] == [
        (progress.step, progress.loss) for progress in steps(4)
    ]
    stored = client.get_run(link)
    assert stored.data.params["dataset"] == "dispatch/v0001"
    assert stored.data.metrics["total_final_loss"] == 0.25
    assert stored.info.status == "FINISHED"


def test_tensorboard_has_the_curve(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the tensorboard extra is not installed")
    trackers = Trackers(find_openers(["tensorboard"]), NOTE, tmp_path)
    for progress in steps(4):
        trackers.log(progress)
    trackers.end({"seconds": 2.0})
    assert trackers.warnings == []

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = events.Scalars("train/loss")
    assert [event.step for event in found] == [progress.step for progress in steps(4)]
    assert [event.value for event in found] == pytest.approx([progress.loss for progress in steps(4)])
    assert events.Scalars("total/seconds")[0].value == 2.0


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP endpoint that keeps what it is sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it is called by
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_opentelemetry_gets_the_gauges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: tuple[str, list[bytes]]
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the otel extra is not installed")
    address, bodies = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    trackers = Trackers(find_openers(["otlp"]), NOTE, tmp_path)
    for progress in steps(3):
        trackers.log(progress)
    trackers.end({"seconds": 1.5})
    assert trackers.warnings == []
    sent = b"".join(bodies)
    for name in (b"cortex.train.loss", b"cortex.train.tokens_per_second", b"cortex.train.total.seconds", b"dispatch"):
        assert name in sent


def test_an_endpoint_that_takes_nothing_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the otel extra is not installed")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    trackers = Trackers(find_openers(["otlp"]), NOTE, tmp_path)
    for progress in steps(30):
        trackers.log(progress)
    trackers.end({})
    assert len(trackers.warnings) == 1
    assert "nothing takes metrics at 'http://127.0.0.1:9'" in trackers.warnings[0]
