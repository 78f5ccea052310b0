"""stopping: what runs is finished, the rest is refused."""

from callfsm.fsm.table import Event, Policy
from callfsm.inference import events as ev
from callfsm.inference.events import AbortBatch, Answer, CloseContexts
from specs.inference.scenes import (
    NO_MORE,
    TRANSCRIPT,
    batch_done,
    batch_failed,
    load_failed,
    request,
    stopping,
    submitted,
    withdrawn,
)
from specs.policies import every_other_event


def test_submitted() -> None:
    """A request that comes now is refused."""
    stopping().when(submitted(9)).then("stopping", Answer(request(9), None, NO_MORE))


def test_batch_done() -> None:
    """What ran is answered; with the last of it every context is freed."""
    pool = stopping(running=2).when(batch_done(0))
    pool.then("stopping", Answer(request(1), TRANSCRIPT))
    pool.when(batch_done(1)).then("stopped", Answer(request(2), TRANSCRIPT), CloseContexts())


def test_batch_failed() -> None:
    """A context that fails now is not loaded anew."""
    pool = stopping(running=2).when(batch_failed(0))
    pool.then("stopping", Answer(request(1), None, "aborted"))
    pool.when(batch_failed(1))
    pool.then("stopped", Answer(request(2), None, "aborted"), CloseContexts())


def test_withdrawn() -> None:
    """A window that nobody waits for any more is aborted, so that the end comes sooner."""
    stopping().when(withdrawn(1)).then("stopping", AbortBatch(0))


@every_other_event(
    ignored=[ev.StopRequested(), ev.ContextReady(0), load_failed(0), ev.ReloadDue(0)],
    rejected=[ev.NoneLeft()],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """A second request to stop changes nothing, and a context that is ready now is too late."""
    stopping().when(event).then_policy(policy)
