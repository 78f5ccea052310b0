"""What the machinery costs when the handlers do nothing: time per event, memory per call.

    python -m benchmarks.machine [--json]

Times are the best of several rounds: what the code needs, not what else the machine does meanwhile.
The figures are in docs/library.md.
"""

import argparse
import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from callfsm.call.call import Call
from callfsm.call.events import AudioConnected, AudioReceived, Registered
from callfsm.call.settings import CallSettings
from callfsm.call.table import CALL, call_machine
from callfsm.call.windows import WindowBuffer
from callfsm.fsm import Actor, Effect, Event, Machine, Row, Runtime, State, Table
from callfsm.runtimes.gevent import GeventRuntime, let_hub_look
from callfsm.runtimes.simulated import SimulatedRuntime

ROUNDS, EVENTS = 60, 1_000  # short rounds: the best one falls between what others do
ACTORS = 10_000


class Deaf:
    """A speech detector that keeps nothing and hears nothing."""

    __slots__ = ()

    def is_speech(self, frame: bytes) -> bool:
        return False


SETTINGS, DEAF = CallSettings(), Deaf()
AUDIO = AudioReceived(np.zeros(320, np.float32))


def nothing(*_: object) -> Iterator[Effect]:
    yield from ()


def never(*_: object) -> bool:
    return False


def without_handlers(table: Table[Call]) -> Table[Call]:
    """The same states, rows, guards and time-outs, with handlers that do nothing."""

    def state(each: State[Call]) -> State[Call]:
        return replace(each, enter=nothing if each.enter else None)

    def row(each: Row[Call, Any]) -> Row[Call, Any]:
        return replace(each, do=nothing if each.do else None, when=never if each.when else None)

    return replace(table, states=tuple(map(state, table.states)), rows=tuple(map(row, table.rows)))


NULL = Machine(without_handlers(CALL))


def call(number: int = 0) -> Call:
    return Call(number, SETTINGS, DEAF)


def actor_of(runtime: Runtime, number: int = 0, machine: Machine[Call] = NULL) -> Actor[Call]:
    """A call that is connected, so that audio is what it expects."""
    actor = Actor(number, machine, call(number), runtime=runtime, perform=_ignore, crashed=_fail)
    actor.start()
    actor.tell(AudioConnected())
    actor.take_turn()
    return actor


def _ignore(_: Effect) -> None: ...


def _fail(error: Exception) -> None:
    raise error


def best_us(work: Callable[[], None], events: int = EVENTS, rounds: int = ROUNDS) -> float:
    """Microseconds an event, in the best round."""
    best_s = float("inf")
    for _ in range(rounds):
        start_s = time.perf_counter()
        work()
        best_s = min(best_s, time.perf_counter() - start_s)
    return best_s / events * 1e6


def alone_us(first: Event, again: Event) -> float:
    """The machine alone takes `again`, over and over, after `first`."""
    model = call()
    NULL.start(model)
    NULL.handle(model, first)

    def work() -> None:
        for _ in range(EVENTS):
            NULL.handle(model, again)

    return best_us(work)


def simulated_us() -> float:
    """Audio told to one call and handled, mailbox and timer included, in simulated time."""
    runtime = SimulatedRuntime()
    actor = actor_of(runtime)

    def work() -> None:
        for _ in range(EVENTS):
            actor.tell(AUDIO)
            actor.take_turn()

    return best_us(work)


def gevent_us(calls: int = 100) -> float:
    """The same for a hundred calls on gevent, told in bursts that a mailbox holds."""
    runtime = GeventRuntime()
    runtime.start()
    actors = [actor_of(runtime, number) for number in range(calls)]

    def work() -> None:
        for _ in range(EVENTS // calls):
            for actor in actors:
                actor.tell(AUDIO)
        while any(actor.waiting for actor in actors):
            let_hub_look()  # not sleep(0): that asks all calls again, fifty times a slice

    try:
        return best_us(work)
    finally:
        runtime.stop()


def bytes_each(make: Callable[[int], object], count: int = 1_000) -> float:
    """Python memory of one, when there are many."""
    make(0)
    gc.collect()
    tracemalloc.start()
    try:
        kept = [make(number) for number in range(count)]
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / len(kept)
    finally:
        tracemalloc.stop()


def buffer_bytes() -> float:
    """What of a call is its empty buffer: windows, segmenter, and the queues in them."""
    return bytes_each(lambda _: WindowBuffer(SETTINGS.windows, DEAF))


def many_calls() -> dict[str, float]:
    """Ten thousand calls at once, each handling a frame of audio."""
    runtime = SimulatedRuntime()
    start_s = time.perf_counter()
    actors = [actor_of(runtime, number) for number in range(ACTORS)]
    made_s = time.perf_counter()
    for actor in actors:
        actor.tell(AUDIO)
    runtime.settle()
    handled_s = time.perf_counter()
    runtime.advance(SETTINGS.idle_s - 1.0)
    assert all(actor.model.state == "buffering" for actor in actors)
    return {
        "calls_at_once": len(actors),
        "calls_started_per_s": len(actors) / (made_s - start_s),
        "frames_of_all_of_them_s": handled_s - made_s,
    }


def figures() -> dict[str, float]:
    """Everything measured; the units are in the names."""
    through_mailbox_us, on_gevent_us = simulated_us(), gevent_us()
    runtime = SimulatedRuntime()
    return {
        "event_stays_us": alone_us(AudioConnected(), AUDIO),
        "event_ignored_us": alone_us(AudioConnected(), Registered()),
        "event_through_mailbox_us": through_mailbox_us,
        "events_through_mailbox_per_s": 1e6 / through_mailbox_us,
        "event_on_gevent_us": on_gevent_us,
        "events_on_gevent_per_s": 1e6 / on_gevent_us,
        "call_bytes": bytes_each(call),
        "of_that_empty_buffer_bytes": buffer_bytes(),
        "call_with_actor_bytes": bytes_each(lambda n: actor_of(runtime, n, call_machine)),
        **many_calls(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    measured = figures()
    if arguments.json:
        print(json.dumps(measured))
        return
    for name, figure in measured.items():
        print(f"{name:32} {figure:12,.1f}")


if __name__ == "__main__":
    main()
