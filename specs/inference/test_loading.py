"""loading: no context is ready yet; requests wait."""

from callfsm.fsm.table import Event, Policy, SetTimer
from callfsm.inference import events as ev
from callfsm.inference.events import (
    Answer,
    CloseContexts,
    LoadContext,
    PoolBroken,
    PoolReady,
    RunBatch,
)
from specs.inference.scenes import (
    batch_done,
    batch_failed,
    load_failed,
    loading,
    request,
    submitted,
    withdrawn,
)
from specs.policies import every_other_event


def test_start() -> None:
    """At the start every context is loaded."""
    loading(contexts=2).then("loading", LoadContext(0), LoadContext(1))


def test_submitted() -> None:
    """A request that comes before any context is ready waits."""
    loading().when(submitted(1)).then("loading")


def test_first_context() -> None:
    """With the first context calls can be served; what waits is begun at once."""
    pool = loading(contexts=2).after(submitted(1)).when(ev.ContextReady(1))
    pool.then("serving", PoolReady(), RunBatch(1, (request(1),)))


def test_withdrawn() -> None:
    """A request that was withdrawn before any context was ready is forgotten."""
    pool = loading().after(submitted(1)).when(withdrawn(1)).then("loading")
    pool.when(ev.ContextReady(0)).then("serving", PoolReady())


def test_one_context_failed() -> None:
    """A context that cannot be loaded is set aside as long as others may be."""
    loading(contexts=2).when(load_failed(0)).then("loading")


def test_one_context_failed_and_another_is_ready() -> None:
    """A context that was set aside is loaded again a second after calls can be served."""
    pool = loading(contexts=2).after(load_failed(0)).when(ev.ContextReady(1))
    pool.then("serving", PoolReady(), SetTimer("reload 0", 1.0, ev.ReloadDue(0)))


def test_every_context_failed() -> None:
    """When no context can be loaded, the pool is broken, and says why."""
    pool = loading(contexts=2).after(load_failed(0)).when(load_failed(1))
    pool.then("broken", PoolBroken("out of memory"))


def test_every_context_failed_while_requests_wait() -> None:
    """When no context can be loaded, what waits is answered with the reason."""
    pool = loading().after(submitted(1)).when(load_failed(0))
    pool.then("broken", Answer(request(1), None, "out of memory"), PoolBroken("out of memory"))


def test_stop() -> None:
    """When the service ends before a context is ready, what waits is refused."""
    pool = loading().after(submitted(1)).when(ev.StopRequested())
    assert pool.the(Answer) == Answer(request(1), None, "the service stops")
    assert pool.the(CloseContexts)
    assert pool.state == "stopped"


@every_other_event(
    rejected=[batch_done(0), batch_failed(0), ev.ReloadDue(0), ev.AllIdle()],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """Nothing runs yet, so nothing can be done or fail."""
    loading().when(event).then_policy(policy)
