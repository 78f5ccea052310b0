"""parting: the youngest child was asked to end, and the next one waits for it."""

from callfsm.fsm.supervision import (
    Ended,
    Forget,
    GoodbyeOverdue,
    RestartDue,
    SayGoodbye,
    ShutDown,
    Started,
    Stop,
)
from callfsm.fsm.table import Event, Policy
from specs.policies import every_other_event
from specs.supervision.scenes import crash, parting


def test_ended() -> None:
    """When the child that was asked has ended, the next one is asked."""
    parting().when(Ended("bob")).then("parting", Forget("bob"), SayGoodbye("ann"))


def test_ended_by_the_last() -> None:
    """When no child is left, it is over."""
    parting().after(Ended("bob")).when(Ended("ann")).then("gone", Forget("ann"))


def test_ended_by_another() -> None:
    """A child that ends before it was asked is forgotten, and nobody else is asked meanwhile."""
    parting().when(Ended("ann")).then("parting", Forget("ann"))


def test_ended_twice() -> None:
    """A child that crashed while it was asked may say that it ended, too."""
    parting().after(crash("bob")).when(Ended("bob")).then("parting")


def test_crashed() -> None:
    """A crash of the child that was asked is an end."""
    parting().when(crash("bob")).then("parting", Forget("bob"), SayGoodbye("ann"))


def test_crashed_another() -> None:
    """A child that crashes now does not start again."""
    parting().when(crash("ann")).then("parting", Forget("ann"))


def test_goodbye_overdue() -> None:
    """A child that does not end in time is stopped, and the next one is asked."""
    overdue = parting().when(GoodbyeOverdue())
    overdue.then("parting", Stop("bob"), Forget("bob"), SayGoodbye("ann"))


@every_other_event(ignored=[ShutDown()], rejected=[Started("cid"), RestartDue("ann")])
def test_other_events(event: Event, policy: Policy) -> None:
    """The end was asked for already; nobody is started any more."""
    parting().when(event).then_policy(policy)
