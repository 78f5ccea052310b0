"""connected: a call is on; text is written as it comes."""

from callfsm.fsm.table import Event, Policy, SetTimer
from callfsm.link import events as ev
from callfsm.link.events import Connect, Disconnect, LinkClosed, Undelivered, Write
from callfsm.link.link import OVERDUE
from callfsm.runtimes.simulated import SimulatedRuntime
from specs.link.scenes import BYE, HELLO, connected, live
from specs.policies import every_other_event


def test_deliver() -> None:
    """A text is written at once."""
    connected().when(HELLO).then("connected", Write("hello"))


def test_one_text_in_flight() -> None:
    """The next text waits until the one before is on its way."""
    link = connected().after(HELLO).when(BYE).then("connected")
    link.when(ev.Written()).then("connected", Write("good bye"))


def test_written() -> None:
    """With nothing more to write the connection is kept, for the next call too."""
    link = connected().after(HELLO).when(ev.Written()).then("connected")
    assert link.model.delivered == 1


def test_lost_with_nothing_to_say() -> None:
    """When the peer leaves and nothing waits, the link rests until a call wants it."""
    link = connected().when(ev.Lost()).then("disconnected", Disconnect(bye=False))
    link.when(ev.Open()).then("connecting", Connect())


def test_lost_with_text_in_flight() -> None:
    """When the peer leaves before a text is taken, it is written again on a new connection."""
    link = connected().after(HELLO, BYE).when(ev.Lost())
    link.then("connecting", Disconnect(bye=False), Connect())
    link.after(ev.Connected()).when(ev.Settled()).then("connected", Write("hello"))
    link.when(ev.Written()).then("connected", Write("good bye"))


def test_written_text_is_not_sent_twice() -> None:
    """A text that was written before the peer left is not written again."""
    link = connected().after(HELLO, BYE, ev.Written()).when(ev.Lost())
    link.after(ev.Connected()).when(ev.Settled()).then("connected", Write("good bye"))


def test_call_ended() -> None:
    """The connection outlives its call."""
    connected().when(ev.CallEnded()).then("kept")


def test_silence(runtime: SimulatedRuntime) -> None:
    """A caller may be on hold for long: the peer hears no BYE in the middle of a call."""
    link = live(runtime).after(ev.Connected()).advance(3_600.0).then("connected")
    link.when(HELLO).then("connected", Write("hello"))


def test_close() -> None:
    """Nothing waits: the end of the service is a BYE to the peer."""
    connected().when(ev.Close()).then("closed", Disconnect(bye=True), LinkClosed())


def test_close_while_text_waits() -> None:
    """At the end of the service what waits is delivered first; then comes the BYE."""
    link = connected().after(HELLO, BYE).when(ev.Close())
    link.then("connected", SetTimer(OVERDUE, 5.0, ev.CloseOverdue()))
    link.when(ev.Written()).then("connected", Write("good bye"))
    link.when(ev.Written()).then("closed", Disconnect(bye=True), LinkClosed())


def test_close_overdue(runtime: SimulatedRuntime) -> None:
    """A peer that takes no text for five seconds at the end loses it, and that is told."""
    link = live(runtime).after(ev.Connected()).advance(0.31).after(HELLO, BYE, ev.Close())
    link.advance(4.9).then("connected")
    lost = Undelivered(("hello", "good bye"))
    link.advance(0.2).then("closed", lost, Disconnect(bye=False), LinkClosed())


@every_other_event(
    ignored=[ev.Open()],
    rejected=[
        ev.Connected(),
        ev.ConnectFailed(),
        ev.Settled(),
        ev.RetryDue(),
        ev.IdleElapsed(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """It is connected once, and for as long as the call lasts."""
    connected().when(event).then_policy(policy)
