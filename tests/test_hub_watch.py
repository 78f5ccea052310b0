"""The server tells how late its hub is."""

import time

import gevent
import pytest
from prometheus_client import CollectorRegistry

from service import hub_watch
from service.hub_watch import HubWatch
from service.metrics import Metrics

HELD_S = 0.06


def late(registry: CollectorRegistry, name: str, **labels: str) -> float:
    value = registry.get_sample_value(f"callfsm_hub_late_seconds_{name}", labels)
    assert value is not None
    return value


def test_a_held_hub_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who computes for 60 ms without a switch makes one waking 50 ms late, or more."""
    monkeypatch.setattr(hub_watch, "EVERY_S", 0.005)
    metrics = Metrics()
    watch = HubWatch(metrics)
    watch.start()
    gevent.sleep(0)
    until_s = time.monotonic() + HELD_S
    while time.monotonic() < until_s:
        pass
    while late(metrics.registry, "count") == 0:
        gevent.sleep(0.001)
    watch.stop()
    assert late(metrics.registry, "bucket", le="0.05") < late(metrics.registry, "count")
    assert late(metrics.registry, "sum") > HELD_S - 0.01
