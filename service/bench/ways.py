"""The ways to transcribe that benchmarks compare: the field's, and ours."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from callfsm.errors import ConfigError
from callfsm.inference.engine import Engine
from callfsm.record.log import Log, read_log
from service.engine_choice import EngineChoice, choose_engine
from service.engines.whispercpp import WhisperCppEngine
from service.peers.chunking import Style
from service.settings import Settings, load_settings
from service.speech.corpus import SpokenCall
from service.speech.latency import RememberingEngine
from service.trial.play import Played, Trial
from service.weights.resolve import resolve

BASELINE = ("--mode", "chunk", "--contexts", "1")


@dataclass(frozen=True, slots=True)
class Server:
    """What `callfsm serve` is told: the model, and the engine, where one was chosen."""

    model: str = "tiny.en"
    engine: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        chosen = () if self.engine is None else ("--engine", self.engine)
        return ("--model", self.model, *chosen)

    def settings(self, *, baseline: bool = False) -> Settings:
        """The same, for an engine without a server. Raises ConfigError like `serve`."""
        given = {"model": self.model, "mode": "chunk" if baseline else None}
        # The field's service has whisper.cpp, whatever engine it is compared with.
        engine = {} if self.engine is None or baseline else {"engine": self.engine}
        return load_settings(given | engine)

    def choice(self, *, baseline: bool = False) -> EngineChoice:
        """The engine that the server's contexts have."""
        return choose_engine(self.settings(baseline=baseline), self.model)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to transcribe, and what it is fed with."""

    name: str
    style: Style
    is_baseline: bool = False

    def options(self, server: Server) -> tuple[str, ...]:
        if self.is_baseline:
            return (*replace(server, engine=None).options, *BASELINE)
        return server.options


BASELINE_CHUNKS = Way("baseline, chunks", "chunks", is_baseline=True)
STREAM_CHUNKS = Way("callfsm, chunks", "chunks")
STREAM_FRAMES = Way("callfsm, frames", "frames")


@dataclass(frozen=True, slots=True)
class Run:
    """What a way gave: the calls as they were judged, and the log of each."""

    calls: Sequence[SpokenCall]
    played: Played
    logs: dict[int, Log]  # by call id; of calls with one log


def timing_engine(model: str) -> Engine:
    """What finds out when words were spoken: whisper.cpp, for every way of a run."""
    engine = RememberingEngine(WhisperCppEngine(resolve(model)))
    engine.load()
    return engine


def play(
    way: Way, calls: Sequence[SpokenCall], server: Server, timing: Engine, at_once: int = 1
) -> Run:
    """Play `calls` in real time, `at_once` side by side. Raises CallfsmError like `Trial.play`."""
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-bench-") as name,
        Console(stderr=True).status(f"{way.name}: {len(calls)} calls, {at_once} at once"),
    ):
        directory = Path(name)
        options = (*way.options(server), "--record", str(directory / "logs"))
        trial = Trial(directory, at_once, way.style, serve_options=options)
        played = trial.play(calls, timing)
        return Run(calls, played, _logs(directory / "logs"))


def _logs(directory: Path) -> dict[int, Log]:
    logs: dict[int, Log] = {}
    for path in directory.glob("*.jsonl"):
        with path.open() as lines:
            log = read_log(lines)
        if log.header.call in logs:
            raise ConfigError(f"call {log.header.call} was connected more than once: see {path}")
        logs[log.header.call] = log
    return logs
