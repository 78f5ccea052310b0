"""How the benchmarks compare ways to transcribe."""

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.engine_parameters import Piece
from benchmarks.turns import Cost, Heard, Way, alone, show, take_turns, together
from callfsm.inference.engine import AudioWindow
from service.engines.fake import ScriptedEngine

TEXTS = ("one", "two", "three", "four", "five")
PIECES = [Piece(text, np.full(160, index, np.float32)) for index, text in enumerate(TEXTS)]


def test_every_way_hears_a_window_before_any_hears_the_next() -> None:
    """Each turn is as many windows as the way that takes most; what fills no turn is left out."""
    asked: list[tuple[str, list[int]]] = []

    def way(name: str, at_once: int) -> Way:
        def hear(numbers: Sequence[int]) -> Heard:
            asked.append((name, list(numbers)))
            return 1.0, 2.0, ["one"] * len(numbers)

        return Way(hear, at_once)

    costs = take_turns({"a": way("a", 1), "b": way("b", 2)}, PIECES, repeats=2)
    first = [("a", [0]), ("a", [1]), ("b", [0, 1])]
    second = [("a", [2]), ("a", [3]), ("b", [2, 3])]
    assert asked == 2 * (first + second)
    assert costs["a"].cpu_s == {0: [1.0, 1.0], 1: [1.0, 1.0], 2: [1.0, 1.0], 3: [1.0, 1.0]}
    assert costs["b"].wall_s == {0: [1.0, 1.0], 2: [1.0, 1.0]}  # of two windows: half for each
    assert costs["a"].errors.reference_words == costs["b"].errors.reference_words == 4
    assert costs["a"].errors.wer == 0.75


def test_an_engine_is_given_the_windows_of_a_turn_together() -> None:
    """And each text is that of its own window."""
    engine = ScriptedEngine(TEXTS, max_batch=2)
    _, _, texts = alone(engine, PIECES, 2).hear([3, 1])
    assert texts == ["one", "two"]
    assert [window.samples[0] for window in engine.heard] == [3, 1]


def test_engines_together_share_the_windows() -> None:
    """Every window is heard by one of them, and the texts are in the order of the windows."""

    class Echo(ScriptedEngine):
        def transcribe(self, windows: Sequence[AudioWindow]) -> list:
            self._script.append(TEXTS[int(windows[0].samples[0])])
            return super().transcribe(windows)

    engines = [Echo(), Echo()]
    way = together(engines, PIECES)
    assert way.at_once == len(PIECES)
    assert way.hear(range(5))[2] == list(TEXTS)
    heard = sorted(int(window.samples[0]) for engine in engines for window in engine.heard)
    assert heard == [0, 1, 2, 3, 4]


def test_a_row_is_the_mean_over_windows_of_the_median_over_repeats(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One turn that other work disturbed changes nothing."""
    base = Cost({0: [0.1, 9.0, 0.1], 1: [0.3, 0.3, 0.3]}, {0: [0.1], 1: [0.3]})
    half = Cost({0: [0.1, 0.1, 0.1], 1: [0.1, 0.1, 9.0]}, {0: [0.1], 1: [0.5]})
    show({"base": base, "half": half}, "base")
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows == [
        "| base | 200 | 200 | 1.00 | 1.00 | 0.0 % |",
        "| half | 100 | 300 | 0.50 | 1.50 | 0.0 % |",
    ]
