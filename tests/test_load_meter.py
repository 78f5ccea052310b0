"""How busy the contexts are."""

import pytest

from callfsm.inference.load import WINDOW_S, LoadMeter


def test_nothing_ran_yet() -> None:
    """Before the first window there is no load."""
    assert LoadMeter().load(100.0) == 0.0


def test_load_follows_what_runs() -> None:
    """After a long time the load is what has run all along; it falls the same way."""
    meter = LoadMeter()
    meter.update(0.0, 0.5)
    assert meter.load(10 * WINDOW_S) == pytest.approx(0.5, abs=0.001)
    meter.update(10 * WINDOW_S, 0.0)
    assert meter.load(20 * WINDOW_S) == pytest.approx(0.0, abs=0.001)


def test_load_is_an_average() -> None:
    """Contexts that work half of the time are half busy, however short the windows are."""
    meter = LoadMeter()
    for n in range(200):
        meter.update(n * 0.1, float(n % 2))
    assert meter.load(20.0) == pytest.approx(0.5, abs=0.03)


def test_a_single_window_is_soon_forgotten() -> None:
    """A window of 0.2 s does not stop the looks of the next seconds."""
    meter = LoadMeter()
    meter.update(5.0, 1.0)
    meter.update(5.2, 0.0)
    assert 0.05 < meter.load(5.2) < 0.15
