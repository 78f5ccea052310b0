"""How busy the contexts are, so that looks ahead spend only what is spare."""

from math import exp

WINDOW_S = 2.0  # the time constant: some windows, and soon over when the load falls


class LoadMeter:
    """The share of the contexts' time in use, averaged over the last seconds."""

    __slots__ = ("_average", "_busy", "_since_s")

    def __init__(self) -> None:
        self._average = 0.0
        self._busy = 0.0  # the share of the contexts that has worked since `_since_s`
        self._since_s = 0.0

    def update(self, now_s: float, busy: float) -> None:
        """From now on the share `busy` of the contexts works, 0..1."""
        self._average, self._since_s, self._busy = self.load(now_s), now_s, busy

    def load(self, now_s: float) -> float:
        """The average, 0..1, recent times weighing more."""
        kept = exp(-(now_s - self._since_s) / WINDOW_S)
        return self._busy + (self._average - self._busy) * kept
