"""Carry out what the inference actor asks for: engines, each in one native thread of its own.

This is the only place where a window meets a model. The native threads compute without the GIL, so
sockets are served while every core infers. They are a little nicer than the hub, which then is at
most 10 ms late in 99.5 % of cases at capacity, and 98.5 % without. Much nicer they would starve
beside a language model on the same cores (a 1 s utterance took 6 s).
"""

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial

import gevent
from gevent.event import AsyncResult

from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor, Runtime
from callfsm.fsm.table import Effect
from callfsm.inference import events as ev
from callfsm.inference.admission import Admission, Refusal
from callfsm.inference.engine import Audio, AudioWindow, Engine, Transcript
from callfsm.inference.load import LoadMeter
from callfsm.inference.pool import Pool, Worker
from callfsm.inference.table import inference_machine
from service.metrics import WAIT_WORTH_A_LOG_S, Metrics
from service.native_thread import NativeThread

log = logging.getLogger(__name__)

DEADLINE_S = 4.0  # from its first new sound on: so late a word may be
NICER = 2  # beside another busy process, 39 % of a core instead of 50 %

Reply = Callable[[Transcript | None, str], None]
Started = Callable[[], None]


class InferenceService:
    """The pool of contexts. `submit` a window; the answer comes as a callback on the hub."""

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        contexts: int,
        runtime: Runtime,
        metrics: Metrics,
        batch: int = 1,
        *,
        failed: Callable[[], None] = lambda: None,
        works: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`batch` windows are given to an engine at once. `failed` is called when a fault of ours
        ends the actor: nothing is transcribed any more; `works` with False when no context works
        any more, and with True when one does again."""
        self._failed = failed
        self._works = works
        self._runtime = runtime
        self._metrics = metrics
        self._pool = Pool(contexts, batch)
        self._load_meter = LoadMeter()
        self._admission = Admission(contexts)
        self._contexts = [_Context(make_engine) for _ in range(contexts)]
        self._waiting: dict[tuple[object, int], tuple[Reply, Started]] = {}
        self._ready: AsyncResult[str] = AsyncResult()
        self.stopped = gevent.event.Event()
        metrics.queue.set_function(lambda: self._pool.waiting)
        for worker in Worker:
            metrics.contexts.labels(worker.value).set_function(partial(self._count, worker))
        self._actor = Actor(
            "inference",
            inference_machine,
            self._pool,
            runtime=runtime,
            perform=self._perform,
            crashed=self._crashed,
            capacity=sys.maxsize,  # the calls bound it: each asks for one window at a time
            goes_first=True,
        )

    def load(self) -> float:
        """The share of the contexts' time that is in use, 0..1; 1 when windows wait."""
        if self._pool.waiting:
            return 1.0
        return self._load_meter.load(self._runtime.now_s())

    @property
    def is_down(self) -> bool:
        """Whether no context works."""
        return self._pool.down

    def refuses_call(self, calls: int) -> Refusal | None:
        """Why a new call cannot be borne beside `calls` others now; None counts it as let in."""
        if self.is_down:
            return Refusal.DOWN
        now_s, since_s = self._runtime.now_s(), self._pool.waiting_since_s
        if since_s is not None:
            self._admission.waited(now_s, now_s - since_s)
        return self._admission.refuses(now_s, self.load(), calls)

    def start(self) -> None:
        """Load every context and wait for the first. Raises CallfsmError when none loads."""
        self._actor.start()
        error = self._ready.get()
        if error:
            raise CallfsmError(error)

    def stop(self) -> None:
        """Finish what runs and free the contexts; `stopped` is set when done."""
        self._actor.tell(ev.StopRequested())

    def submit(
        self,
        owner: object,
        call_id: int,
        window: int,
        audio: Audio,
        *,
        eager: bool,
        reply: Reply,
        started: Started = lambda: None,
        new_s: float = 0.0,
        thorough: bool = False,
    ) -> None:
        """Have `audio` transcribed for `owner`, in place of what it has waiting.

        Its last `new_s` seconds are more than context: the longer the first of them have waited
        already, the sooner it is served. See `AudioWindow` for `thorough`.
        `started` is called when a context begins with it: from then on it cannot be replaced.
        `reply` gets a transcript, or None and why not; neither is called once it is replaced.
        """
        if self._actor.stopped:
            reply(None, "the inference actor has ended")
            return
        now_s = self._runtime.now_s()
        self._waiting[owner, window] = reply, started
        self._actor.tell(
            ev.Submitted(
                ev.Request(
                    owner=owner,
                    call_id=call_id,
                    window=window,
                    audio=audio,
                    submitted_s=now_s,
                    deadline_s=now_s - new_s + DEADLINE_S,
                    eager=eager,
                    thorough=thorough,
                )
            )
        )

    def withdraw(self, owner: object, window: int) -> None:
        """Nobody waits for this window any more."""
        if self._waiting.pop((owner, window), None) is not None:
            self._actor.tell(ev.Withdrawn(owner, window))

    def _perform(self, effect: Effect) -> None:
        self._load_meter.update(self._runtime.now_s(), self._pool.busy)
        match effect:
            case ev.LoadContext(context):
                gevent.spawn(self._load, context)
            case ev.RunBatch(context, requests):
                self._tell_started(requests)
                self._measure_wait(requests)
                gevent.spawn(self._run, context, requests)
            case ev.Replaced(request):
                self._metrics.windows_replaced.inc()
                self._waiting.pop((request.owner, request.window), None)
            case ev.AbortBatch(context):
                self._contexts[context].abort()
            case ev.Answer(request, transcript, error):
                self._answer(request, transcript, error)
            case ev.PoolReady():
                self._ready.set("")
            case ev.PoolBroken(error):
                self._ready.set(error)
            case ev.PoolDown(error):
                log.error("no context works any more, they are loaded again: %s", error)
                self._works(False)
            case ev.PoolUp():
                log.warning("a context is loaded again")
                self._works(True)
            case ev.CloseContexts():
                gevent.spawn(self._close)

    def _count(self, worker: Worker) -> float:
        return len(self._pool.those(worker))

    def _load(self, context: int) -> None:
        try:
            self._contexts[context].load()
        except Exception as error:
            log.error("context %d: %s", context, error, exc_info=_is_a_bug(error))
            self._actor.tell(ev.ContextFailed(context, str(error)))
        else:
            self._actor.tell(ev.ContextReady(context))

    def _run(self, context: int, requests: tuple[ev.Request, ...]) -> None:
        try:
            transcripts = self._contexts[context].transcribe(requests)
        except Exception as error:
            calls = ", ".join(str(request.call_id) for request in requests)
            log.error(
                "context %d failed on call %s: %s",
                context,
                calls,
                error,
                exc_info=_is_a_bug(error),
            )
            self._actor.tell(ev.BatchFailed(context, str(error)))
        else:
            self._actor.tell(ev.BatchDone(context, tuple(transcripts)))

    def _tell_started(self, requests: tuple[ev.Request, ...]) -> None:
        for request in requests:
            waiting = self._waiting.get((request.owner, request.window))
            if waiting is not None:
                _, started = waiting
                started()

    def _measure_wait(self, requests: tuple[ev.Request, ...]) -> None:
        now_s = self._runtime.now_s()
        for request in requests:
            waited_s = now_s - request.submitted_s
            self._metrics.waited(waited_s)
            if not request.eager:
                self._admission.waited(now_s, waited_s)
            if waited_s > WAIT_WORTH_A_LOG_S:
                log.info(
                    "call %d: window %d waited %.0f ms for a context",
                    request.call_id,
                    request.window,
                    waited_s * 1000,
                )

    def _answer(self, request: ev.Request, transcript: Transcript | None, error: str) -> None:
        if transcript is not None:
            self._metrics.inference_s.observe(transcript.inference_s)
            for guard in transcript.guards:
                self._metrics.guards.labels(guard).inc()
        waiting = self._waiting.pop((request.owner, request.window), None)
        if waiting is not None:
            reply, _ = waiting
            reply(transcript, error)

    def _close(self) -> None:
        try:
            for context in self._contexts:
                context.close()
        finally:
            self.stopped.set()

    def _crashed(self, error: Exception) -> None:
        log.critical("the inference actor failed", exc_info=error)
        self._ready.set(f"the inference actor failed: {error}")
        self.stopped.set()
        self._failed()
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for reply, _ in waiting:
            reply(None, "the inference actor failed")


class _Context:
    """One engine and the native thread it lives in."""

    def __init__(self, make_engine: Callable[[], Engine]) -> None:
        self._make_engine = make_engine
        self._thread = NativeThread()
        self._thread.be_nicer(NICER)
        self._engine: Engine | None = None

    def load(self) -> None:
        """Load the engine, in place of one that failed. Raises EngineError."""
        self.close_engine()
        self._engine = self._make_engine()
        self._thread.run(self._engine.load)

    def transcribe(self, requests: Sequence[ev.Request]) -> list[Transcript]:
        assert self._engine is not None
        return self._thread.run(partial(_transcribe, self._engine, requests))

    def abort(self) -> None:
        if self._engine is not None:
            self._engine.abort()

    def close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            self._thread.run(engine.close)

    def close(self) -> None:
        self.close_engine()
        self._thread.stop()


def _transcribe(engine: Engine, requests: Sequence[ev.Request]) -> list[Transcript]:
    """In the native thread: only there, and only now, audio becomes samples."""
    return engine.transcribe(
        [AudioWindow(each.audio.samples, each.eager, each.thorough) for each in requests]
    )


def _is_a_bug(error: Exception) -> bool:
    """Whether the log should show where an error came from: nobody raised it on purpose."""
    return not isinstance(error, CallfsmError)
