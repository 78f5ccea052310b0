"""The model behind the inference actor: the queue, and who works on what.

Every owner has one place in the queue; a later request of its takes that place, and a longer
window keeps the deadline. So nobody waits twice, and the queue is never longer than there are
calls. Looks ahead come after everything else, and never share a batch with it: a window that
somebody waits for is delayed by no look that has not begun. Among the rest the earliest deadline is
first, which is fair between calls.
"""

from collections.abc import Hashable, Iterator
from dataclasses import replace
from enum import Enum
from itertools import count

from callfsm.fsm.backoff import growing_wait_s
from callfsm.fsm.table import Effect, Event, Raise, SetTimer
from callfsm.inference import events as ev
from callfsm.inference.events import Request

RELOAD_AFTER_S = 1.0  # doubled at each failure in a row
RELOAD_AFTER_MAX_S = 60.0
FORGIVEN_RUNS = 2  # failed in a row: a batch, and then the window in it that no context bears
ALIKE_S = 2.0  # windows whose lengths differ by less are padded to about the same


class Worker(Enum):
    """What a context does."""

    LOADING = "loading"  # and warming up
    IDLE = "idle"
    BUSY = "busy"
    FAILED = "failed"  # waits to be loaded again


class Pool:
    """One or more contexts and the requests that wait for them."""

    __slots__ = (
        "_order",
        "_queue",
        "batch",
        "down",
        "failed_runs",
        "failures",
        "running",
        "state",
        "unwanted",
        "workers",
    )

    def __init__(self, contexts: int, batch: int = 1) -> None:
        self.state = ""
        self.batch = batch  # windows that one run takes
        self.workers = dict.fromkeys(range(contexts), Worker.LOADING)
        self.running: dict[int, tuple[Request, ...]] = {}
        self.unwanted: dict[int, set[Hashable]] = {}  # owners who gave up, by context that runs
        self.failures: dict[int, int] = {}  # to load, in a row, by context
        self.failed_runs: dict[int, int] = {}  # in a row, by context
        self.down = False  # every context failed, and none has been loaded since
        self._queue: dict[Hashable, tuple[int, Request]] = {}  # by owner
        self._order = count()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def waiting_since_s(self) -> float | None:
        """When the window that waits longest was asked for; looks do not count."""
        asked_s = (request.submitted_s for _, request in self._queue.values() if not request.eager)
        return min(asked_s, default=None)

    @property
    def busy(self) -> float:
        """The share of the contexts that work."""
        return len(self.running) / len(self.workers)

    def those(self, state: Worker) -> list[int]:
        """The contexts in this state."""
        return [context for context, worker in self.workers.items() if worker is state]

    def push(self, request: Request) -> Request | None:
        """Queue a request; what its owner had waiting, if anything, is forgotten and returned."""
        order, before = self._queue.get(request.owner, (next(self._order), None))
        if before is not None and before.eager == request.eager:
            request = replace(request, submitted_s=before.submitted_s, deadline_s=before.deadline_s)
        self._queue[request.owner] = order, request
        return before

    def pop_batch(self) -> tuple[Request, ...]:
        """The most urgent request, and as many with it as one run takes: looks with looks only,
        none that is to be alone, those of about its length first, then the most urgent of the
        others."""
        entries = sorted(self._queue.values(), key=_urgency)
        first = entries[0][1]
        mates = [other for _, other in entries if other is first or _can_share(first, other)]
        mates.sort(key=lambda other: _differs(first, other))
        batch = tuple(mates[: self.batch])
        for request in batch:
            del self._queue[request.owner]
        return batch

    def has_newer(self, owner: Hashable) -> bool:
        """Whether the owner waits for another window than one that runs."""
        return owner in self._queue

    def pop_all(self) -> list[Request]:
        """Everything that waits, most urgent first."""
        requests = [request for _, request in sorted(self._queue.values(), key=_urgency)]
        self._queue.clear()
        return requests

    def withdraw(self, owner: Hashable, window: int) -> None:
        if owner in self._queue and self._queue[owner][1].window == window:
            del self._queue[owner]


def _urgency(entry: tuple[int, Request]) -> tuple[bool, float, int]:
    order, request = entry
    return request.eager, request.deadline_s, order


def _can_share(first: Request, other: Request) -> bool:
    return other.eager == first.eager and not (first.alone or other.alone)


def _differs(first: Request, other: Request) -> bool:
    return abs(first.audio.duration_s - other.audio.duration_s) > ALIKE_S


# ---------------------------------------------------------------- handlers
def load_all(pool: Pool) -> Iterator[Effect]:
    for context in pool.workers:
        yield ev.LoadContext(context)


def queue(pool: Pool, event: ev.Submitted) -> Iterator[Effect]:
    before = pool.push(event.request)
    if before is not None:
        yield ev.Replaced(before)
    yield from dispatch(pool)


def dispatch(pool: Pool) -> Iterator[Effect]:
    """Give every idle context work, as long as there is any."""
    for context in pool.those(Worker.IDLE):
        if not pool.waiting:
            break
        pool.workers[context] = Worker.BUSY
        pool.running[context], pool.unwanted[context] = pool.pop_batch(), set()
        yield ev.RunBatch(context, pool.running[context])


def admit(pool: Pool, event: ev.ContextReady) -> Iterator[Effect]:
    pool.workers[event.context] = Worker.IDLE
    pool.failures.pop(event.context, None)
    if pool.down:
        pool.down = False
        yield ev.PoolUp()
    yield from dispatch(pool)


def admit_first(pool: Pool, event: ev.ContextReady) -> Iterator[Effect]:
    yield ev.PoolReady()
    for context in sorted(pool.failures):
        yield _reload_timer(context, pool.failures[context])
    yield from admit(pool, event)


def set_aside(pool: Pool, event: ev.ContextFailed) -> Iterator[Effect]:
    """Without this context for now; without any, nobody can be served."""
    pool.workers[event.context] = Worker.FAILED
    pool.failures[event.context] = 1
    if not pool.those(Worker.LOADING):
        yield from _refuse_waiting(pool, event.error)
        yield ev.PoolBroken(event.error)
        yield Raise(ev.NoneLeft())


def answer(pool: Pool, event: ev.BatchDone) -> Iterator[Effect]:
    yield from _answers(pool, event)
    pool.workers[event.context] = Worker.IDLE
    pool.failed_runs.pop(event.context, None)
    yield from dispatch(pool)


def answer_failure(pool: Pool, event: ev.BatchFailed) -> Iterator[Effect]:
    """Load the context anew: its memory is in doubt. What ran alone has failed; a batch is tried
    again window by window, lest one that no context can bear fail those of other calls.

    One that fails each time, unasked, is loaded later and later: what waits grows meanwhile, and
    fewer windows are lost.
    """
    requests, unwanted = pool.running.pop(event.context), pool.unwanted[event.context]
    for request in requests:
        is_wanted = request.owner not in unwanted and not pool.has_newer(request.owner)
        if len(requests) > 1 and is_wanted:
            pool.push(replace(request, alone=True))
        else:
            yield ev.Answer(request, None, event.error)
    was_aborted = len(unwanted) == len(requests)
    runs = pool.failed_runs.get(event.context, 0) + (not was_aborted)
    pool.failed_runs[event.context] = runs
    if runs > FORGIVEN_RUNS:
        yield from _rest(pool, event.context, runs - FORGIVEN_RUNS, event.error)
    else:
        yield _load(pool, event.context)
    yield from dispatch(pool)


def reload_later(pool: Pool, event: ev.ContextFailed) -> Iterator[Effect]:
    pool.failures[event.context] = pool.failures.get(event.context, 0) + 1
    yield from _rest(pool, event.context, pool.failures[event.context], event.error)


def reload(pool: Pool, event: ev.ReloadDue) -> Iterator[Effect]:
    yield _load(pool, event.context)


def withdraw(pool: Pool, event: ev.Withdrawn) -> Iterator[Effect]:
    """Forget a waiting request; abort a batch of which nobody wants anything any more.

    The running one may be one that the waiting request was to replace, had it not begun in the same
    instant.
    """
    pool.withdraw(event.owner, event.window)
    for context, requests in pool.running.items():
        if any(r.owner == event.owner and r.window <= event.window for r in requests):
            pool.unwanted[context].add(event.owner)
            if len(pool.unwanted[context]) == len(requests):
                yield ev.AbortBatch(context)


def refuse(pool: Pool, event: ev.Submitted) -> Iterator[Effect]:
    yield ev.Answer(event.request, None, "the inference actor does not take requests any more")


def stop(pool: Pool, _: Event) -> Iterator[Effect]:
    """Refuse what waits, let run what runs."""
    yield from _refuse_waiting(pool, "the service stops")
    if not pool.running:
        yield Raise(ev.AllIdle())


def finish(pool: Pool, event: ev.BatchDone | ev.BatchFailed) -> Iterator[Effect]:
    yield from _answers(pool, event)
    pool.workers[event.context] = Worker.IDLE
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
    for request in pool.pop_all():
        yield ev.Answer(request, None, why)


def _load(pool: Pool, context: int) -> ev.LoadContext:
    pool.workers[context] = Worker.LOADING
    return ev.LoadContext(context)


def _rest(pool: Pool, context: int, failures: int, error: str) -> Iterator[Effect]:
    pool.workers[context] = Worker.FAILED
    yield _reload_timer(context, failures)
    if not pool.down and len(pool.those(Worker.FAILED)) == len(pool.workers):
        pool.down = True
        yield ev.PoolDown(error)


def _reload_timer(context: int, failures: int) -> SetTimer:
    after_s = growing_wait_s(failures, RELOAD_AFTER_S, RELOAD_AFTER_MAX_S)
    return SetTimer(f"reload {context}", after_s, ev.ReloadDue(context))
