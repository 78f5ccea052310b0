"""disconnected: no connection, and no text that needs one."""

from callfsm.fsm.table import Event, Policy
from callfsm.link import events as ev
from callfsm.link.events import Connect, LinkClosed, Write
from specs.link.scenes import HELLO, connected, disconnected
from specs.policies import every_other_event


def test_open() -> None:
    """A call that begins has its link connect."""
    disconnected().when(ev.Open()).then("connecting", Connect())


def test_call_ended() -> None:
    """A call that ends needs no connection; what it said last opens one for that only."""
    link = connected().after(ev.Lost()).when(ev.CallEnded()).then("disconnected")
    link.after(HELLO, ev.Connected()).when(ev.Settled()).then("kept", Write("hello"))


def test_deliver() -> None:
    """A text makes the link connect, and is written when it is connected."""
    link = disconnected().when(HELLO).then("connecting", Connect())
    link.after(ev.Connected()).when(ev.Settled()).then("kept", Write("hello"))


def test_close() -> None:
    """Without a connection the end of the service is the end of the link."""
    disconnected().when(ev.Close()).then("closed", LinkClosed())


@every_other_event(
    ignored=[ev.Lost()],
    rejected=[
        ev.Connected(),
        ev.ConnectFailed(),
        ev.Settled(),
        ev.Written(),
        ev.RetryDue(),
        ev.CloseOverdue(),
        ev.IdleElapsed(),
        ev.AllDelivered(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """The end of a dropped connection may come late; nothing else can, as nothing was asked."""
    disconnected().when(event).then_policy(policy)
