"""supervising: children run, and those that crash start again."""

from callfsm.fsm.supervision import (
    AllGone,
    Ended,
    Escalate,
    Forget,
    GoodbyeOverdue,
    Restart,
    RestartDue,
    SayGoodbye,
    ShutDown,
    Started,
)
from callfsm.fsm.table import CancelTimer, Event, Policy, SetTimer
from specs.policies import every_other_event
from specs.supervision.scenes import ERROR, crash, supervising


def test_started() -> None:
    """A new child is known by its name, the youngest last."""
    scenario = supervising("ann").when(Started("bob"))
    scenario.then("supervising")
    assert list(scenario.model.crashes_s) == ["ann", "bob"]


def test_crashed() -> None:
    """A child that crashes starts again after the first wait."""
    waits = SetTimer("restart 'ann'", 1.0, RestartDue("ann"))
    supervising("ann", "bob").when(crash("ann")).then("supervising", waits)


def test_crashed_again() -> None:
    """After the second crash the wait is longer by the factor."""
    ann = supervising("ann").after(crash("ann"), RestartDue("ann"))
    waits = SetTimer("restart 'ann'", 3.0, RestartDue("ann"))
    ann.when(crash("ann", at_s=59.0)).then("supervising", waits)


def test_crashed_long_after() -> None:
    """A crash that lies back further than the strategy looks is forgiven."""
    ann = supervising("ann").after(crash("ann"), RestartDue("ann"))
    waits = SetTimer("restart 'ann'", 1.0, RestartDue("ann"))
    ann.when(crash("ann", at_s=61.0)).then("supervising", waits)


def test_crashed_too_often() -> None:
    """One crash more than the strategy bears is given up, with who, why and how often."""
    ann = supervising("ann").after(crash("ann"), crash("ann"))
    ann.when(crash("ann")).then("escalated", Escalate("ann", ERROR, 3))


def test_crashes_of_others_do_not_count() -> None:
    """Each child has a count of its own."""
    both = supervising("ann", "bob").after(crash("ann"), crash("ann"))
    waits = SetTimer("restart 'bob'", 1.0, RestartDue("bob"))
    both.when(crash("bob")).then("supervising", waits)


def test_restart_due() -> None:
    """When its wait is over the child starts again."""
    supervising("ann").after(crash("ann")).when(RestartDue("ann")).then(
        "supervising", Restart("ann")
    )


def test_ended() -> None:
    """A child that comes to its end is forgotten."""
    supervising("ann", "bob").when(Ended("ann")).then("supervising", Forget("ann"))


def test_shut_down() -> None:
    """The youngest child is asked to end."""
    supervising("ann", "bob").when(ShutDown()).then("parting", SayGoodbye("bob"))


def test_shut_down_while_a_child_is_down() -> None:
    """A child that waits to be started again is not: its timer goes, and it is forgotten."""
    scenario = supervising("ann", "bob").after(crash("bob")).when(ShutDown())
    cancelled = CancelTimer("restart 'bob'")
    scenario.then("parting", cancelled, Forget("bob"), SayGoodbye("ann"))


def test_shut_down_without_children() -> None:
    """Nobody to wait for."""
    supervising().when(ShutDown()).then("gone")


@every_other_event(rejected=[GoodbyeOverdue(), AllGone()])
def test_other_events(event: Event, policy: Policy) -> None:
    """Nobody has been asked to end."""
    supervising("ann").when(event).then_policy(policy)
