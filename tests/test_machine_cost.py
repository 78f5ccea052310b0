"""What the machinery may cost. `python -m benchmarks.machine` prints the figures."""

import pytest

from benchmarks.machine import (
    ACTORS,
    AUDIO,
    alone_us,
    buffer_bytes,
    bytes_each,
    call,
    gevent_us,
    many_calls,
    simulated_us,
)
from callfsm.call.events import AudioConnected

SLOWER = 2.0  # than the machine of docs/library.md: for a busy one, or an old one


def test_an_event_through_a_machine_is_cheap() -> None:
    """15 microseconds: the frame of a call that leaves `buffering` and enters it again."""
    assert alone_us(AudioConnected(), AUDIO) <= 15.0 * SLOWER


@pytest.mark.parametrize("measure", [simulated_us, gevent_us])
def test_a_core_takes_thirty_thousand_events_a_second(measure: object) -> None:
    """Told, handled, and a timer moved: 33 microseconds an event."""
    assert measure() <= 1e6 / 30_000 * SLOWER  # type: ignore[operator]


def test_a_call_is_small() -> None:
    """2 KB beside its buffer of audio."""
    assert bytes_each(call) - buffer_bytes() <= 2_048


def test_ten_thousand_calls_live_in_one_process() -> None:
    """Each has a mailbox, a time-out and a frame to handle; none is lost."""
    assert many_calls()["calls_at_once"] == ACTORS == 10_000
