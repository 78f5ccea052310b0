"""The beat wakes readers together, and spreads those that seldom read."""

import gevent
import pytest

from service import beat
from service.beat import Beat


@pytest.mark.parametrize(
    ("waits", "woken"),
    [
        ([(1, 5), (1, 15), (1, 25)], [1, 1, 1]),
        ([(3, 8), (3, 15), (3, 16), (3, 24), (3, 32)], [1, 1, 2, 3, 1]),
        ([(3, 24), (1, 24), (2, 8)], [3, 1, 1]),
    ],
)
def test_who_waits_is_woken_at_a_beat_of_its_own(
    waits: list[tuple[int, int]], woken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every beat wakes all; of three, eight calls have one together, and the next eight another."""
    monkeypatch.setattr(beat, "BEAT_S", 0.001)
    hub_beat, beats = Beat(), 0
    at: dict[int, int] = {}

    def sleep(who: int, every: int, of: int) -> None:
        hub_beat.wait(every, of)
        at[who] = beats

    sleepers = [gevent.spawn(sleep, who, *wait) for who, wait in enumerate(waits)]
    gevent.sleep(0)
    hub_beat.start()
    for beats in range(1, 4):  # noqa: B007
        hub_beat.wait()
    gevent.joinall(sleepers, timeout=5.0)
    hub_beat.stop()
    assert [at[who] for who in range(len(waits))] == woken
