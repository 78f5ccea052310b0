"""connected: text is written as it comes."""

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


def test_idle(runtime: SimulatedRuntime) -> None:
    """Ten minutes without a text end the connection; the next text opens another."""
    link = live(runtime).after(ev.Connected()).advance(0.31).after(HELLO, ev.Written())
    link.advance(599.0).then("connected")
    link.advance(2.0).then("disconnected", Disconnect(bye=True))
    link.when(HELLO).then("connecting", Connect())


def test_each_text_starts_the_idle_time_again(runtime: SimulatedRuntime) -> None:
    """A connection that is used is kept, however long ago it was made."""
    link = live(runtime).after(ev.Connected()).advance(400.0).after(HELLO, ev.Written())
    link.advance(400.0).then("connected")


def test_peer_hangs_up_while_we_do(runtime: SimulatedRuntime) -> None:
    """A peer that hangs up in the moment in which the idle link does breaks nothing."""
    link = live(runtime).after(ev.Connected()).advance(601.0).then("disconnected", Disconnect)
    link.when(ev.Lost()).then_policy(Policy.IGNORE)
    link.after(HELLO).when(ev.Lost()).then_policy(Policy.IGNORE)


def test_idle_with_a_text_in_flight(runtime: SimulatedRuntime) -> None:
    """A text that the peer is slow to take keeps the connection, for ten minutes more."""
    link = live(runtime).after(ev.Connected()).advance(0.31).after(HELLO).advance(601.0)
    link.then("connected").after(ev.Written()).advance(598.0).then("connected")
    link.advance(2.0).then("disconnected", Disconnect(bye=True))


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
    rejected=[ev.Connected(), ev.ConnectFailed(), ev.Settled(), ev.RetryDue()],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """The next call of the same id need not ask again; it is connected once."""
    connected().when(event).then_policy(policy)
