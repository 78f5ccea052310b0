"""The limit of open files is raised as far as it goes, and a low one is told."""

import logging
import resource

import pytest

from service.open_files import allow_open_files

NO_LIMIT = resource.RLIM_INFINITY


class Limits:
    """The system's limits, of which setting one may fail."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)
        self.allows = 10**9  # more is refused, whatever `hard` says

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, limits: tuple[int, int]) -> None:
        if limits[0] > self.allows:
            raise ValueError("not allowed")
        self.now = limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Limits:
    caplog.set_level(logging.WARNING)
    system = Limits(1024, 8192)
    monkeypatch.setattr(resource, "getrlimit", system.get)
    monkeypatch.setattr(resource, "setrlimit", system.set)
    return system


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 8192), (8192, 8192)),
        ((256, NO_LIMIT), (65_536, NO_LIMIT)),
        ((100_000, 200_000), (100_000, 200_000)),
        ((NO_LIMIT, NO_LIMIT), (NO_LIMIT, NO_LIMIT)),
    ],
)
def test_the_limit_is_raised(
    limits: Limits,
    before: tuple[int, int],
    after: tuple[int, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As far as the system lets us, never down, and with nothing to tell."""
    limits.now = before
    allow_open_files(max_calls=500)
    assert limits.now == after
    assert caplog.messages == []


def test_a_system_that_allows_less_than_it_says(limits: Limits) -> None:
    """As macOS does: as much as it takes is taken, by halves."""
    limits.now, limits.allows = (256, NO_LIMIT), 10_240
    allow_open_files(max_calls=500)
    assert limits.now == (8192, NO_LIMIT)


def test_a_limit_that_is_too_low_is_told(limits: Limits, caplog: pytest.LogCaptureFixture) -> None:
    """The operator learns which limit it is, and what would be enough."""
    limits.allows = 1024
    allow_open_files(max_calls=500)
    assert limits.now == (1024, 8192)
    assert caplog.messages == ["1024 open files are allowed (ulimit -n); 500 calls may need 1564"]
