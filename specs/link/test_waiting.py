"""waiting: the peer is away; the next attempt is on the clock."""

from callfsm.fsm.table import CancelTimer, Event, Policy, SetTimer
from callfsm.link import events as ev
from callfsm.link.events import Connect, Disconnect, LinkClosed, Undelivered, Write
from callfsm.link.link import OVERDUE, RETRY
from specs.link.scenes import HELLO, waiting
from specs.policies import every_other_event


def test_retry_due() -> None:
    """When its time comes, the peer is asked again."""
    waiting().when(ev.RetryDue()).then("connecting", Connect())


def test_nobody_wants_it() -> None:
    """After ten attempts the link rests when no text needs it; the next call asks again."""
    link = waiting()
    for _ in range(9):
        link.after(ev.RetryDue(), ev.ConnectFailed())
    link.when(ev.RetryDue()).then("disconnected")
    link.when(ev.Open()).then("connecting", Connect())
    link.when(ev.ConnectFailed())
    link.then("waiting", CancelTimer, Disconnect, SetTimer(RETRY, 0.2, ev.RetryDue()))


def test_text_is_not_given_up() -> None:
    """While a text waits the peer is asked on, however often that failed."""
    link = waiting().after(HELLO)
    for _ in range(20):
        link.after(ev.RetryDue(), ev.ConnectFailed())
    link.when(ev.RetryDue()).then("connecting", Connect())


def test_deliver() -> None:
    """Text waits, in order, and does not hurry the next attempt."""
    waiting().when(HELLO).then("waiting")


def test_close() -> None:
    """Nothing waits: the end of the service is the end of the link."""
    waiting().when(ev.Close()).then("closed", Disconnect(bye=True), LinkClosed())


def test_close_while_text_waits() -> None:
    """Text that waits when the service ends gets five seconds more."""
    link = waiting().after(HELLO).when(ev.Close())
    link.then("waiting", SetTimer(OVERDUE, 5.0, ev.CloseOverdue()))


def test_close_overdue() -> None:
    """Text that waited too long at the end of the service is lost, and that is told."""
    link = waiting().after(HELLO, ev.Close()).when(ev.CloseOverdue())
    link.then("closed", Undelivered(("hello",)), Disconnect(bye=False), LinkClosed())


def test_open() -> None:
    """A call that begins has the connection, too, when it is there."""
    link = waiting().after(ev.CallEnded()).when(ev.Open()).then("waiting")
    link.after(ev.RetryDue(), ev.Connected()).when(ev.Settled()).then("connected")


def test_call_ended() -> None:
    """What its call said last may still be delivered: the link goes on trying."""
    link = waiting().after(HELLO).when(ev.CallEnded()).then("waiting")
    link.after(ev.RetryDue(), ev.Connected()).when(ev.Settled()).then("kept", Write("hello"))


@every_other_event(
    rejected=[
        ev.Connected(),
        ev.ConnectFailed(),
        ev.Settled(),
        ev.Written(),
        ev.Lost(),
        ev.IdleElapsed(),
        ev.AllDelivered(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """There is no connection to hear from."""
    waiting().when(event).then_policy(policy)
