"""settling: connected, and not sure to be kept."""

from callfsm.fsm.table import CancelTimer, Event, Policy, SetTimer
from callfsm.link import events as ev
from callfsm.link.events import Connect, Disconnect, LinkClosed, Undelivered, Write
from callfsm.link.link import OVERDUE, RETRY, SETTLE
from callfsm.runtimes.simulated import SimulatedRuntime
from specs.link.scenes import BYE, HELLO, live, settling
from specs.policies import every_other_event


def test_settled(runtime: SimulatedRuntime) -> None:
    """A connection that the peer keeps for 300 ms is trusted with text."""
    link = live(runtime).after(ev.Connected(), HELLO)
    link.advance(0.29).then("settling")
    link.advance(0.02).then("connected", Write("hello"))


def test_settled_without_text() -> None:
    """A connection that is kept waits for text."""
    settling().when(ev.Settled()).then("connected")


def test_refused() -> None:
    """A peer that closes a new connection at once is tried again later; the text is kept."""
    link = settling().after(HELLO).when(ev.Lost())
    retry = SetTimer(RETRY, 0.2, ev.RetryDue())
    link.then("waiting", CancelTimer(SETTLE), Disconnect(bye=False), retry)
    assert list(link.model.queue) == ["hello"]


def test_refused_text_is_sent_once(runtime: SimulatedRuntime) -> None:
    """Text survives any number of refusals, and is then sent in order, and once."""
    link = live(runtime).after(HELLO, BYE)
    for _ in range(3):
        link.after(ev.Connected(), ev.Lost()).advance(0.3).then("connecting", Connect())
    link.after(ev.Connected()).advance(0.31).then("connected", Write("hello"))
    link.when(ev.Written()).then("connected", Write("good bye"))
    link.when(ev.Written()).then("connected")


def test_success_resets_the_schedule(runtime: SimulatedRuntime) -> None:
    """After a connection that was kept, the attempts are counted anew."""
    link = live(runtime)
    for _ in range(7):
        link.after(ev.ConnectFailed()).advance(1.1)
    link.after(ev.Connected()).advance(0.31).after(HELLO, ev.Lost(), ev.ConnectFailed())
    link.advance(0.21).then("connecting", Connect())


def test_refused_in_the_moment_of_settling(runtime: SimulatedRuntime) -> None:
    """A refusal handled just before the 300 ms time-out that waits behind it is a refusal."""
    link = live(runtime).after(ev.Connected())
    runtime.advance(0.299)
    link.actor.tell(ev.Lost())
    for actor, event in runtime.timers.pop_due(runtime.now_s() + 0.002):
        actor.tell(event)
    runtime.settle()
    assert not link.actor.stopped
    link.then("waiting", Disconnect(bye=False))


def test_deliver() -> None:
    """Text that comes before the connection is trusted waits."""
    settling().when(HELLO).then("settling")


def test_close() -> None:
    """Nothing waits: the end of the service is a BYE to the peer."""
    settling().when(ev.Close()).then("closed", Disconnect(bye=True), LinkClosed())


def test_close_while_text_waits() -> None:
    """Text that waits when the service ends gets five seconds more."""
    link = settling().after(HELLO).when(ev.Close())
    link.then("settling", SetTimer(OVERDUE, 5.0, ev.CloseOverdue()))


def test_close_overdue() -> None:
    """Text that waited too long at the end of the service is lost, and that is told."""
    link = settling().after(HELLO, ev.Close()).when(ev.CloseOverdue())
    link.then("closed", Undelivered(("hello",)), Disconnect(bye=False), LinkClosed())


def test_open() -> None:
    """A call that begins has the connection, too, when it is there."""
    link = settling().after(ev.CallEnded()).when(ev.Open()).then("settling")
    link.when(ev.Settled()).then("connected")


def test_call_ended() -> None:
    """What its call said last may still be delivered: the link goes on trying."""
    link = settling().after(HELLO).when(ev.CallEnded()).then("settling")
    link.when(ev.Settled()).then("kept", Write("hello"))


@every_other_event(
    rejected=[
        ev.Connected(),
        ev.ConnectFailed(),
        ev.Written(),
        ev.RetryDue(),
        ev.IdleElapsed(),
        ev.AllDelivered(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """It is connected once, and nothing was written yet."""
    settling().when(event).then_policy(policy)
