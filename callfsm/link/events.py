"""What can happen to a link to the language model, and what it asks for."""

from dataclasses import dataclass

from callfsm.fsm.table import Effect, Event


# ---------------------------------------------------------------- events
@dataclass(frozen=True, slots=True)
class Open(Event):
    """A call wants the connection to be there."""


@dataclass(frozen=True, slots=True)
class CallEnded(Event):
    """The call that wanted it is over."""


@dataclass(frozen=True, slots=True)
class Deliver(Event):
    """A text to deliver, once, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """The peer accepted the connection, and HELLO is on its way."""


@dataclass(frozen=True, slots=True)
class ConnectFailed(Event):
    """The peer did not accept the connection."""


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """Time-out: the peer did not close the new connection at once, as it does to refuse one."""


@dataclass(frozen=True, slots=True)
class Written(Event):
    """The text in flight is on its way."""


@dataclass(frozen=True, slots=True)
class Lost(Event):
    """The connection ended; the text in flight, if any, was not taken."""


@dataclass(frozen=True, slots=True)
class RetryDue(Event):
    """Time-out: try to connect again."""


@dataclass(frozen=True, slots=True)
class Close(Event):
    """The service ends: deliver what waits, say BYE."""


@dataclass(frozen=True, slots=True)
class CloseOverdue(Event):
    """Time-out: the peer did not come back; what waits cannot be delivered."""


@dataclass(frozen=True, slots=True)
class IdleElapsed(Event):
    """Time-out: no call of this id has come for long, and no text of the last one."""


@dataclass(frozen=True, slots=True)
class AllDelivered(Event):
    """Internal: nothing waits any more."""


# ---------------------------------------------------------------- effects
@dataclass(frozen=True, slots=True)
class Connect(Effect):
    """Connect and send HELLO; answer Connected or ConnectFailed, and later Lost."""


@dataclass(frozen=True, slots=True)
class Write(Effect):
    """Write one text; answer Written, or Lost."""

    text: str


@dataclass(frozen=True, slots=True)
class Disconnect(Effect):
    """Drop the connection, with BYE when `bye`."""

    bye: bool


@dataclass(frozen=True, slots=True)
class Unreachable(Effect):
    """Log once that the peer cannot be reached; `waiting` texts wait for it."""

    waiting: int


@dataclass(frozen=True, slots=True)
class Undelivered(Effect):
    """Log and count texts that could not be delivered before the service ended."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkClosed(Effect):
    """Nothing more will be asked."""
