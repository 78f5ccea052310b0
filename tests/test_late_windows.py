"""The inference service refuses new calls by the windows that wait in it, in simulated time."""

from collections.abc import Callable, Iterator

import gevent
import pytest
from server_fixture import Script, eventually, speech

from callfsm.inference.admission import LATE_S, MEMORY_S, Refusal
from callfsm.inference.engine import AudioWindow
from callfsm.runtimes.simulated import SimulatedRuntime
from service.inference import InferenceService
from service.metrics import Metrics


class House:
    """A service whose one context is at work until it is `let`."""

    def __init__(self) -> None:
        self.runtime = SimulatedRuntime()
        self.script = Script()
        self.answered: list[int] = []
        self.service = InferenceService(self.script.make_engine, 1, self.runtime, Metrics())
        starting = gevent.spawn(self.service.start)
        self.until(starting.ready)
        self.script.hold()
        self.submit(1)

    def submit(
        self, call: int, *, eager: bool = False, settled: bool = True, new_s: float = 0.0
    ) -> None:
        def answered(*_: object) -> None:
            self.answered.append(call)

        audio = AudioWindow(speech(call, 5))
        self.service.submit(call, call, 1, audio, eager=eager, reply=answered, new_s=new_s)
        if settled:
            self.runtime.settle()

    def let_all(self) -> None:
        """Both windows are transcribed."""
        self.script.let_all()
        self.until(lambda: len(self.answered) == 2)

    def until(self, condition: Callable[[], bool]) -> None:
        def settled() -> bool:
            self.runtime.settle()
            return condition()

        eventually(settled, "settled")


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.script.let_all()
    house.service.stop()
    house.until(house.service.stopped.is_set)


def test_the_word_that_waits_longest_is_served_first(house: House) -> None:
    """Of two windows, the one that begins with older speech, though it was asked for later."""
    house.submit(2, new_s=1.0)
    house.runtime.advance(0.5)
    house.submit(3, new_s=5.0)
    house.submit(4, new_s=1.2)
    house.script.let_all()
    house.until(lambda: len(house.answered) == 4)
    assert house.answered == [1, 3, 2, 4]


def test_as_many_calls_as_there_are_may_ask_at_once(house: House) -> None:
    """Windows that 400 calls ask for in one turn are all queued, and every one is answered."""
    for call in range(2, 401):
        house.submit(call, settled=False)
    house.script.let_all()
    house.until(lambda: len(house.answered) == 400)


def test_a_window_that_waits_long_keeps_calls_out(house: House) -> None:
    """From a second of waiting on, and five more once a context has taken it."""
    house.submit(2)
    house.runtime.advance(0.5 * LATE_S)
    assert house.service.refuses_call(1) is None
    house.runtime.advance(0.5 * LATE_S)
    assert house.service.refuses_call(1) is Refusal.LATE
    house.runtime.advance(MEMORY_S)
    house.let_all()
    house.runtime.advance(MEMORY_S - 0.1)
    assert house.service.refuses_call(1) is Refusal.LATE
    house.runtime.advance(0.1)
    assert house.service.refuses_call(1) is None


def test_a_look_may_wait(house: House) -> None:
    """Looks take what time is left: that they wait says nothing."""
    house.submit(2, eager=True)
    house.runtime.advance(LATE_S)
    assert house.service.refuses_call(1) is None
    house.let_all()
    assert house.service.refuses_call(1) is None
