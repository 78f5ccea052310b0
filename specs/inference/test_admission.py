"""A new call comes in when the calls that are here already can be borne."""

import pytest

from callfsm.inference.admission import FEW, GROWTH_S, LATE_S, MEMORY_S, Admission, Refusal

IDLE, BUSY = 0.5, 1.0


@pytest.fixture
def admission() -> Admission:
    return Admission(contexts=2)


def let_in(admission: Admission, now_s: float, calls: int) -> int:
    """How many of a hundred that register at once come in beside `calls` others."""
    answers = [admission.refuses(now_s, BUSY, calls) for _ in range(100)]
    return answers.count(None)


def test_idle(admission: Admission) -> None:
    """While the contexts have time to spare, everybody comes in at once."""
    assert [admission.refuses(0.0, IDLE, 500) for _ in range(100)] == [None] * 100


def test_busy(admission: Admission) -> None:
    """Busy contexts get a quarter more calls in ten seconds; the refused do not prolong it."""
    assert let_in(admission, 0.0, 80) == 20
    assert let_in(admission, GROWTH_S - 0.1, 100) == 5
    assert let_in(admission, GROWTH_S, 100) == 20


def test_few(admission: Admission) -> None:
    """A few can become more: eight for each context, in that time."""
    assert let_in(admission, 0.0, 3) == 2 * FEW
    assert admission.refuses(0.0, BUSY, 3) is Refusal.CROWD


def test_windows_wait(admission: Admission) -> None:
    """The longer a window has waited in the last five seconds, the fewer come in."""
    admission.waited(0.0, 0.75 * LATE_S)
    admission.waited(1.0, 0.5 * LATE_S)
    admission.waited(2.0, 0.25 * LATE_S)
    assert let_in(admission, 3.0, 80) == 5
    assert let_in(admission, MEMORY_S, 80) == 10 - 5
    assert let_in(admission, 1.0 + MEMORY_S, 80) == 15 - 10
    assert let_in(admission, 2.0 + MEMORY_S, 80) == 20 - 15


def test_late(admission: Admission) -> None:
    """Once a window has waited a second, nobody comes in for five seconds, however idle."""
    admission.waited(100.0, LATE_S)
    admission.waited(103.0, 0.1)
    assert admission.refuses(100.0, IDLE, 0) is Refusal.LATE
    assert admission.refuses(99.9 + MEMORY_S, IDLE, 0) is Refusal.LATE
    assert admission.refuses(100.0 + MEMORY_S, IDLE, 0) is None
