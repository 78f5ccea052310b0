"""The beat wakes readers together, and spreads those that seldom read."""

import gevent
import pytest

from service import beat
from service.beat import Beat


@pytest.mark.parametrize(
    ("waits", "woken"),
    [
        ([(1, 5), (1, 6), (1, 7)], [1, 1, 1]),
        ([(3, 5), (3, 6), (3, 7), (3, 8)], [2, 3, 1, 2]),
        ([(3, 6), (1, 6), (2, 7)], [3, 1, 1]),
    ],
)
def test_who_waits_is_woken_at_a_beat_of_its_own(
    waits: list[tuple[int, int]], woken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every beat wakes all; of every third, calls 5, 6 and 7 have one each, and call 8 call 5's."""
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
