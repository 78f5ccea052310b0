"""What goes wrong with `transitions` used as its manual shows, and does not go wrong here.

Each class shows one defect twice: `transitions` has it (so that the scene is a fair one), and a
table of ours in the same scene has not, though `transitions` executes it.
"""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest
import transitions
from gevent.event import Event as Signal
from transitions.extensions.states import Timeout, add_state_features

from callfsm.fsm import (
    Actor,
    After,
    Effect,
    Event,
    Kind,
    Machine,
    Policy,
    Row,
    State,
    Table,
    TableError,
)
from callfsm.runtimes.gevent import GeventRuntime
from callfsm.runtimes.simulated import SimulatedRuntime

FAILS_AFTER_S = 5.0  # only a test that fails waits so long


@dataclass(frozen=True, slots=True)
class go(Event):  # named like a method of the models below
    """From a to b."""


@dataclass(frozen=True, slots=True)
class late(Event):
    """Time-out of b."""


@dataclass(frozen=True, slots=True)
class Done(Effect):
    """What is done on the way from a to b."""


@dataclass(slots=True, weakref_slot=True)  # compares by its fields: fresh models are equal
class Model:
    state: str = ""


@dataclass
class Theirs:
    """A model for `transitions`, which writes its triggers into it."""

    state: str = ""
    log: list[str] = field(default_factory=list)


STATES = ["a", "b"]


def ours(do: Any = lambda *_: [Done()]) -> Table[Any]:
    return Table(
        name="ours",
        note="",
        initial="a",
        states=(
            State("a", waits_forever=True, rest=Policy.IGNORE),
            State("b", after=After(60.0, late()), rest=Policy.IGNORE),
            State("over", kind=Kind.FINAL, rest=Policy.IGNORE),
        ),
        rows=(Row("a", go, "b", do), Row("b", late, "over")),
    )


def actor_of(
    machine: Machine[Any],
    runtime: Any,
    perform: Callable[[Effect], None] = lambda _: None,
    crashes: list[Exception] | None = None,
) -> Actor[Any]:
    crashed = (crashes if crashes is not None else []).append
    actor = Actor("x", machine, Model(), runtime=runtime, perform=perform, crashed=crashed)
    actor.start()
    return actor


class TestEqualModels:
    """Models are told apart by `==`, so of two that are equal the second is none."""

    def test_in_transitions(self) -> None:
        machine = transitions.Machine(model=None, states=STATES, initial="a")
        machine.add_transition("go", "a", "b")
        one, other = Theirs(), Theirs()
        machine.add_model(one)
        other.state = "a"
        machine.add_model(other)
        assert hasattr(one, "go")
        assert not hasattr(other, "go")

    def test_not_here(self) -> None:
        """Both are models, and each has its own state."""
        machine = Machine(ours())
        one, other = Model(), Model()
        machine.start(one)
        machine.start(other)
        machine.handle(other, go())
        assert (one.state, other.state) == ("a", "b")


class TestExceptionInOneCall:
    """The queue is the machine's: one model's exception discards what another was told."""

    def test_in_transitions(self) -> None:
        machine = transitions.Machine(model=None, states=STATES, initial="a", queued=True)
        one, other = Theirs("a", ["one"]), Theirs("a", ["other"])

        def tell_other_and_fail() -> None:
            assert other.go()  # type: ignore[attr-defined]
            raise ZeroDivisionError

        machine.add_transition("go", "a", "b")
        machine.add_transition("fail", "a", "b", before=tell_other_and_fail)
        machine.add_model([one, other])
        with pytest.raises(ZeroDivisionError):
            one.fail()  # type: ignore[attr-defined]
        assert other.state == "a"

    def test_not_here(self) -> None:
        """The one that fails is stopped; the other handles what it was told."""
        runtime, crashes = SimulatedRuntime(), list[Exception]()
        other = actor_of(Machine(ours()), runtime)

        def tell_other_and_fail(*_: object) -> Iterator[Effect]:
            other.tell(go())
            raise ZeroDivisionError
            yield

        one = actor_of(Machine(ours(tell_other_and_fail)), runtime, crashes=crashes)
        one.tell(go())
        runtime.settle()
        assert (one.stopped, len(crashes), other.model.state) == (True, 1, "b")


class TestTwoGreenlets:
    """Without a queue, two greenlets run the same transition twice."""

    def test_in_transitions(self) -> None:
        model = Theirs("a")
        machine = transitions.Machine(model=None, states=STATES, initial="a")

        def act() -> None:
            model.log.append("acts")
            gevent.sleep(0)

        machine.add_transition("go", "a", "b", before=act)
        machine.add_model(model, initial="a")
        gevent.joinall([gevent.spawn(model.go) for _ in range(2)])  # type: ignore[attr-defined]
        assert model.log == ["acts", "acts"]

    def test_not_here(self) -> None:
        """Whoever tells: a turn is over before the next begins, even if its effect yields."""
        runtime, log, done = GeventRuntime(), list[str](), Signal()
        runtime.start()

        def perform(_: Effect) -> None:
            log.append("acts")
            gevent.sleep(0)
            log.append("has acted")

        actor = actor_of(Machine(ours()), runtime, perform)
        gevent.joinall([gevent.spawn(actor.tell, go()) for _ in range(2)])
        witness = actor_of(Machine(ours()), runtime, lambda _: done.set())
        witness.tell(go())
        assert done.wait(FAILS_AFTER_S)
        runtime.stop()
        assert log == ["acts", "has acted"]


class TestKill:
    """A handler of exceptions catches a greenlet's kill too, and the greenlet lives on."""

    @staticmethod
    def kill(victim: "gevent.Greenlet[Any, Any]", reached: Signal) -> None:
        assert reached.wait(FAILS_AFTER_S)
        victim.kill()

    def test_in_transitions(self) -> None:
        reached, log = Signal(), list[str]()
        machine = transitions.Machine(
            model=None, states=STATES, initial="a", on_exception=lambda *_: log.append("swallowed")
        )

        def block() -> None:
            reached.set()
            gevent.sleep(FAILS_AFTER_S)

        machine.add_transition("go", "a", "b", before=block)
        model = Theirs()
        machine.add_model(model)

        def run() -> None:
            model.go()  # type: ignore[attr-defined]
            log.append("lives on")

        self.kill(gevent.spawn(run), reached)
        assert log == ["swallowed", "lives on"]

    def test_not_here(self) -> None:
        """GreenletExit passes through machine and actor, and is no crash."""
        reached, log, crashes = Signal(), list[str](), list[Exception]()

        def block(_: Effect) -> None:
            reached.set()
            gevent.sleep(FAILS_AFTER_S)

        actor = actor_of(Machine(ours()), SimulatedRuntime(), block, crashes)
        actor.tell(go())

        def run() -> None:
            actor.take_turn()
            log.append("lives on")

        victim = gevent.spawn(run)
        self.kill(victim, reached)
        assert (log, crashes, type(victim.value)) == ([], [], gevent.GreenletExit)

    def test_not_in_a_handler_either(self) -> None:
        """The same where the machine runs alone."""

        def be_killed(*_: object) -> Iterator[Effect]:
            raise gevent.GreenletExit
            yield

        machine = Machine(ours(be_killed))
        model = Model()
        machine.start(model)
        with pytest.raises(gevent.GreenletExit):
            machine.handle(model, go())


class TestLeakedTimers:
    """A time-out is a thread that holds its model, and nobody ends it with the model."""

    def test_in_transitions(self) -> None:
        timed = add_state_features(Timeout)(transitions.Machine)
        states = ["a", {"name": "b", "timeout": 60.0, "on_timeout": lambda: None}]
        machine = timed(model=None, states=states, initial="a", auto_transitions=False)
        machine.add_transition("go", "a", "b")
        threads, model = set(threading.enumerate()), Theirs()
        machine.add_model(model)
        model.go()  # type: ignore[attr-defined]
        machine.remove_model(model)
        gone = weakref.ref(model)
        del model
        gc.collect()
        leaked = [t for t in threading.enumerate() if t not in threads]
        try:
            assert (gone() is None, len(leaked)) == (False, 1)
        finally:
            for timer in leaked:
                timer.cancel()  # type: ignore[attr-defined]

    @pytest.mark.parametrize("make", [SimulatedRuntime, GeventRuntime])
    def test_not_here(self, make: Callable[[], Any]) -> None:
        """No thread at all; a stopped actor is gone with its model and its time-out."""
        threads, runtime = set(threading.enumerate()), make()
        actor = actor_of(Machine(ours()), runtime)
        actor.tell(go())
        actor.take_turn()
        timers = runtime.timers if isinstance(runtime, SimulatedRuntime) else runtime._timers
        assert (len(timers), actor.model.state) == (1, "b")
        actor.stop()
        gone = weakref.ref(actor.model)
        runtime.stop() if isinstance(runtime, GeventRuntime) else runtime.settle()
        del actor
        gc.collect()
        leaked = set(threading.enumerate()) - threads
        assert (gone(), len(timers), leaked) == (None, 0, set())


class TestNameCollision:
    """A method of the model that is named like a trigger is silently not the trigger."""

    class Named:
        state = ""

        def go(self, *_: object) -> str:
            return "the model's own"

        def on_enter_b(self, *_: object) -> None:
            raise AssertionError

    def test_in_transitions(self) -> None:
        machine = transitions.Machine(model=None, states=STATES, initial="a")
        machine.add_transition("go", "a", "b")
        model = self.Named()
        machine.add_model(model)
        assert (model.go(), model.state) == ("the model's own", "a")

    def test_not_here(self) -> None:
        """The event `go` is the event, whatever the model's methods are called."""
        machine, model = Machine(ours()), self.Named()
        machine.start(model)
        machine.handle(model, go())
        assert model.state == "b"


class TestMisspeltCallback:
    """The name of a callback is looked up when it is needed: perhaps in the third week."""

    def test_in_transitions(self) -> None:
        machine = transitions.Machine(model=None, states=STATES, initial="a")
        machine.add_transition("go", "a", "b", before="misspelt")
        model = Theirs()
        machine.add_model(model)
        with pytest.raises(AttributeError):
            model.go()  # type: ignore[attr-defined]

    def test_not_here(self) -> None:
        """Callbacks are functions; a name is refused when the machine is defined."""
        with pytest.raises(TableError, match=r"row 'a \+ go -> b': `do` must be a function"):
            Machine(ours("misspelt"))
