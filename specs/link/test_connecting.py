"""connecting: the peer was asked; it answers or the attempt fails."""

from callfsm.fsm.table import Event, Policy, SetTimer
from callfsm.link import events as ev
from callfsm.link.events import (
    Connect,
    Disconnect,
    LinkClosed,
    Undelivered,
    Unreachable,
    Write,
)
from callfsm.link.link import OVERDUE, SETTLE
from callfsm.runtimes.simulated import SimulatedRuntime
from specs.link.scenes import HELLO, connecting, live
from specs.policies import every_other_event


def test_connected() -> None:
    """A new connection is not trusted with text for 300 ms: the peer may refuse it."""
    link = connecting().after(HELLO).when(ev.Connected())
    link.then("settling", SetTimer(SETTLE, 0.3, ev.Settled()))


def test_deliver() -> None:
    """Text that comes before the connection waits."""
    connecting().when(HELLO).then("connecting")


def test_retry_schedule(runtime: SimulatedRuntime) -> None:
    """Attempts are 200 ms apart for the first five, then 1 s; from the tenth on, 2 s."""
    link = live(runtime).after(HELLO)
    for wait_s in [0.2] * 5 + [1.0] * 4 + [2.0] * 5:
        link.after(ev.ConnectFailed())
        link.advance(wait_s - 0.01).then("waiting")
        link.advance(0.02).then("connecting", Connect())


def test_unreachable_is_told_once(runtime: SimulatedRuntime) -> None:
    """After ten attempts the link tells, once, that the peer is away; its text still waits."""
    link = live(runtime).after(HELLO)
    for attempt in range(1, 31):
        link.when(ev.ConnectFailed())
        told = [Unreachable(waiting=1)] if attempt == 10 else []
        link.then("waiting", Disconnect(bye=False), *told)
        link.advance(2.1).then("connecting", Connect())


def test_close() -> None:
    """Nothing waits: the end of the service is the end of the link."""
    connecting().when(ev.Close()).then("closed", Disconnect(bye=True), LinkClosed())


def test_close_while_text_waits() -> None:
    """Text that waits when the service ends gets five seconds more."""
    link = connecting().after(HELLO).when(ev.Close())
    link.then("connecting", SetTimer(OVERDUE, 5.0, ev.CloseOverdue()))


def test_close_overdue(runtime: SimulatedRuntime) -> None:
    """A peer that does not answer for five seconds loses the text, and that is told."""
    link = live(runtime).after(HELLO, ev.Close())
    link.advance(4.9).then("connecting")
    lost = Undelivered(("hello",))
    link.advance(0.2).then("closed", lost, Disconnect(bye=False), LinkClosed())


def test_open() -> None:
    """A call that begins has the connection, too, when it is there."""
    link = connecting().after(ev.CallEnded()).when(ev.Open()).then("connecting")
    link.after(ev.Connected()).when(ev.Settled()).then("connected")


def test_call_ended() -> None:
    """What its call said last may still be delivered: the link goes on trying."""
    link = connecting().after(HELLO).when(ev.CallEnded()).then("connecting")
    link.after(ev.Connected()).when(ev.Settled()).then("kept", Write("hello"))


@every_other_event(
    ignored=[ev.Lost()],
    rejected=[
        ev.Settled(),
        ev.Written(),
        ev.RetryDue(),
        ev.IdleElapsed(),
        ev.AllDelivered(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """What is lost was the connection before; nothing else was asked."""
    connecting().when(event).then_policy(policy)
