"""A state machine as data: states, rows, and a policy for every pair the rows leave open.

A machine takes one event at a time and answers with effects. A row says: in this state, on this
event (if the guard holds), do this and go there. Every state x event pair without a row has a
policy: ignore, postpone, or reject. Nothing here runs; `machine` executes a table, `lint` refuses a
wrong one, `diagram` draws it.

Generic dataclasses have no slots: in Python 3.11 a frozen one with slots cannot be made by
`Table[Door](...)`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar


class Event:
    """Base of all events: subclass it as a frozen dataclass with slots."""

    __slots__ = ()


class Effect:
    """Base of all effects: what a handler asks the world to do, as a frozen dataclass."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Raise(Effect):
    """Handle `event` at once, before anything that waits in the mailbox."""

    event: Event


@dataclass(frozen=True, slots=True)
class SetTimer(Effect):
    """Post `event` after `after_s` seconds. Setting a timer of the same name moves it."""

    name: str
    after_s: float
    event: Event


@dataclass(frozen=True, slots=True)
class CancelTimer(Effect):
    """Forget the timer of this name, if it runs."""

    name: str


class Stateful(Protocol):
    """What a machine needs of its model: a place for the name of the state."""

    state: str


M = TypeVar("M", bound=Stateful)
E = TypeVar("E", bound=Event)
Effects: TypeAlias = Iterable[Effect]

STAY = "(stay)"  # as a row's target: remain in the state, without leaving and entering it again


class Policy(Enum):
    """What happens to an event that no row takes."""

    IGNORE = "ignore"  # counted, dropped
    POSTPONE = "postpone"  # kept, and handled first after the next change of state
    REJECT = "reject"  # a bug: raises UnexpectedEvent


class Kind(Enum):
    """What a state is for."""

    WAITING = "waiting"  # rests here until an event comes; needs a time-out or `waits_forever`
    PASSING = "passing"  # left in the same turn, by an internal event
    FINAL = "final"  # the end


@dataclass(frozen=True)
class After(Generic[M]):
    """A state's time-out: `event` is posted when the state was not entered for this long.

    `seconds` is a number, or is asked of the model whenever the state is entered.
    """

    seconds: float | Callable[[M], float]
    event: Event

    def seconds_of(self, model: M) -> float:
        """How long this model waits."""
        return self.seconds(model) if callable(self.seconds) else self.seconds


@dataclass(frozen=True)
class State(Generic[M]):
    """A state, what it means, and what is done whenever it is entered or left.

    `rest` is the policy of every pair of this state that neither a row nor a `Rest` decides.
    """

    name: str
    note: str = ""
    kind: Kind = Kind.WAITING
    enter: Callable[[M], Effects] | None = None
    leave: Callable[[M], Effects] | None = None
    after: After[M] | None = None
    waits_forever: bool = False
    rest: Policy | None = None


class RowOf(Generic[M]):
    """A row of whatever event: what to call the items of a tuple of rows that has a name.

    In a `tuple[RowOf[Door], ...]`, and inside `Table(...)`, a type checker holds each handler to
    the event of its own row; in a `tuple[Row[Door, Any], ...]` it does not.
    """

    __slots__ = ()


@dataclass(frozen=True)
class Row(RowOf[M], Generic[M, E]):
    """In `source`, on `event`, if `when` holds: `do`, then go to `target`.

    Rows of the same pair are tried in order. `source` may name several states. A `target` equal to
    the source leaves and enters the state again (and restarts its time-out); STAY does not.
    """

    source: str | tuple[str, ...]
    event: type[E]
    target: str
    do: Callable[[M, E], Effects] | None = None
    when: Callable[[M, E], bool] | None = None
    note: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    def __str__(self) -> str:
        guard = f" [{name_of(self.when)}]" if self.when else ""
        return f"{'|'.join(self.sources)} + {name_of(self.event)}{guard} -> {self.target}"


@dataclass(frozen=True, slots=True)
class Rest:
    """The policy of some of the pairs that no row takes, and why."""

    source: str | tuple[str, ...]
    events: tuple[type[Event], ...]
    policy: Policy
    note: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    def __str__(self) -> str:
        events = ", ".join(name_of(event) for event in self.events)
        return f"{'|'.join(self.sources)} + {events}: {self.policy.value}"


@dataclass(frozen=True)
class Table(Generic[M]):
    """A whole machine. `internal` names the events that only handlers raise."""

    name: str
    note: str
    initial: str
    states: tuple[State[M], ...]
    rows: tuple[Row[M, Any], ...]
    rest: tuple[Rest, ...] = ()
    internal: tuple[type[Event], ...] = ()

    if TYPE_CHECKING:  # rows come in as RowOf, so that each is checked with its own event

        def __init__(  # noqa: PLR0917
            self,
            name: str,
            note: str,
            initial: str,
            states: tuple[State[M], ...],
            rows: tuple[RowOf[M], ...],
            rest: tuple[Rest, ...] = (),
            internal: tuple[type[Event], ...] = (),
        ) -> None: ...

    def state(self, name: str) -> State[M]:
        """The state of this name; KeyError when there is none."""
        for state in self.states:
            if state.name == name:
                return state
        raise KeyError(name)

    @property
    def events(self) -> tuple[type[Event], ...]:
        """Every event the table speaks of, in order of first mention."""
        mentioned: dict[type[Event], None] = {}
        for row in self.rows:
            mentioned.setdefault(row.event)
        for rest in self.rest:
            mentioned.update(dict.fromkeys(rest.events))
        for state in self.states:
            if state.after is not None:
                mentioned.setdefault(type(state.after.event))
        return tuple(mentioned)

    def rows_of(self, state: str, event: type[Event]) -> Iterator[Row[M, Any]]:
        """The rows of one pair, in the order they are tried."""
        return (row for row in self.rows if row.event is event and state in row.sources)

    def policies(self) -> dict[tuple[str, type[Event]], Policy]:
        """The policy of every pair that has one: from `rest`, or else from the state's own."""
        policies = {
            (source, event): rest.policy
            for rest in self.rest
            for source in rest.sources
            for event in rest.events
        }
        for pair, policy in self.defaults():
            policies[pair] = policy
        return policies

    def defaults(self) -> Iterator[tuple[tuple[str, type[Event]], Policy]]:
        """The pairs that nothing but the policy of their state decides, state by state."""
        named = {(source, e) for rest in self.rest for source in rest.sources for e in rest.events}
        closed = {(source, r.event) for r in self.rows if not r.when for source in r.sources}
        for state, event in product(self.states, self.events):
            pair = (state.name, event)
            if state.rest is not None and pair not in named and pair not in closed:
                yield pair, state.rest


def name_of(thing: object) -> str:
    """What a message or a picture calls a function or a class."""
    return getattr(thing, "__name__", None) or type(thing).__name__
