"""The benchmarks' pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Sequence[tuple[float, float]]


def plot_latency(latencies_s: Mapping[str, Sequence[float]], directory: Path) -> Path:
    """The share of words that arrived within so many seconds, as `latency.png`; its path."""
    curves = {
        name: [(wait_s, n / len(waits)) for n, wait_s in enumerate(sorted(waits), 1)]
        for name, waits in latencies_s.items()
    }

    def label(axes: "Axes") -> None:
        axes.set(
            xlabel="seconds after the word was spoken", ylabel="share of words that have arrived"
        )
        axes.set_xlim(left=0)

    return _plot(curves, "", label, directory / "latency.png")


def plot_capacity(p95_s: Mapping[str, Points], limit_s: float, directory: Path) -> Path:
    """p95 of word latency against calls, as `capacity.png`; its path."""
    curves = {name: sorted(points) for name, points in p95_s.items()}

    def label(axes: "Axes") -> None:
        axes.axhline(limit_s, color="grey", linestyle="--", label=f"limit {limit_s:g} s")
        axes.set(xlabel="calls at once, in real time", ylabel="word latency p95, seconds")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")

    return _plot(curves, "o", label, directory / "capacity.png")


def plot_overload(
    p95_s: Mapping[str, Points], overload_s: tuple[float, float], directory: Path
) -> Path:
    """p95 of word latency against time, as `overload.png`; its path."""

    def label(axes: "Axes") -> None:
        axes.axvspan(*overload_s, color="orange", alpha=0.15, label="all calls speak")
        axes.set(xlabel="when words were spoken, seconds", ylabel="word latency p95, seconds")
        axes.set_ylim(bottom=0)

    return _plot(p95_s, "o", label, directory / "overload.png")


def _plot(
    curves: Mapping[str, Points], marker: str, label: Callable[["Axes"], None], path: Path
) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        if points:
            axes.plot(*zip(*points, strict=True), marker=marker, label=name)
    label(axes)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
