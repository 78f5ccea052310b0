"""kept: connected for the next call of this id; text of the last one is written."""

from callfsm.fsm.table import Event, Policy, SetTimer
from callfsm.link import events as ev
from callfsm.link.events import Connect, Disconnect, LinkClosed, Undelivered, Write
from callfsm.link.link import OVERDUE, Link
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.testing import Simulation
from specs.link.scenes import BYE, HELLO, connecting, kept, live
from specs.policies import every_other_event


def kept_live(runtime: SimulatedRuntime) -> Simulation[Link]:
    return live(runtime).after(ev.Connected()).advance(0.31).after(ev.CallEnded())


def test_open() -> None:
    """The next call of the same id need not connect: the connection is there."""
    kept().when(ev.Open()).then("connected")


def test_settled_after_the_call() -> None:
    """A call that was over before the peer could be reached has its words written all the same."""
    link = connecting().after(HELLO, ev.CallEnded(), ev.Connected()).when(ev.Settled())
    link.then("kept", Write("hello"))


def test_deliver() -> None:
    """Words that come after the call are written at once, and in order."""
    link = kept().when(HELLO).then("kept", Write("hello"))
    link.after(BYE).when(ev.Written()).then("kept", Write("good bye"))


def test_idle(runtime: SimulatedRuntime) -> None:
    """Ten minutes after the call the connection ends; the next call opens another."""
    link = kept_live(runtime).advance(599.0).then("kept")
    link.advance(2.0).then("disconnected", Disconnect(bye=True))
    link.when(ev.Open()).then("connecting", Connect())


def test_each_text_starts_the_idle_time_again(runtime: SimulatedRuntime) -> None:
    """Words that come late keep the connection for ten minutes more."""
    link = kept_live(runtime).advance(400.0).after(HELLO, ev.Written())
    link.advance(400.0).then("kept")


def test_idle_with_a_text_in_flight(runtime: SimulatedRuntime) -> None:
    """A text that the peer is slow to take keeps the connection, for ten minutes more."""
    link = kept_live(runtime).after(HELLO).advance(601.0)
    link.then("kept").after(ev.Written()).advance(598.0).then("kept")
    link.advance(2.0).then("disconnected", Disconnect(bye=True))


def test_the_next_call_begins_late(runtime: SimulatedRuntime) -> None:
    """It keeps the connection that was about to end, for as long as it lasts."""
    link = kept_live(runtime).advance(599.0).after(ev.Open())
    link.advance(3_600.0).then("connected")


def test_peer_hangs_up_while_we_do(runtime: SimulatedRuntime) -> None:
    """A peer that hangs up in the moment in which the idle link does breaks nothing."""
    link = kept_live(runtime).advance(601.0).then("disconnected", Disconnect)
    link.when(ev.Lost()).then_policy(Policy.IGNORE)
    link.after(HELLO).when(ev.Lost()).then_policy(Policy.IGNORE)


def test_lost() -> None:
    """When the peer leaves and nothing waits, the link rests until a call wants it."""
    kept().when(ev.Lost()).then("disconnected", Disconnect(bye=False))


def test_lost_with_text_in_flight() -> None:
    """When the peer leaves before a text is taken, it is written again on a new connection."""
    link = kept().after(HELLO).when(ev.Lost())
    link.then("connecting", Disconnect(bye=False), Connect())


def test_close() -> None:
    """Nothing waits: the end of the service is a BYE to the peer."""
    kept().when(ev.Close()).then("closed", Disconnect(bye=True), LinkClosed())


def test_close_while_text_waits() -> None:
    """At the end of the service what waits is delivered first; then comes the BYE."""
    link = kept().after(HELLO).when(ev.Close())
    link.then("kept", SetTimer(OVERDUE, 5.0, ev.CloseOverdue()))
    link.when(ev.Written()).then("closed", Disconnect(bye=True), LinkClosed())


def test_close_overdue(runtime: SimulatedRuntime) -> None:
    """A peer that takes no text for five seconds at the end loses it, and that is told."""
    link = kept_live(runtime).after(HELLO, ev.Close()).advance(5.1)
    link.then("closed", Undelivered(("hello",)), Disconnect(bye=False), LinkClosed())


@every_other_event(
    ignored=[ev.CallEnded()],
    rejected=[ev.Connected(), ev.ConnectFailed(), ev.Settled(), ev.RetryDue()],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """It is connected once, and no call is on that could end."""
    kept().when(event).then_policy(policy)
