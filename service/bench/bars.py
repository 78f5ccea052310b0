"""A figure beside what is asked of it: met, or missed by how much."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """`value` must be at most `limit`, or at least with `at_least`; None was not measured."""

    name: str
    value: float | None
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def rule(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}".rstrip()

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        missing = abs(self.value - self.limit)
        return "met" if self.is_met else f"missed by {missing:.3g} {self.unit}".rstrip()

    def figures(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "bar": self.rule, "met": self.is_met}


def print_bars(bars: Sequence[Bar]) -> None:
    """A row each."""
    table = Table("figure", "measured", "bar", "", box=None, pad_edge=False)
    for bar in bars:
        value = "-" if bar.value is None else f"{bar.value:.4g} {bar.unit}".rstrip()
        style = "green" if bar.is_met else "red"
        table.add_row(bar.name, value, bar.rule, f"[{style}]{bar.verdict}[/]")
    Console().print(table)


def percentile(percent: int, values: Sequence[float | None]) -> float | None:
    """Of the values that are known, rounded to milliseconds; None without any."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return round(known[0], 3) if known else None
    return round(statistics.quantiles(known, n=100, method="inclusive")[percent - 1], 3)


def mean(values: Sequence[float]) -> float | None:
    """Rounded to milliseconds; None without any."""
    return round(statistics.fmean(values), 3) if values else None


def sooner_percent(base: float | None, other: float | None) -> float | None:
    """How much less `other` is than `base`, in percent of `base`."""
    if not base or other is None:
        return None
    return round(100 * (1 - other / base), 1)


def times_as_much(base: float | None, other: float | None) -> float | None:
    """`other` over `base`."""
    if not base or other is None:
        return None
    return round(other / base, 3)
