"""What streaming costs in accuracy: the same calls as a stream, chunk by chunk, and as whole files.

All sides use the same weights and the same audio, in one run. Live sides go through a server
process, the real protocol, real time. Simulated sides go through the same call machine in simulated
time: faster than life, and the same on a busy machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from service.bench.bars import Bar, print_bars
from service.bench.calls import NOISES, noisy, speech
from service.bench.sides import (
    chunked_side,
    live_side,
    simulated_side,
    texts_out_of_nothing,
    whole_sides,
)
from service.bench.ways import BASELINE_CHUNKS, STREAM_CHUNKS, STREAM_FRAMES, Server, timing_engine
from service.speech.corpus import SpokenCall, continuous

PROMPTS_POINTS, CONTINUOUS_POINTS = 1.0, 1.5  # WER more than the whole file's
DUPLICATED_PERCENT = 0.2
CLEAN, CONTINUOUS = "clean", "continuous"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `total_s` may be inf: everything that is recorded."""

    total_s: float
    at_once: int = 2
    chunks: bool = False  # fed to the stream, instead of frames
    seed: int = 1
    synthetic: bool = False
    simulated: bool = False
    noise: bool = False
    continuous: bool = False
    quiet_s: float = 0.0

    def conditions(self) -> dict[str, list[SpokenCall]]:
        """The calls, by what was done to them."""
        calls = speech(self.total_s, self.seed, synthetic=self.synthetic)
        conditions = {CLEAN: calls}
        if self.noise:
            conditions |= {noise: [noisy(call, noise) for call in calls] for noise in NOISES}
        if self.continuous:
            conditions[CONTINUOUS] = [continuous(call) for call in calls]
        return conditions


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The figures of every side under every condition; the stream is the first side."""

    audio_s: Mapping[str, float]
    sides: Mapping[str, Mapping[str, dict[str, Any]]]  # condition, side
    out_of_nothing: Mapping[str, str]  # sound, text

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        return {
            "audio_s": dict(self.audio_s),
            "conditions": {name: dict(sides) for name, sides in self.sides.items()},
            "out_of_nothing": dict(self.out_of_nothing),
            "bars": [bar.figures() for bar in self.bars()],
        }

    def bars(self) -> list[Bar]:
        bars = []
        for condition, sides in self.sides.items():
            stream = next(iter(sides.values()))
            if condition in {CLEAN, CONTINUOUS}:
                limit = PROMPTS_POINTS if condition == CLEAN else CONTINUOUS_POINTS
                for name, figures in sides.items():
                    if name.startswith("whole file"):
                        points = round(100 * (stream["wer"] - figures["wer"]), 2)
                        what = f"{condition}: WER above {name}"
                        bars.append(Bar(what, points, limit, "points"))
            doubled, lost = stream["duplicated_percent"], stream["missing_in_last_2_s"]
            bars.append(Bar(f"{condition}: words doubled", doubled, DUPLICATED_PERCENT, "%"))
            bars.append(Bar(f"{condition}: words missing in the last 2 s", lost, 0))
        if self.out_of_nothing:
            wrong = sum(bool(text) for text in self.out_of_nothing.values())
            bars.append(Bar("sounds that gave text nobody said", wrong, 0))
        return bars


def measure(plan: Plan, server: Server) -> Accuracy:
    """Every side under every condition. Raises CallfsmError like `Trial.play`."""
    timing = timing_engine(server.model)
    chunks_engine = server.choice(baseline=True).loaded() if plan.simulated else None
    audio_s, sides = {}, {}
    for condition, calls in plan.conditions().items():
        audio_s[condition] = round(sum(call.duration_s for call in calls), 1)
        if chunks_engine is not None:
            measured = [
                simulated_side("callfsm, simulated", calls, server),
                chunked_side("baseline, each chunk", calls, chunks_engine),
            ]
        else:
            stream = STREAM_CHUNKS if plan.chunks else STREAM_FRAMES
            measured = [
                live_side(stream, calls, server, timing, plan.at_once),
                live_side(BASELINE_CHUNKS, calls, server, timing, 1),
            ]
        measured += whole_sides(calls, server.model)
        sides[condition] = {side.name: side.figures(calls, timing) for side in measured}
    nothing = {}
    if plan.quiet_s:
        nothing = texts_out_of_nothing(plan.quiet_s, server.choice().loaded(), server)
    return Accuracy(audio_s, sides, nothing)


def minutes_as_s(minutes: float) -> float:
    """Seconds; 0 minutes stands for everything that is recorded."""
    return minutes * 60 or inf


def print_table(result: Accuracy) -> None:
    """A table for each condition, what came out of nothing, and the bars."""
    for condition, sides in result.sides.items():
        title = f"{condition}, {result.audio_s[condition] / 60:.1f} minutes"
        table = Table(
            Column(no_wrap=True),
            *sides,
            title=title,
            title_justify="left",
            box=None,
            pad_edge=False,
        )
        for row in next(iter(sides.values())):
            table.add_row(row, *(_shown(row, figures[row]) for figures in sides.values()))
        Console().print(table)
    for sound, text in result.out_of_nothing.items():
        Console().print(f"{sound}: {text or 'no text'}", highlight=False)
    print_bars(result.bars())


def _shown(row: str, value: Any) -> str:
    if value is None:
        return "-"
    if row == "wer":
        return f"{value:.2%}"
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return f"{value:g}"
