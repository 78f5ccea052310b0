"""A new call comes in when the calls that are here already can be borne."""

import pytest

from callfsm.inference.admission import CALM_S, LATE_S, STEP_S, Admission, Refusal

IDLE, BUSY = 0.5, 1.0


@pytest.fixture
def admission() -> Admission:
    return Admission(contexts=2)


def test_idle(admission: Admission) -> None:
    """While the contexts have time to spare, everybody comes in at once."""
    assert [admission.refuses(0.0, IDLE) for _ in range(100)] == [None] * 100


def test_late(admission: Admission) -> None:
    """Once a window has waited more than two seconds, nobody comes in for five, however idle."""
    admission.waited(100.0, LATE_S + 0.1)
    assert admission.refuses(100.0, IDLE) is Refusal.LATE
    assert admission.refuses(100.0 + CALM_S - 0.1, IDLE) is Refusal.LATE
    assert admission.refuses(100.0 + CALM_S, IDLE) is None


def test_still_late(admission: Admission) -> None:
    """The five seconds begin with the last window that was late."""
    admission.waited(100.0, LATE_S + 0.1)
    admission.waited(103.0, LATE_S + 0.1)
    admission.waited(104.0, LATE_S)
    assert admission.refuses(100.0 + CALM_S, IDLE) is Refusal.LATE
    assert admission.refuses(103.0 + CALM_S, IDLE) is None


def test_crowd(admission: Admission) -> None:
    """While they are busy, calls come in one at a time, a quarter of a second apart with two
    contexts; the refused do not prolong it."""
    let_in = [t for t in range(100) if admission.refuses(t / 100, BUSY) is None]
    assert let_in == [0, 25, 50, 75]
    assert admission.refuses(0.99, BUSY) is Refusal.CROWD


def test_more_contexts() -> None:
    """Eight contexts bear four times as many."""
    admission = Admission(contexts=8)
    assert admission.refuses(0.0, BUSY) is None
    assert admission.refuses(STEP_S / 8 - 0.01, BUSY) is Refusal.CROWD
    assert admission.refuses(STEP_S / 8, BUSY) is None
