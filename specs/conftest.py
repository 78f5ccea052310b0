"""Frozen time for every spec that needs it."""

import time
from collections.abc import Iterator

import pytest
from freezegun import freeze_time

from callfsm.runtimes.simulated import SimulatedRuntime


@pytest.fixture
def runtime() -> Iterator[SimulatedRuntime]:
    """A simulated runtime whose clock is the frozen `time.monotonic`."""
    with freeze_time("2026-01-01 12:00:00") as frozen:
        yield SimulatedRuntime(clock=time.monotonic, tick=frozen.tick)
