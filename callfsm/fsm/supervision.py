"""Supervision as a table: children that crash start again after a while, until it is too much.

The model is who the children are, oldest first, and when each crashed. It knows them by name only;
`supervisor` holds them and carries out the effects. Shutting down is here too, and its order: the
youngest child is asked to end, and the next one only once it has ended or its time is over.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from callfsm.fsm.backoff import growing_wait_s
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import (
    STAY,
    After,
    CancelTimer,
    Effect,
    Event,
    Kind,
    Policy,
    Raise,
    Rest,
    Row,
    SetTimer,
    State,
    Table,
)


@dataclass(frozen=True, slots=True)
class Strategy:
    """When a crashed child starts again, when that is given up, and how long an end may take.

    The first crash within `within_s` is followed by a wait of `first_wait_s`, each further one by
    `factor` times as much, up to `longest_wait_s`. One crash more than `restarts` is given up.
    """

    restarts: int = 5
    within_s: float = 60.0
    first_wait_s: float = 0.1
    factor: float = 2.0
    longest_wait_s: float = 10.0
    goodbye_s: float = 5.0  # for each child, when the supervisor shuts down

    def wait_s(self, crashes: int) -> float:
        """How long to wait after so many crashes within `within_s`, this one included."""
        return growing_wait_s(crashes, self.first_wait_s, self.longest_wait_s, self.factor)


# ---------------------------------------------------------------- events
@dataclass(frozen=True, slots=True)
class Started(Event):
    """There is a new child."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class Crashed(Event):
    """A child failed and has stopped."""

    child: Hashable
    error: Exception
    at_s: float


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """A child came to its end."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class RestartDue(Event):
    """Time-out: the child has waited."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class ShutDown(Event):
    """All shall end."""


@dataclass(frozen=True, slots=True)
class GoodbyeOverdue(Event):
    """Time-out: the child that was asked to end has not."""


@dataclass(frozen=True, slots=True)
class AllGone(Event):
    """Internal: no child is left."""


# ---------------------------------------------------------------- effects
@dataclass(frozen=True, slots=True)
class Restart(Effect):
    """Start this child again, fresh."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class SayGoodbye(Effect):
    """Ask this child to end; answer Ended."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class Stop(Effect):
    """Stop this child at once."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class Forget(Effect):
    """This child is gone."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class Escalate(Effect):
    """Stop all children, the youngest first, and tell whoever is above."""

    child: Hashable
    error: Exception
    crashes: int


# ---------------------------------------------------------------- model and handlers
@dataclass(slots=True)
class Family:
    """Who is supervised: the times of the recent crashes of each child, oldest child first."""

    strategy: Strategy
    state: str = ""
    crashes_s: dict[Hashable, list[float]] = field(default_factory=dict)
    down: set[Hashable] = field(default_factory=set)  # crashed, and not started again yet
    leaving: Hashable = None  # the child that was asked to end

    def recent(self, event: Crashed) -> list[float]:
        """The crashes of this child that still count, this one included."""
        since_s = event.at_s - self.strategy.within_s
        return [at_s for at_s in self.crashes_s[event.child] if at_s > since_s] + [event.at_s]


def is_bearable(family: Family, event: Crashed) -> bool:
    return len(family.recent(event)) <= family.strategy.restarts


def is_leaving(family: Family, event: Ended | Crashed) -> bool:
    return event.child == family.leaving


def welcome(family: Family, event: Started) -> Iterator[Effect]:
    family.crashes_s[event.child] = []
    yield from ()


def restart_later(family: Family, event: Crashed) -> Iterator[Effect]:
    recent = family.recent(event)
    family.crashes_s[event.child] = recent
    family.down.add(event.child)
    wait_s = family.strategy.wait_s(len(recent))
    yield SetTimer(_restart_of(event.child), wait_s, RestartDue(event.child))


def restart(family: Family, event: RestartDue) -> Iterator[Effect]:
    family.down.remove(event.child)
    yield Restart(event.child)


def give_up(family: Family, event: Crashed) -> Iterator[Effect]:
    yield Escalate(event.child, event.error, len(family.recent(event)))


def forget(family: Family, event: Ended | Crashed) -> Iterator[Effect]:
    """Gone, once: a child may crash while it is being asked to end."""
    if family.crashes_s.pop(event.child, None) is not None:
        yield Forget(event.child)


def forget_the_down(family: Family, _: ShutDown) -> Iterator[Effect]:
    """Who waits for a restart waits no more."""
    for child in [child for child in family.crashes_s if child in family.down]:
        del family.crashes_s[child]
        yield CancelTimer(_restart_of(child))
        yield Forget(child)


def part_with_youngest(family: Family) -> Iterator[Effect]:
    if family.crashes_s:
        family.leaving = next(reversed(family.crashes_s))
        yield SayGoodbye(family.leaving)
    else:
        yield Raise(AllGone())


def stop_leaving(family: Family, _: GoodbyeOverdue) -> Iterator[Effect]:
    del family.crashes_s[family.leaving]
    yield Stop(family.leaving)
    yield Forget(family.leaving)


def _restart_of(child: Hashable) -> str:
    return f"restart {child!r}"


SUPERVISION: Table[Family] = Table(
    name="supervision",
    note="children that crash start again, and end in order",
    initial="supervising",
    states=(
        State("supervising", "children run", waits_forever=True, rest=Policy.REJECT),
        State(
            "parting",
            "the youngest child is asked to end",
            enter=part_with_youngest,
            after=After(lambda family: family.strategy.goodbye_s, GoodbyeOverdue()),
            rest=Policy.REJECT,
        ),
        State("gone", "every child has ended", Kind.FINAL, rest=Policy.IGNORE),
        State("escalated", "it was too much", Kind.FINAL, rest=Policy.IGNORE),
    ),
    rows=(
        Row("supervising", Started, STAY, welcome),
        Row("supervising", Crashed, STAY, restart_later, when=is_bearable, note="with back-off"),
        Row("supervising", Crashed, "escalated", give_up),
        Row("supervising", RestartDue, STAY, restart),
        Row("supervising", Ended, STAY, forget),
        Row("supervising", ShutDown, "parting", forget_the_down),
        Row("parting", Ended, "parting", forget, when=is_leaving, note="the next one"),
        Row("parting", Ended, STAY, forget, note="before it was asked"),
        Row("parting", Crashed, "parting", forget, when=is_leaving, note="an end is an end"),
        Row("parting", Crashed, STAY, forget),
        Row("parting", GoodbyeOverdue, "parting", stop_leaving),
        Row("parting", AllGone, "gone"),
    ),
    rest=(Rest("parting", (ShutDown,), Policy.IGNORE, "asked already"),),
    internal=(AllGone,),
)

supervision_machine: Machine[Family] = Machine(SUPERVISION)
