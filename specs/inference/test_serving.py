"""serving: contexts take requests, most urgent first."""

from dataclasses import replace

from callfsm.fsm.table import Event, Policy, SetTimer
from callfsm.inference import events as ev
from callfsm.inference.events import (
    AbortBatch,
    Answer,
    LoadContext,
    PoolDown,
    PoolUp,
    Replaced,
    RunBatch,
)
from callfsm.inference.pool import Pool, Worker
from callfsm.inference.table import inference_machine
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.testing import simulate
from specs.inference.scenes import (
    TRANSCRIPT,
    batch_done,
    batch_failed,
    load_failed,
    loading,
    request,
    serving,
    submitted,
    withdrawn,
)
from specs.policies import every_other_event

LENGTHS_S = ((2, 5.0), (3, 14.0), (4, 6.5))  # by call


# ---------------------------------------------------------------- the queue
def test_submitted() -> None:
    """A request that finds an idle context runs at once."""
    serving().when(submitted(1)).then("serving", RunBatch(0, (request(1),)))


def test_one_context_serialises() -> None:
    """With one context the second request waits until the first is answered."""
    pool = serving().after(submitted(1)).when(submitted(2)).then("serving")
    pool.when(batch_done(0))
    pool.then("serving", Answer(request(1), TRANSCRIPT), RunBatch(0, (request(2),)))


def test_two_contexts_pool() -> None:
    """With two contexts two requests run at the same time."""
    pool = serving(contexts=2).after(submitted(1)).when(submitted(2))
    pool.then("serving", RunBatch(1, (request(2),)))


def test_most_urgent_first() -> None:
    """Of the requests that wait, the one that is due first is served first."""
    pool = serving().after(submitted(1), submitted(2, due_s=4.0), submitted(3, due_s=1.5))
    assert pool.when(batch_done(0)).the(RunBatch).requests == (request(3, due_s=1.5),)


def test_looks_give_way() -> None:
    """A look ahead is served after every window that is none, however long it has waited."""
    look, final = request(2, due_s=0.5, eager=True), request(3, due_s=9.0)
    pool = serving().after(submitted(1), ev.Submitted(look), ev.Submitted(final))
    assert pool.when(batch_done(0)).the(RunBatch).requests == (final,)
    assert pool.when(batch_done(0)).the(RunBatch).requests == (look,)


def test_longer_window_replaces_the_one_that_waits() -> None:
    """A call has one place in the queue: a later window takes it, with the deadline it had."""
    pool = serving().after(submitted(1), submitted(2), submitted(3, due_s=1.5))
    pool.when(ev.Submitted(request(2, window=2, due_s=9.0))).then("serving", Replaced(request(2)))
    assert pool.model.waiting == 2
    pool.when(batch_done(0))
    assert pool.the(RunBatch).requests == (request(2, window=2),)


def test_window_replaces_the_look_that_waits() -> None:
    """A look that still waits when its call has a window gives it its place, as a window."""
    look, final = request(2, due_s=0.5, eager=True), request(2, window=2, due_s=2.0)
    pool = serving().after(submitted(1), ev.Submitted(look), submitted(3, due_s=1.5))
    pool.when(ev.Submitted(final)).then("serving", Replaced(look))
    assert pool.when(batch_done(0)).the(RunBatch).requests == (request(3, due_s=1.5),)
    assert pool.when(batch_done(0)).the(RunBatch).requests == (final,)


def test_window_that_runs_is_not_replaced() -> None:
    """A window that a context has begun with is answered, whatever its call wants meanwhile."""
    pool = serving().after(submitted(1))
    pool.when(ev.Submitted(request(1, window=2))).then("serving")
    pool.when(batch_done(0))
    pool.then("serving", Answer(request(1), TRANSCRIPT), RunBatch(0, (request(1, window=2),)))


def test_fair_between_equals() -> None:
    """Requests that are due at the same time are served in the order they came."""
    pool = serving().after(submitted(1), submitted(3), submitted(2)).when(batch_done(0))
    assert pool.the(RunBatch).requests == (request(3),)


def test_batch() -> None:
    """An engine that takes batches gets windows of several calls in one run."""
    pool = serving(batch=2).after(submitted(1), submitted(2), submitted(3), submitted(4))
    pool.when(batch_done(0))
    assert pool.the(RunBatch).requests == (request(2), request(3))
    pool.when(batch_done(0, windows=2)).then(
        "serving",
        Answer(request(2), TRANSCRIPT),
        Answer(request(3), TRANSCRIPT),
        RunBatch(0, (request(4),)),
    )


def test_batch_of_like_length() -> None:
    """The most urgent window goes first; with it go those of about its length, before others."""
    first, other, alike = (request(n, length_s=length_s) for n, length_s in LENGTHS_S)
    pool = serving(batch=2).after(submitted(1), *map(ev.Submitted, (first, other, alike)))
    assert pool.when(batch_done(0)).the(RunBatch).requests == (first, alike)
    assert pool.when(batch_done(0, windows=2)).the(RunBatch).requests == (other,)


def test_batch_is_filled() -> None:
    """Windows of other lengths fill a batch that has room."""
    first, other, alike = (request(n, length_s=length_s) for n, length_s in LENGTHS_S)
    pool = serving(batch=3).after(submitted(1), *map(ev.Submitted, (first, other, alike)))
    assert pool.when(batch_done(0)).the(RunBatch).requests == (first, alike, other)


def test_no_look_in_a_batch_of_windows() -> None:
    """A look would make the others of its batch wait: it goes with looks only."""
    looks = tuple(request(n, eager=True) for n in (3, 4))
    pool = serving(batch=4).after(submitted(1), *map(ev.Submitted, looks), submitted(2))
    assert pool.when(batch_done(0)).the(RunBatch).requests == (request(2),)
    assert pool.when(batch_done(0)).the(RunBatch).requests == looks


# ---------------------------------------------------------------- nobody waits any more
def test_withdrawn_while_waiting() -> None:
    """A waiting request that is withdrawn is forgotten."""
    pool = serving().after(submitted(1), submitted(2)).when(withdrawn(2)).then("serving")
    pool.when(batch_done(0)).then("serving", Answer(request(1), TRANSCRIPT))


def test_withdrawn_while_running() -> None:
    """A running request that is withdrawn is aborted."""
    serving().after(submitted(1)).when(withdrawn(1)).then("serving", AbortBatch(0))


def test_withdrawn_while_the_window_before_it_runs() -> None:
    """What the withdrawn window was to replace is aborted too: its answer is for nobody."""
    longer = ev.Submitted(request(1, window=2))
    pool = serving().after(submitted(1), longer)
    pool.when(ev.Withdrawn("call 1", 2)).then("serving", AbortBatch(0))


def test_withdrawn_from_a_batch() -> None:
    """A running request that has batch mates is not aborted before they are given up, too."""
    pool = serving(batch=2).after(submitted(1), submitted(2), submitted(3), batch_done(0))
    pool.when(withdrawn(2)).then("serving")
    pool.when(withdrawn(3)).then("serving", AbortBatch(0))


# ---------------------------------------------------------------- contexts that fail
def test_batch_failed() -> None:
    """A context that fails answers its requests with the error, and is loaded anew."""
    pool = serving().after(submitted(1)).when(batch_failed(0))
    pool.then("serving", Answer(request(1), None, "aborted"), LoadContext(0))


def test_failed_batch_is_tried_window_by_window() -> None:
    """A window that no context bears fails alone: its batch mates are transcribed all the same."""
    waiting = (submitted(call) for call in (1, 2, 3))
    pool = serving(batch=2).after(*waiting, batch_done(0)).when(batch_failed(0))
    pool.then("serving", LoadContext(0))
    apart = tuple(replace(request(call), alone=True) for call in (2, 3))
    assert pool.when(ev.ContextReady(0)).the(RunBatch).requests == apart[:1]
    pool.when(batch_failed(0)).then("serving", Answer(apart[0], None, "aborted"), LoadContext(0))
    assert pool.when(ev.ContextReady(0)).the(RunBatch).requests == apart[1:]
    pool.when(batch_done(0)).then("serving", Answer(apart[1], TRANSCRIPT))


def test_failed_batch_goes_to_the_other_context() -> None:
    """A context that is idle takes the first window of a batch that failed on another."""
    waiting = (submitted(call) for call in (1, 2, 3, 4))
    pool = serving(contexts=2, batch=2).after(*waiting, batch_done(0), batch_done(1))
    pool.when(batch_failed(0))
    apart = replace(request(3), alone=True)
    pool.then("serving", LoadContext(0), RunBatch(1, (apart,)))


def test_failed_batch_and_a_newer_window() -> None:
    """A window that its call has given up is not tried again in place of the one it wants now."""
    waiting = (submitted(call) for call in (1, 2, 3))
    newer = request(3, window=2, due_s=0.5)
    pool = serving(batch=2).after(*waiting, batch_done(0), withdrawn(3), ev.Submitted(newer))
    pool.when(batch_failed(0)).then("serving", Answer(request(3), None, "aborted"), LoadContext(0))
    assert pool.when(ev.ContextReady(0)).the(RunBatch).requests == (newer,)
    pool.when(batch_done(0))
    assert pool.the(RunBatch).requests == (replace(request(2), alone=True),)


def test_failed_batch_and_a_window_that_has_grown() -> None:
    """Nor one that had begun in the moment in which its call asked for a longer one."""
    waiting = (submitted(call) for call in (1, 2, 3))
    longer = request(3, window=2)
    pool = serving(batch=2).after(*waiting, batch_done(0), ev.Submitted(longer))
    pool.when(batch_failed(0)).then("serving", Answer(request(3), None, "aborted"), LoadContext(0))
    assert pool.when(ev.ContextReady(0)).the(RunBatch).requests == (longer,)
    apart = (replace(request(2), alone=True),)
    assert pool.when(batch_done(0)).the(RunBatch).requests == apart


def test_failed_context_gets_no_work() -> None:
    """A context that is being loaded anew gets no request until it is ready."""
    pool = serving().after(submitted(1), batch_failed(0)).when(submitted(2)).then("serving")
    pool.when(ev.ContextReady(0)).then("serving", RunBatch(0, (request(2),)))


def test_other_contexts_go_on() -> None:
    """The failure of one context touches no other."""
    pool = serving(contexts=2).after(submitted(1), submitted(2), batch_failed(0))
    pool.when(batch_done(1)).then("serving", Answer(request(2), TRANSCRIPT))


def test_later_context() -> None:
    """A context that becomes ready later takes what waits."""
    pool = loading(contexts=2).after(ev.ContextReady(0), submitted(1), submitted(2))
    pool.when(ev.ContextReady(1)).then("serving", RunBatch(1, (request(2),)))


def test_reload_failed() -> None:
    """A context that cannot be loaded anew is tried again after a second."""
    pool = serving().after(submitted(1), batch_failed(0)).when(load_failed(0))
    pool.then("serving", SetTimer("reload 0", 1.0, ev.ReloadDue(0)), PoolDown)


def test_no_context_works() -> None:
    """When the last context fails that is told, once; and again when one works."""
    pool = serving(contexts=2).after(submitted(1), batch_failed(0))
    pool.when(load_failed(0)).then("serving", SetTimer)
    pool.after(submitted(2), batch_failed(1))
    pool.when(load_failed(1)).then("serving", SetTimer, PoolDown("out of memory"))
    pool.when(ev.ReloadDue(0)).then("serving", LoadContext(0))
    pool.when(load_failed(0)).then("serving", SetTimer)
    pool.when(ev.ReloadDue(0)).then("serving", LoadContext(0))
    pool.when(ev.ContextReady(0)).then("serving", PoolUp())


def test_what_contexts_do() -> None:
    """A context is loading, idle, busy, or failed until it is loaded again."""
    pool = loading(contexts=2).after(load_failed(0))
    assert pool.model.workers == {0: Worker.FAILED, 1: Worker.LOADING}
    pool.after(ev.ContextReady(1), ev.ReloadDue(0))
    assert pool.model.workers == {0: Worker.LOADING, 1: Worker.IDLE}
    pool.after(submitted(1))
    assert pool.model.workers == {0: Worker.LOADING, 1: Worker.BUSY}


def test_reload_back_off(runtime: SimulatedRuntime) -> None:
    """Each failure to load doubles the wait, up to a minute; a success starts over."""
    pool = simulate(inference_machine, Pool(1), runtime)
    pool.after(ev.ContextReady(0), submitted(1), batch_failed(0))
    for wait_s in (1, 2, 4, 8, 16, 32, 60, 60):
        pool.after(load_failed(0))
        pool.advance(wait_s - 0.1).then("serving")
        pool.advance(0.2).then("serving", LoadContext(0))
    pool.after(ev.ContextReady(0), submitted(2), batch_failed(0), load_failed(0))
    pool.advance(1.1).then("serving", LoadContext(0))


def test_context_that_fails_each_run(runtime: SimulatedRuntime) -> None:
    """A context that loads and then fails, the third time in a row, is loaded later and later."""
    pool = simulate(inference_machine, Pool(1), runtime).after(ev.ContextReady(0))
    for call in (1, 2):
        pool.after(submitted(call), batch_failed(0), ev.ContextReady(0))
    for call, wait_s in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=3):
        pool.after(submitted(call), batch_failed(0))
        assert pool.model.workers[0] is Worker.FAILED
        pool.advance(wait_s - 0.1).then("serving")
        pool.advance(0.2).then("serving", LoadContext(0)).after(ev.ContextReady(0))


def test_context_that_works_again() -> None:
    """A run that succeeds ends the count of those that failed."""
    pool = serving().after(submitted(1), batch_failed(0), ev.ContextReady(0))
    pool.after(submitted(2), batch_done(0))
    for call in (3, 4):
        pool.after(submitted(call)).when(batch_failed(0)).the(LoadContext)
        pool.after(ev.ContextReady(0))


def test_aborted_runs_are_no_failures() -> None:
    """Runs that were aborted, since nobody wanted their text any more, do not count."""
    pool = serving()
    for call in range(1, 5):
        pool.after(submitted(call), withdrawn(call)).when(batch_failed(0)).the(LoadContext)
        pool.after(ev.ContextReady(0))


# ---------------------------------------------------------------- the end
def test_stop() -> None:
    """When the service ends, what waits is refused and what runs is finished."""
    pool = serving().after(submitted(1), submitted(2)).when(ev.StopRequested())
    pool.then("stopping", Answer(request(2), None, "the service stops"))


@every_other_event(rejected=[ev.AllIdle(), ev.NoneLeft()])
def test_other_events(event: Event, policy: Policy) -> None:
    """The internal events of other states cannot come."""
    serving().when(event).then_policy(policy)
