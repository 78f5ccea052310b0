"""The model behind the inference actor: the queue, and who works on what.

Requests wait in the order of their deadlines, so a final window goes before a look ahead, and
among windows of the same kind the one that waits longest goes first: fair between calls, since a
call never has more than one request.
"""

import heapq
from collections.abc import Hashable, Iterator
from itertools import count

from callfsm.fsm.table import CancelTimer, Effect, Event, Raise, SetTimer
from callfsm.inference import events as ev
from callfsm.inference.events import Request

RELOAD_AFTER_S = 1.0  # doubled at each failure in a row
RELOAD_AFTER_MAX_S = 60.0


class Pool:
    """One or more contexts and the requests that wait for them."""

    __slots__ = (
        "_contexts",
        "_order",
        "_queue",
        "batch",
        "failures",
        "idle",
        "loading",
        "running",
        "state",
    )

    def __init__(self, contexts: int, batch: int = 1) -> None:
        self.state = ""
        self._contexts = contexts
        self.batch = batch  # windows that one run takes
        self.loading = set(range(contexts))
        self.idle: set[int] = set()
        self.running: dict[int, tuple[Request, ...]] = {}
        self.failures: dict[int, int] = {}  # in a row, by context
        self._queue: list[tuple[float, int, Request]] = []
        self._order = count()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def has_spare(self) -> bool:
        """Whether a request submitted now would run at once."""
        return bool(self.idle) and not self._queue

    @property
    def busy(self) -> float:
        """The share of the contexts that work."""
        return len(self.running) / self._contexts

    def push(self, request: Request) -> None:
        heapq.heappush(self._queue, (request.deadline_s, next(self._order), request))

    def pop_batch(self) -> tuple[Request, ...]:
        """The most urgent requests, as many as one run takes."""
        size = min(self.batch, len(self._queue))
        return tuple(heapq.heappop(self._queue)[-1] for _ in range(size))

    def withdraw(self, owner: Hashable, window: int) -> None:
        kept = [e for e in self._queue if (e[2].owner, e[2].window) != (owner, window)]
        heapq.heapify(kept)
        self._queue = kept


# ---------------------------------------------------------------- handlers
def load_all(pool: Pool) -> Iterator[Effect]:
    for context in sorted(pool.loading):
        yield ev.LoadContext(context)


def queue(pool: Pool, event: ev.Submitted) -> Iterator[Effect]:
    pool.push(event.request)
    yield from dispatch(pool)


def dispatch(pool: Pool) -> Iterator[Effect]:
    """Give every idle context work, as long as there is any."""
    while pool.idle and pool.waiting:
        context = min(pool.idle)
        pool.idle.discard(context)
        pool.running[context] = pool.pop_batch()
        yield ev.RunBatch(context, pool.running[context])


def admit(pool: Pool, event: ev.ContextReady) -> Iterator[Effect]:
    pool.loading.discard(event.context)
    pool.failures.pop(event.context, None)
    pool.idle.add(event.context)
    yield from dispatch(pool)


def admit_first(pool: Pool, event: ev.ContextReady) -> Iterator[Effect]:
    yield ev.PoolReady()
    for context in sorted(pool.failures):
        yield _reload_timer(pool, context)
    yield from admit(pool, event)


def set_aside(pool: Pool, event: ev.ContextFailed) -> Iterator[Effect]:
    """Without this context for now; without any, nobody can be served."""
    pool.loading.discard(event.context)
    pool.failures[event.context] = 1
    if not pool.loading:
        yield from _refuse_waiting(pool, event.error)
        yield ev.PoolBroken(event.error)
        yield Raise(ev.NoneLeft())


def answer(pool: Pool, event: ev.BatchDone) -> Iterator[Effect]:
    yield from _answers(pool, event)
    pool.idle.add(event.context)
    yield from dispatch(pool)


def answer_failure(pool: Pool, event: ev.BatchFailed) -> Iterator[Effect]:
    """Tell the callers, and load the context anew: its memory is in doubt."""
    yield from _answers(pool, event)
    pool.loading.add(event.context)
    yield ev.LoadContext(event.context)


def reload_later(pool: Pool, event: ev.ContextFailed) -> Iterator[Effect]:
    pool.failures[event.context] = pool.failures.get(event.context, 0) + 1
    yield _reload_timer(pool, event.context)


def reload(pool: Pool, event: ev.ReloadDue) -> Iterator[Effect]:
    yield ev.LoadContext(event.context)


def withdraw(pool: Pool, event: ev.Withdrawn) -> Iterator[Effect]:
    """Forget a waiting request; abort a running one that has no batch mates."""
    pool.withdraw(event.owner, event.window)
    for context, requests in pool.running.items():
        if [(r.owner, r.window) for r in requests] == [(event.owner, event.window)]:
            yield ev.AbortBatch(context)


def refuse(pool: Pool, event: ev.Submitted) -> Iterator[Effect]:
    yield ev.Answer(event.request, None, "the inference actor does not take requests any more")


def stop(pool: Pool, _: Event) -> Iterator[Effect]:
    """Refuse what waits, let run what runs."""
    yield from _refuse_waiting(pool, "the service stops")
    for context in pool.loading:
        yield CancelTimer(f"reload {context}")
    if not pool.running:
        yield Raise(ev.AllIdle())


def finish(pool: Pool, event: ev.BatchDone | ev.BatchFailed) -> Iterator[Effect]:
    yield from _answers(pool, event)
    if not pool.running:
        yield Raise(ev.AllIdle())


def close_all(_: Pool) -> Iterator[Effect]:
    yield ev.CloseContexts()


def _answers(pool: Pool, event: ev.BatchDone | ev.BatchFailed) -> Iterator[Effect]:
    """Answer everybody in the batch that ended."""
    requests = pool.running.pop(event.context)
    if isinstance(event, ev.BatchFailed):
        yield from (ev.Answer(request, None, event.error) for request in requests)
        return
    for request, transcript in zip(requests, event.transcripts, strict=True):
        yield ev.Answer(request, transcript)


def _refuse_waiting(pool: Pool, why: str) -> Iterator[Effect]:
    while pool.waiting:
        for request in pool.pop_batch():
            yield ev.Answer(request, None, why)


def _reload_timer(pool: Pool, context: int) -> SetTimer:
    failures = pool.failures[context]
    after_s = min(RELOAD_AFTER_S * 2 ** (failures - 1), RELOAD_AFTER_MAX_S)
    return SetTimer(f"reload {context}", after_s, ev.ReloadDue(context))
