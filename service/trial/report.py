"""How a trial is shown: the calls while they are spoken, and the figures at the end."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from service.trial.play import CallResult, Played

STATE_STYLES = {
    "registered": "yellow",
    "buffering": "cyan",
    "inferring": "magenta",
    "forwarding": "green",
    "closed": "dim",
}


def live_table(snapshot: Sequence[dict[str, Any]]) -> Table:
    """Each call's state and text; words that may still change are dim."""
    table = Table(title="calls", title_justify="left", expand=True)
    table.add_column("call", justify="right")
    table.add_column("state", min_width=12)
    table.add_column("heard", justify="right")
    table.add_column("text", ratio=1)
    for call in snapshot:
        text = Text(call["text"])
        if call["tentative"]:
            text.append(" " + call["tentative"], style="dim italic")
        table.add_row(
            str(call["call_id"]),
            Text(call["state"], style=STATE_STYLES.get(call["state"], "")),
            f"{call['heard_s']:.1f} s",
            text,
        )
    return table


def summary_table(results: Sequence[CallResult]) -> Table:
    table = Table(title="what arrived at LLaMA", title_justify="left", show_lines=True)
    table.add_column("call", justify="right")
    table.add_column("text", ratio=1)
    table.add_column("WER", justify="right")
    table.add_column("first text", justify="right")
    table.add_column("word latency\nmean / p95", justify="right")
    table.add_column("final text", justify="right")
    for result in results:
        row = summary_row(result)
        table.add_row(
            str(result.call_id),
            result.text,
            f"{row['wer']:.1%}",
            _seconds(row["first_text_s"]),
            f"{_seconds(row['word_latency_mean_s'])} / {_seconds(row['word_latency_p95_s'])}",
            _seconds(row["final_text_s"]),
        )
    return table


def summary_row(result: CallResult) -> dict[str, Any]:
    """One call's figures, by the names that --json uses."""
    return {
        "call_id": result.call_id,
        "reference": result.reference,
        "text": result.text,
        "text_in_database": result.stored_text,
        "state": result.state,
        "wer": round(result.errors.wer, 4),
        "first_text_s": _rounded(result.first_text_s),
        "final_text_s": _rounded(result.final_text_s),
        **latency_figures(result.word_latencies_s),
    }


def summary(played: Played) -> dict[str, Any]:
    """The whole run."""
    return {
        "pooled_wer": round(played.errors.wer, 4),
        **latency_figures(played.word_latencies_s),
        "problems": played.problems,
        "calls": [summary_row(result) for result in played.results],
    }


def latency_figures(latencies_s: Sequence[float]) -> dict[str, float | None]:
    if len(latencies_s) < 2:
        return {"word_latency_mean_s": None, "word_latency_p95_s": None}
    return {
        "word_latency_mean_s": round(statistics.fmean(latencies_s), 3),
        "word_latency_p95_s": round(statistics.quantiles(latencies_s, n=20)[-1], 3),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
