"""A supervisor brought into each of its states; its children are called Ann and Bob."""

from callfsm.fsm.supervision import (
    AllGone,
    Crashed,
    Ended,
    Family,
    GoodbyeOverdue,
    RestartDue,
    ShutDown,
    Started,
    Strategy,
    supervision_machine,
)
from callfsm.testing import Scenario, given

STRATEGY = Strategy(restarts=2, within_s=60.0, first_wait_s=1.0, factor=3.0)
ERROR = ZeroDivisionError()


def crash(child: str, at_s: float = 0.0) -> Crashed:
    return Crashed(child, ERROR, at_s)


def supervising(*children: str) -> Scenario[Family]:
    """These children have started, in this order."""
    family = Family(STRATEGY)
    return given(supervision_machine, family).after(*(Started(child) for child in children))


def parting() -> Scenario[Family]:
    """Ann and Bob have started, and Bob, the younger, was asked to end."""
    return supervising("ann", "bob").after(ShutDown())


def gone() -> Scenario[Family]:
    return supervising().after(ShutDown())


def escalated() -> Scenario[Family]:
    return supervising("ann").after(crash("ann"), crash("ann"), crash("ann"))


EVERY_EVENT = (
    Started("cid"),
    crash("ann"),
    RestartDue("ann"),
    Ended("ann"),
    ShutDown(),
    GoodbyeOverdue(),
    AllGone(),
)
