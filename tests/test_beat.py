"""The beat wakes readers together, and tells how late the hub is."""

import time

import gevent
import pytest
from prometheus_client import CollectorRegistry

from service import beat
from service.beat import Beat
from service.metrics import Metrics

HELD_S = 0.06


def late(registry: CollectorRegistry, name: str, **labels: str) -> float:
    value = registry.get_sample_value(f"callfsm_hub_late_seconds_{name}", labels)
    assert value is not None
    return value


def test_a_held_hub_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who computes for 60 ms without a switch makes one waking 50 ms late, or more."""
    monkeypatch.setattr(beat, "BEAT_S", 0.005)
    metrics = Metrics()
    hub_beat = Beat(metrics)
    hub_beat.start()
    gevent.sleep(0)
    until_s = time.monotonic() + HELD_S
    while time.monotonic() < until_s:
        pass
    while late(metrics.registry, "count") == 0:
        gevent.sleep(0.001)
    hub_beat.stop()
    assert late(metrics.registry, "bucket", le="0.05") < late(metrics.registry, "count")
    assert late(metrics.registry, "sum") > HELD_S - 0.01


def test_who_waits_for_the_same_beat_wakes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five that wait for every third beat and one for the next, the five wake at the third."""
    monkeypatch.setattr(beat, "BEAT_S", 0.002)
    metrics = Metrics()
    hub_beat = Beat(metrics)
    woken: list[tuple[str, int]] = []

    def sleeper(name: str, every: int) -> None:
        hub_beat.wait(every)
        woken.append((name, int(late(metrics.registry, "count"))))

    sleepers = [gevent.spawn(sleeper, "third", 3) for _ in range(5)]
    sleepers.append(gevent.spawn(sleeper, "next", 1))
    gevent.sleep(0)
    hub_beat.start()
    gevent.joinall(sleepers, timeout=5.0)
    hub_beat.stop()
    assert woken == [("next", 1), *[("third", 3)] * 5]
