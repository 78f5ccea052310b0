"""What can happen to the client, what it can ask for, and what it remembers.

Requests that were taken are answered in order. One that was sent and not answered when the
connection broke is sent again, so the server may see it twice, and never not at all.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from callfsm.fsm import Effect, Event, growing_wait_s

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 5.0
PING, PONG = "ping", "pong"


# ---------------------------------------------------------------- events
@dataclass(frozen=True, slots=True)
class Request(Event):
    line: str


@dataclass(frozen=True, slots=True)
class Connected(Event):
    pass


@dataclass(frozen=True, slots=True)
class Received(Event):
    line: str


@dataclass(frozen=True, slots=True)
class Lost(Event):
    """The connection broke, or was not made."""


@dataclass(frozen=True, slots=True)
class TimeUp(Event):
    """The time-out of whatever state the client is in."""


@dataclass(frozen=True, slots=True)
class Close(Event):
    pass


# ---------------------------------------------------------------- effects
@dataclass(frozen=True, slots=True)
class Connect(Effect):
    pass


@dataclass(frozen=True, slots=True)
class Disconnect(Effect):
    """Nothing of this connection is told any more."""


@dataclass(frozen=True, slots=True)
class Send(Effect):
    line: str


@dataclass(frozen=True, slots=True)
class Answer(Effect):
    request: str
    reply: str


# ---------------------------------------------------------------- the model
class Client:
    """One client: the requests under way, and how often connecting failed in a row."""

    def __init__(self) -> None:
        self.state = ""
        self.unanswered: deque[str] = deque()
        self.failures = 0


def backoff_s(client: Client) -> float:
    return growing_wait_s(client.failures, FIRST_BACKOFF_S, LONGEST_BACKOFF_S)


# ---------------------------------------------------------------- guards
def is_answer(client: Client, received: Received) -> bool:
    return received.line != PONG and bool(client.unanswered)


# ---------------------------------------------------------------- handlers
def connect(_: Client) -> Iterator[Effect]:
    yield Connect()


def disconnect(_: Client) -> Iterator[Effect]:
    yield Disconnect()


def ping(_: Client) -> Iterator[Effect]:
    yield Send(PING)


def count_failure(client: Client, _: Event) -> Iterator[Effect]:
    client.failures += 1
    yield from ()


def send(client: Client, request: Request) -> Iterator[Effect]:
    client.unanswered.append(request.line)
    yield Send(request.line)


def send_again(client: Client, _: Connected) -> Iterator[Effect]:
    for line in client.unanswered:
        yield Send(line)


def note_alive(client: Client, _: Received) -> Iterator[Effect]:
    client.failures = 0
    yield from ()


def answer(client: Client, received: Received) -> Iterator[Effect]:
    client.failures = 0
    yield Answer(client.unanswered.popleft(), received.line)
