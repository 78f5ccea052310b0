"""The texts that accuracy compares: live, simulated, and of the whole file."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.segmenter import Cut
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.inference.engine import AudioWindow, Engine
from callfsm.words import as_text
from service.bench.lags import cuts_s
from service.bench.ways import Run, Server, Way, play
from service.engines.whispercpp import whole_file_text
from service.peers.chunking import cut
from service.settings import available_cores
from service.speech.corpus import SpokenCall
from service.speech.defects import at_cuts, duplicated_words, in_the_tail, missing_words
from service.speech.latency import timed_words
from service.speech.noise import NON_SPEECH, Samples
from service.speech.wer import WordErrors, normalize, word_errors
from service.trial.report import latency_figures
from service.trial.simulated import COSTS, InferenceCost, simulate
from service.weights.resolve import resolve

ALONE = 0.3  # the share of two contexts that one call keeps busy, for simulated calls


@dataclass(frozen=True, slots=True)
class Side:
    """What one way made of the calls, a text each; and where it cut them, if that is known."""

    name: str
    texts: Sequence[str]
    cuts_s: Sequence[Sequence[float]] | None = None
    run: Run | None = None  # where it was live

    def errors(self, calls: Sequence[SpokenCall]) -> WordErrors:
        """Of all calls together."""
        pairs = zip(calls, self.texts, strict=True)
        return sum((word_errors(call.text, text) for call, text in pairs), WordErrors())

    def figures(self, calls: Sequence[SpokenCall], timing: Engine) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        errors, doubled, tail, missing_at_cuts = self.errors(calls), 0, 0, 0
        for index, (call, text) in enumerate(zip(calls, self.texts, strict=True)):
            heard = normalize(text)
            doubled += duplicated_words(normalize(call.text), heard)
            spoken = timed_words(call, timing)
            missing = missing_words(spoken, heard)
            tail += in_the_tail(missing, spoken[-1].end_s if spoken else call.duration_s)
            if self.cuts_s is not None:
                missing_at_cuts += at_cuts(missing, self.cuts_s[index])
        live = self.run.played if self.run is not None else None
        return {
            "wer": round(errors.wer, 4),
            "substitutions": errors.substitutions,
            "deletions": errors.deletions,
            "insertions": errors.insertions,
            "missing_at_cuts": None if self.cuts_s is None else missing_at_cuts,
            "missing_in_last_2_s": tail,
            "duplicated_words": doubled,
            "duplicated_percent": round(100 * doubled / max(1, errors.reference_words), 2),
            **latency_figures(live.word_latencies_s if live is not None else ()),
            "problems": live.problems if live is not None else [],
        }


def live_side(
    way: Way, calls: Sequence[SpokenCall], server: Server, timing: Engine, at_once: int
) -> Side:
    """Through a server process, in real time."""
    run = play(way, calls, server, timing, at_once)
    logs = [run.logs.get(result.call_id) for result in run.played.results]
    # Chunks leave the pauses out: where they are cut is not known in the call's own time.
    cuts = None if way.style == "chunks" else [cuts_s(log) if log else [] for log in logs]
    return Side(way.name, [result.text for result in run.played.results], cuts, run)


def simulated_side(name: str, calls: Sequence[SpokenCall], server: Server) -> Side:
    """Through the same call machine in simulated time, fed with 20 ms frames: a process a core."""
    workers = ProcessPoolExecutor(available_cores(), get_context("spawn"))
    with workers:
        heard = list(workers.map(partial(_simulated, server), (call.samples for call in calls)))
    return Side(name, [text for text, _ in heard], [cuts for _, cuts in heard])


def chunked_side(name: str, calls: Sequence[SpokenCall], engine: Engine) -> Side:
    """Every speech chunk by itself, as the service in the field does it."""

    def text(samples: Samples) -> str:
        pieces = [AudioWindow(samples[a:b]) for a, b in cut(samples, "chunks")]
        heard = [engine.transcribe([piece])[0] for piece in pieces]
        return " ".join(filter(None, (as_text(one.words) for one in heard)))

    cuts = [[b / SAMPLE_RATE_HZ for _, b in cut(call.samples, "chunks")] for call in calls]
    return Side(name, [text(call.samples) for call in calls], cuts)


def whole_sides(calls: Sequence[SpokenCall], model: str) -> list[Side]:
    """Whole files by whisper.cpp, and by faster-whisper where it and its weights are installed."""
    sides = []
    for name, text in _whole_file_texts(model).items():
        sides.append(Side(f"whole file, {name}", [text(call.samples) for call in calls]))
    return sides


def texts_out_of_nothing(seconds: float, engine: Engine, server: Server) -> dict[str, str]:
    """For each sound of a line on which nobody speaks, the text that came of it, simulated.

    A context is always spare, so that looks ahead try too.
    """
    network, settings = SileroNetwork.installed(), server.settings().call_settings()
    return {
        name: simulate(
            sound(seconds), engine, settings=settings, detector=SileroDetector(network), load=0.0
        ).text
        for name, sound in NON_SPEECH.items()
    }


def _simulated(server: Server, samples: Samples) -> tuple[str, list[float]]:
    """The text of a call, and where it was cut. Runs in a process of its own."""
    engine, network, cost = _loaded(server)
    heard = simulate(
        samples,
        engine,
        settings=server.settings().call_settings(),
        detector=SileroDetector(network),
        load=ALONE,
        cost=cost,
    )
    return heard.text, [w.end_s for w in heard.windows if w.cut is not Cut.EAGER]


@cache
def _loaded(server: Server) -> tuple[Engine, SileroNetwork, InferenceCost]:
    """What a process needs once."""
    choice = server.choice()
    return choice.loaded(), SileroNetwork.installed(), COSTS[choice.name]


def _whole_file_texts(model: str) -> dict[str, Callable[[Samples], str]]:
    weights = resolve(model)
    texts: dict[str, Callable[[Samples], str]] = {
        "whisper.cpp": lambda samples: whole_file_text(weights, samples)
    }
    try:
        from faster_whisper import WhisperModel

        from service.weights.errors import WeightsError
        from service.weights.resolve import ctranslate2_directory

        directory = str(ctranslate2_directory(model))
    except (ModuleNotFoundError, WeightsError):
        return texts
    whisper = WhisperModel(directory, device="cpu", compute_type="int8")

    def text(samples: Samples) -> str:
        segments, _ = whisper.transcribe(samples, language="en", beam_size=1)
        return " ".join(segment.text.strip() for segment in segments)

    return texts | {"faster-whisper": text}
