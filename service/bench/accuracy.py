"""What streaming costs in accuracy: the same calls, live through the server and as whole files.

Both sides use the same weights and the same audio, in one run. The live side is a trial: a server
process, the real protocol, real time.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from service.engines.whispercpp import WhisperCppEngine, whole_file_text
from service.peers.chunking import Style
from service.speech import prompts
from service.speech.corpus import SpokenCall, demo_calls, prompt_calls
from service.speech.wer import WordErrors, word_errors
from service.trial.play import Played, Trial
from service.trial.report import latency_figures
from service.weights.resolve import resolve


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Word errors of both sides, over the same calls."""

    calls: Sequence[SpokenCall]
    live: Played
    whole: list[WordErrors]

    @property
    def points(self) -> float:
        """WER live minus WER whole-file, in percentage points."""
        return 100 * (self.live.errors.wer - self.whole_pooled.wer)

    @property
    def whole_pooled(self) -> WordErrors:
        return sum(self.whole, WordErrors())

    def figures(self) -> dict[str, Any]:
        """Everything, by the names that --json uses."""
        live = self.live.errors
        return {
            "calls": len(self.calls),
            "audio_s": round(sum(call.duration_s for call in self.calls), 1),
            "reference_words": live.reference_words,
            "wer_live": round(live.wer, 4),
            "wer_whole_file": round(self.whole_pooled.wer, 4),
            "wer_difference_points": round(self.points, 2),
            "live": _kinds(live),
            "whole_file": _kinds(self.whole_pooled),
            **latency_figures(self.live.word_latencies_s),
            "problems": self.live.problems,
        }


def measure(total_s: float, *, at_once: int, model: str, style: Style, seed: int) -> Accuracy:
    """Play calls live, then transcribe each as a whole. Raises CallfsmError like `Trial.play`."""
    weights = resolve(model)
    engine = WhisperCppEngine(weights)
    engine.load()
    calls = speech(total_s, seed)
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-bench-") as directory,
        Console(stderr=True).status(f"{len(calls)} calls, {at_once} at once, in real time"),
    ):
        trial = Trial(Path(directory), at_once, style, serve_options=("--model", model))
        live = trial.play(calls, engine)
    whole = [word_errors(call.text, whole_file_text(weights, call.samples)) for call in calls]
    return Accuracy(calls, live, whole)


def speech(total_s: float, seed: int) -> list[SpokenCall]:
    """Calls of a minute of recorded prompts where they are installed, else of the voice."""
    if prompts.available():
        return prompt_calls(total_s, min(60.0, total_s), seed)
    seconds = 25.0
    return demo_calls(max(1, round(total_s / seconds)), seconds, synthetic=True)


def print_table(result: Accuracy) -> None:
    """Both sides, side by side."""
    table = Table("", "live", "whole file", box=None, pad_edge=False)
    figures = result.figures()
    table.add_row("WER", f"{figures['wer_live']:.2%}", f"{figures['wer_whole_file']:.2%}")
    for kind, count in figures["live"].items():
        table.add_row(kind, str(count), str(figures["whole_file"][kind]))
    mean_s, p95_s = figures["word_latency_mean_s"], figures["word_latency_p95_s"]
    table.add_row("word latency mean / p95", f"{mean_s} / {p95_s} s", "")
    table.add_row("difference", f"{figures['wer_difference_points']:+.2f} points", "")
    table.add_row("lost", "; ".join(figures["problems"]) or "nothing", "")
    Console().print(table)


def _kinds(errors: WordErrors) -> dict[str, int]:
    return {
        "substitutions": errors.substitutions,
        "deletions": errors.deletions,
        "insertions": errors.insertions,
    }
