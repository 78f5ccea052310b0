"""closed: the service ends."""

from callfsm.fsm.table import Event, Policy
from callfsm.link import events as ev
from callfsm.runtimes.simulated import SimulatedRuntime
from specs.link.scenes import HELLO, closed, live
from specs.policies import every_other_event


def test_nothing_is_left(runtime: SimulatedRuntime) -> None:
    """A link that closed leaves no timer."""
    link = live(runtime).after(ev.ConnectFailed(), ev.Close())
    assert link.state == "closed"
    assert len(runtime.timers) == 0


@every_other_event(
    ignored=[
        ev.Open(),
        ev.CallEnded(),
        HELLO,
        ev.Connected(),
        ev.ConnectFailed(),
        ev.Settled(),
        ev.Written(),
        ev.Lost(),
        ev.RetryDue(),
        ev.Close(),
        ev.CloseOverdue(),
        ev.IdleElapsed(),
        ev.AllDelivered(),
    ],
)
def test_every_event(event: Event, policy: Policy) -> None:
    """Whatever comes after the end is ignored."""
    closed().when(event).then_policy(policy)
