"""Compares ways to transcribe by letting them take turns.

A way hears a few windows, then the next way hears the same ones: other work on the machine hits all
of them alike. So the ratios hold, and the times only where nothing else ran.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue

from benchmarks.engine_parameters import Piece
from callfsm.inference.engine import AudioWindow, Engine
from callfsm.words import as_text
from service.speech.wer import WordErrors, word_errors

Heard = tuple[float, float, list[str]]  # seconds of CPU, seconds of the clock, a text per window


@dataclass(frozen=True)
class Way:
    """`hear` takes the numbers of `at_once` windows."""

    hear: Callable[[Sequence[int]], Heard]
    at_once: int = 1


@dataclass
class Cost:
    """Of one way: seconds a window by the first window of a turn; the errors of one round."""

    cpu_s: dict[int, list[float]] = field(default_factory=dict)
    wall_s: dict[int, list[float]] = field(default_factory=dict)
    errors: WordErrors = field(default_factory=WordErrors)


def alone(engine: Engine, pieces: Sequence[Piece], at_once: int = 1) -> Way:
    """One engine that is given `at_once` windows together."""

    def hear(numbers: Sequence[int]) -> Heard:
        audio = [AudioWindow(pieces[number].samples) for number in numbers]
        return timed(lambda: [as_text(one.words) for one in engine.transcribe(audio)])

    return Way(hear, at_once)


def together(engines: Sequence[Engine], pieces: Sequence[Piece]) -> Way:
    """Engines that share all windows, each in a native thread of its own."""
    free: SimpleQueue[Engine] = SimpleQueue()
    for engine in engines:
        free.put(engine)

    def hear_one(number: int) -> str:
        engine = free.get()
        try:
            [transcript] = engine.transcribe([AudioWindow(pieces[number].samples)])
        finally:
            free.put(engine)
        return as_text(transcript.words)

    def hear(numbers: Sequence[int]) -> Heard:
        with ThreadPoolExecutor(len(engines)) as threads:
            return timed(lambda: list(threads.map(hear_one, numbers)))

    return Way(hear, len(pieces))


def timed(hear: Callable[[], list[str]]) -> Heard:
    """What was heard, and how long it took all of this process, and by the clock."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    texts = hear()
    return time.process_time() - cpu_s, time.perf_counter() - wall_s, texts


def take_turns(ways: Mapping[str, Way], pieces: Sequence[Piece], repeats: int) -> dict[str, Cost]:
    """What each way takes for all of `pieces`, `repeats` times.

    A turn is as many windows as the way that takes most at once; what does not fill one is left.
    """
    costs = {name: Cost() for name in ways}
    turn = max(way.at_once for way in ways.values())
    for repeat in range(repeats):
        for first in range(0, len(pieces) - turn + 1, turn):
            for name, way in ways.items():
                for at in range(first, first + turn, way.at_once):
                    numbers = range(at, at + way.at_once)
                    cpu_s, wall_s, texts = way.hear(numbers)
                    costs[name].cpu_s.setdefault(at, []).append(cpu_s / way.at_once)
                    costs[name].wall_s.setdefault(at, []).append(wall_s / way.at_once)
                    if repeat == 0:
                        for number, text in zip(numbers, texts, strict=True):
                            costs[name].errors += word_errors(pieces[number].text, text)
    return costs


def show(costs: Mapping[str, Cost], default: str) -> None:
    """Print the table: the mean over windows of the median over repeats."""
    print(f"| | CPU ms a window | wall ms | CPU, {default} = 1 | wall | WER |")
    print("|---|---|---|---|---|---|")
    base = costs[default]
    for name, cost in costs.items():
        cpu_s, wall_s = mean_of_medians(cost.cpu_s), mean_of_medians(cost.wall_s)
        print(
            f"| {name} | {1000 * cpu_s:.0f} | {1000 * wall_s:.0f} "
            f"| {cpu_s / mean_of_medians(base.cpu_s):.2f} "
            f"| {wall_s / mean_of_medians(base.wall_s):.2f} | {100 * cost.errors.wer:.1f} % |",
            flush=True,
        )


def mean_of_medians(samples: Mapping[int, Sequence[float]]) -> float:
    """The mean over keys of the median of their samples."""
    return statistics.mean(statistics.median(taken) for taken in samples.values())
