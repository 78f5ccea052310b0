"""Back-off: the wait grows up to its limit, and a series of failures without end is no fault."""

import pytest

from callfsm.fsm import Strategy, growing_wait_s
from callfsm.fsm.table import SetTimer
from callfsm.inference import events as ev
from callfsm.inference.pool import RELOAD_AFTER_MAX_S
from examples.reconnecting_client.client import LONGEST_BACKOFF_S, Client, backoff_s
from specs.inference.scenes import batch_failed, load_failed, serving, submitted

TOO_MANY = 2_000  # doublings: 1e308 is the end of floats


@pytest.mark.parametrize(
    ("factor", "waits_s"), [(1.0, [0.5, 0.5, 0.5]), (2.0, [0.5, 1.0, 2.0]), (3.0, [0.5, 1.5, 3.0])]
)
def test_the_wait_grows_up_to_its_limit(factor: float, waits_s: list[float]) -> None:
    """The first wait, then each time `factor` times as long, and never longer than the limit."""
    assert [growing_wait_s(n, 0.5, 3.0, factor) for n in (1, 2, 3)] == waits_s


@pytest.mark.parametrize("failures", [1_023, 1_024, 1_025, 1_026, 1_000_000])
def test_no_number_of_failures_is_too_large(failures: int) -> None:
    """Past what a float holds the wait is the longest."""
    assert growing_wait_s(failures, 0.5, 3.0) == 3.0
    assert Strategy(restarts=failures).wait_s(failures) == 10.0


def test_a_context_that_cannot_be_loaded_for_days() -> None:
    """It is tried once a minute for ever, and the inference actor does not crash of it."""
    pool = serving().after(submitted(1), batch_failed(0))
    for _ in range(TOO_MANY):
        pool.after(load_failed(0), ev.ReloadDue(0))
    pool.when(load_failed(0))
    assert pool.the(SetTimer).after_s == RELOAD_AFTER_MAX_S


def test_a_client_whose_server_is_away_for_hours() -> None:
    """The example's client tries on, too."""
    client = Client()
    client.failures = TOO_MANY
    assert backoff_s(client) == LONGEST_BACKOFF_S
