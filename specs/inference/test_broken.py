"""broken: no context could be loaded."""

from callfsm.fsm.table import Event, Policy
from callfsm.inference import events as ev
from callfsm.inference.events import Answer, CloseContexts
from specs.inference.scenes import (
    NO_MORE,
    batch_done,
    batch_failed,
    broken,
    load_failed,
    request,
    submitted,
    withdrawn,
)
from specs.policies import every_other_event


def test_submitted() -> None:
    """Without a context every request is refused at once."""
    broken().when(submitted(1)).then("broken", Answer(request(1), None, NO_MORE))


def test_stop() -> None:
    """A broken pool ends when the service does."""
    broken().when(ev.StopRequested()).then("stopped", CloseContexts())


@every_other_event(
    ignored=[withdrawn(1)],
    rejected=[
        ev.ContextReady(0),
        load_failed(0),
        batch_done(0),
        batch_failed(0),
        ev.ReloadDue(0),
        ev.AllIdle(),
        ev.NoneLeft(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """Nothing waits that could be withdrawn, and no context is left that could report."""
    broken().when(event).then_policy(policy)
