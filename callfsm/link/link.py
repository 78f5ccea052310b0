"""The model behind a link: the texts that wait, in order, and how often connecting failed.

A text leaves the queue when it is written to a connection that the peer has kept for a while, and
not before: so none is sent twice, and none is lost but with a peer that goes without reading what
it was sent. One text is in flight at a time.
"""

from collections import deque
from collections.abc import Iterator

from callfsm.fsm.table import CancelTimer, Effect, Event, Raise, SetTimer
from callfsm.link import events as ev

# PROTOCOL.md 3.4: ten attempts, 200 ms apart for the first five, then 1 s.
FAST_ATTEMPTS, FAST_RETRY_S, RETRY_S, ATTEMPTS = 5, 0.2, 1.0, 10
# After these the peer counts as away. While text waits the link goes on asking, less often.
AWAY_RETRY_S = 2.0
# The peer refuses a second connection of a call id by closing it: wait this long before trusting a
# new one with text, for a language model that computes on the same cores is late. It passes while
# the caller's first words are still being spoken.
SETTLE_S = 0.3
# Kept during a call, and across calls of the same id; but ids are row numbers and most never come
# again, and every connection is one of the process's open files.
IDLE_S = 600.0
CLOSE_OVERDUE_S = 5.0  # at the end of the service, for the peer to come back

RETRY, SETTLE, OVERDUE = "retry", "settle", "overdue"


class Link:
    """One connection to the language model, for all calls of one call id."""

    __slots__ = (
        "attempts",
        "call_id",
        "calling",
        "closing",
        "delivered",
        "in_flight",
        "queue",
        "state",
    )

    def __init__(self, call_id: int) -> None:
        self.call_id = call_id
        self.state = ""
        self.calling = False  # a call is on that may have something to say
        self.queue: deque[str] = deque()
        self.in_flight = False  # the first of the queue is being written
        self.attempts = 0  # to connect, that failed in a row
        self.delivered = 0  # texts
        self.closing = False  # the service ends once nothing waits


# ---------------------------------------------------------------- guards
def nothing_waits(link: Link, _: Event) -> bool:
    return not link.queue


def is_calling(link: Link, _: Event) -> bool:
    return link.calling


def asked_in_vain(link: Link, _: Event) -> bool:
    """The peer is away, and no text needs it."""
    return not link.queue and link.attempts >= ATTEMPTS


# ---------------------------------------------------------------- handlers
def call(link: Link, _: ev.Open) -> Iterator[Effect]:
    link.calling = True
    yield from ()


def call_and_connect(link: Link, event: ev.Open) -> Iterator[Effect]:
    yield from call(link, event)
    yield ev.Connect()


def hang_up(link: Link, _: ev.CallEnded) -> Iterator[Effect]:
    link.calling = False
    yield from ()


def connect(_: Link, __: Event) -> Iterator[Effect]:
    yield ev.Connect()


def queue(link: Link, event: ev.Deliver) -> Iterator[Effect]:
    link.queue.append(event.text)
    yield from ()


def queue_and_connect(link: Link, event: ev.Deliver) -> Iterator[Effect]:
    link.queue.append(event.text)
    yield ev.Connect()


def queue_and_write(link: Link, event: ev.Deliver) -> Iterator[Effect]:
    link.queue.append(event.text)
    yield from _write_next(link)


def settle(_: Link, __: ev.Connected) -> Iterator[Effect]:
    yield SetTimer(SETTLE, SETTLE_S, ev.Settled())


def start_writing(link: Link, _: ev.Settled) -> Iterator[Effect]:
    link.attempts = 0
    yield from _write_next(link)


def write_next(link: Link, _: ev.Written) -> Iterator[Effect]:
    link.queue.popleft()
    link.in_flight = False
    link.delivered += 1
    yield from _write_next(link)
    if link.closing and not link.queue:
        yield Raise(ev.AllDelivered())


def retry_later(link: Link, _: Event) -> Iterator[Effect]:
    link.attempts += 1
    link.in_flight = False
    yield CancelTimer(SETTLE)
    yield ev.Disconnect(bye=False)
    if link.attempts == ATTEMPTS:
        yield ev.Unreachable(len(link.queue))
    if link.attempts <= FAST_ATTEMPTS:
        after_s = FAST_RETRY_S
    else:
        after_s = RETRY_S if link.attempts < ATTEMPTS else AWAY_RETRY_S
    yield SetTimer(RETRY, after_s, ev.RetryDue())


def reconnect(link: Link, _: ev.Lost) -> Iterator[Effect]:
    link.in_flight = False
    yield ev.Disconnect(bye=False)
    yield ev.Connect()


def rest(link: Link, _: Event) -> Iterator[Effect]:
    """The peer left and nothing waits for it: connect again when a call wants it."""
    link.in_flight = False
    yield ev.Disconnect(bye=False)


def start_over(link: Link, _: ev.RetryDue) -> Iterator[Effect]:
    """Who wants it next has all attempts again."""
    link.attempts = 0
    yield from ()


def deliver_rest(link: Link, _: ev.Close) -> Iterator[Effect]:
    link.closing = True
    yield SetTimer(OVERDUE, CLOSE_OVERDUE_S, ev.CloseOverdue())


def say_bye(_: Link, __: Event) -> Iterator[Effect]:
    yield ev.Disconnect(bye=True)


def report_undelivered(link: Link, _: Event) -> Iterator[Effect]:
    yield ev.Undelivered(tuple(link.queue))
    yield ev.Disconnect(bye=False)


def end(_: Link) -> Iterator[Effect]:
    yield ev.LinkClosed()


def _write_next(link: Link) -> Iterator[Effect]:
    if link.queue and not link.in_flight:
        link.in_flight = True
        yield ev.Write(link.queue[0])
