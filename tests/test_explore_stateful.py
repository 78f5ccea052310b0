"""The same rules on the real classes: actors in simulated time, and hypothesis as the world."""

from typing import Any, ClassVar

import pytest
import seeded_bugs as bugs
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from callfsm.call.call import Call
from callfsm.call.events import AudioReceived
from callfsm.explore import rules
from callfsm.explore.choices import FAULTS, NOTHING_MORE, SILENT_FRAMES, Bounds, Choice, settings_of
from callfsm.explore.surroundings import CALL, INFERENCE, LINK, LoudIsSpeech, Surroundings
from callfsm.explore.system import MACHINES
from callfsm.fsm.actor import Actor
from callfsm.fsm.machine import Machine, Turn
from callfsm.fsm.table import Effect
from callfsm.inference.events import ContextReady
from callfsm.inference.pool import Pool
from callfsm.link.link import Link
from callfsm.record.log import read_log
from callfsm.record.recorder import CallRecorder
from callfsm.record.replay import replay
from callfsm.runtimes.simulated import SimulatedRuntime

BOUNDS = Bounds(pieces=8, faults=6, registers=3, prompt=False, looks=True)
ENDINGS = {Choice.HANG_UP, Choice.END_STREAM, Choice.SHUT_DOWN}
WAITS_S = (0.02, 0.1, 0.3, 1.3, 2.1, 11.0, 31.0, 121.0, 301.0, 601.0)
SILENCE_S = 3.0  # longer than a pause and held words together
LONG_S = 1000.0  # every time-out has come
STEPS_TO_THE_END = 60


class Telephone(RuleBasedStateMachine):
    """A call, an inference actor and a link, as actors; what surrounds them, by hypothesis."""

    machines: ClassVar[Any] = MACHINES

    @initialize(seed=st.integers(0, 3), connected=st.booleans(), looks=st.booleans())
    def start(self, seed: int, connected: bool, looks: bool) -> None:
        chosen = settings_of(looks)
        self.runtime = SimulatedRuntime(seed=seed)
        self.around = Surroundings(BOUNDS)
        self.problems: list[str] = []
        self.heard = 0
        self.lines: list[str] = []
        recorder = CallRecorder(
            1,
            chosen,
            LoudIsSpeech(),
            write=self.lines.append,
            failed=self.crashed,
            now_s=self.runtime.now_s,
            started="",
            machine=self.machines[CALL],
        )
        models = {CALL: Call(1, chosen, recorder.detector), INFERENCE: Pool(1), LINK: Link(1)}
        machines = {**self.machines, CALL: recorder.machine}
        self.actors: dict[str, Actor[Any]] = {
            name: Actor(
                name,
                machines[name],
                model,
                runtime=self.runtime,
                perform=self.perform,
                crashed=self.crashed,
                observers=(self.observe,),
            )
            for name, model in models.items()
        }
        for actor in self.actors.values():
            actor.start()
        self.around.context = ""
        self.actors[INFERENCE].tell(ContextReady(0))
        for choice in (Choice.REGISTER, Choice.ANSWER, Choice.CONNECT) if connected else ():
            self.make(choice)
            self.runtime.settle()

    @rule(pick=st.integers(0, 30), seen=st.booleans())
    def something_happens(self, pick: int, seen: bool) -> None:
        self.one_of({*Choice} - FAULTS - ENDINGS, pick, seen)

    @rule(choice=st.sampled_from(list(SILENT_FRAMES)), seen=st.booleans())
    def somebody_speaks(self, choice: Choice, seen: bool) -> None:
        self.one_of({choice}, 0, seen)

    @rule(pick=st.integers(0, 30), seen=st.booleans())
    def something_fails(self, pick: int, seen: bool) -> None:
        self.one_of(FAULTS, pick, seen)

    @rule(pick=st.integers(0, 30), seen=st.booleans())
    def the_call_ends(self, pick: int, seen: bool) -> None:
        self.one_of(ENDINGS, pick, seen)

    @rule(seconds=st.sampled_from(WAITS_S))
    def time_passes(self, seconds: float) -> None:
        self.runtime.advance(seconds)

    @rule()
    def nobody_speaks(self) -> None:
        """In seconds of silence everything that was heard is on its way."""
        self.runtime.advance(SILENCE_S)
        call, around = self.actors[CALL].model, self.around
        if call.state == "buffering":
            assert not call.windows.has_speech
            assert not call.merger.held
            assert around.reading

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "around"):
            assert self.problems + self.around.problems == []

    def teardown(self) -> None:
        """Whatever happened: the call ends, its text is whole, and its log replays."""
        if not hasattr(self, "around"):
            return
        self.around.bounds = NOTHING_MORE
        for _ in range(STEPS_TO_THE_END):
            self.runtime.settle()
            must = [choice for choice in self.around.choices() if choice not in FAULTS]
            if must:
                self.make(must[0])
            else:
                self.runtime.advance(LONG_S)
        self.runtime.settle()
        self.nothing_is_wrong()
        assert [name for name, actor in self.actors.items() if not actor.stopped] == []
        assert len(self.runtime.timers) == 0
        assert replay(read_log(self.lines), self.machines[CALL]) is None

    def one_of(self, wanted: set[Choice], pick: int, seen: bool) -> None:
        choices = [choice for choice in self.around.choices() if choice in wanted]
        if choices:
            self.make(choices[pick % len(choices)])
        if seen:
            self.runtime.settle()

    def make(self, choice: Choice) -> None:
        for name, event in self.around.act(choice):
            self.actors[name].tell(event)

    def perform(self, effect: Effect) -> None:
        ended = self.around.ended
        if ended and type(effect).__module__ == "callfsm.call.effects":
            self.problems.append(f"event after closed: {effect}")
        for name, event in self.around.perform(effect):
            self.actors[name].tell(event)

    def observe(self, actor: Actor[Any], turn: Turn) -> None:
        around = self.around
        if actor.name == CALL:
            self.heard += any(isinstance(step.event, AudioReceived) for step in turn.steps[:1])
            if actor.model.state == "closed":
                self.problems += rules.text_of(around, self.heard)
        elif around.link_closed and actor.name == LINK:
            self.problems += rules.undelivered(around)

    def crashed(self, error: Exception) -> None:
        self.problems.append(f"crash: {error}")


FEW = settings(max_examples=60, stateful_step_count=40, deadline=None, database=None)
TestTelephone: Any = Telephone.TestCase
TestTelephone.settings = FEW


@pytest.mark.parametrize("name", ["TAIL_LOST", "TWO_IN_FLIGHT"])
def test_it_finds_seeded_bugs(name: str) -> None:
    """A rule that nothing can break would be no rule."""

    class Mistaken(Telephone):
        machines: ClassVar[Any] = {**MACHINES, CALL: Machine(getattr(bugs, name))}

    many = settings(FEW, max_examples=5000, derandomize=True, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Mistaken, settings=many)
