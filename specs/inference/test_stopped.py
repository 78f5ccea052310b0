"""stopped: every context is freed."""

from callfsm.fsm.table import Event, Policy
from callfsm.inference import events as ev
from callfsm.inference.events import CloseContexts
from specs.inference.scenes import (
    batch_done,
    batch_failed,
    load_failed,
    serving,
    stopped,
    submitted,
    withdrawn,
)
from specs.policies import every_other_event


def test_stop_when_idle() -> None:
    """When nothing runs, the end of the service frees every context at once."""
    pool = serving().when(ev.StopRequested())
    assert pool.the(CloseContexts)
    assert pool.state == "stopped"


@every_other_event(
    ignored=[
        submitted(1),
        withdrawn(1),
        ev.ContextReady(0),
        load_failed(0),
        batch_done(0),
        batch_failed(0),
        ev.ReloadDue(0),
        ev.StopRequested(),
        ev.AllIdle(),
        ev.NoneLeft(),
    ],
)
def test_every_event(event: Event, policy: Policy) -> None:
    """Whatever comes after the end is ignored."""
    stopped().when(event).then_policy(policy)
