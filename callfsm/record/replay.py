"""Run the machine on a log, and find the first turn that is not as it was."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from callfsm.call.call import Call
from callfsm.call.table import call_machine
from callfsm.fsm.machine import Machine, Turn
from callfsm.record.encoding import Encoder, digest_of, length_of
from callfsm.record.log import Log, RecordedTurn
from callfsm.record.recorder import crash_text
from callfsm.record.speech import RecordedSpeech


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn led to: the state, the effects as JSON values, and what went wrong, if so."""

    state: str
    effects: tuple[Any, ...]
    fault: str = ""

    def __str__(self) -> str:
        if self.fault:
            return f"'{self.state}', and {self.fault}"
        return "\n    ".join([f"'{self.state}'", *(json.dumps(effect) for effect in self.effects)])


@dataclass(frozen=True, slots=True)
class Difference:
    """The first turn that differs; `number` counts events from 1, 0 is the start of the call."""

    number: int
    at_s: float
    event: str
    expected: Outcome
    found: Outcome
    steps: tuple[str, ...]  # that the machine took here

    def __str__(self) -> str:
        taken = "".join(f"\n    {step}" for step in self.steps)
        return (
            f"event {self.number} at {self.at_s:.3f} s, {self.event}:\n"
            f"  recorded {self.expected}\n  replayed {self.found}\n  by the steps{taken or ' none'}"
        )


@dataclass(slots=True)
class Replayed:
    """One turn run again: what was recorded, what came now, and the machine's own turn."""

    recorded: RecordedTurn
    found: Outcome
    turn: Turn = field(default_factory=Turn)

    @property
    def expected(self) -> Outcome:
        return Outcome(self.recorded.state, self.recorded.effects, self.recorded.crash)


def replay(log: Log, machine: Machine[Call] = call_machine) -> Difference | None:
    """The first difference, None when every turn is as recorded."""
    for number, again in enumerate(turns(log, machine)):
        if again.found != again.expected:
            recorded = again.recorded
            return Difference(
                number,
                recorded.at_s,
                type(recorded.event).__name__ if recorded.event else "start",
                again.expected,
                again.found,
                tuple(str(step) for step in again.turn.steps),
            )
    return None


def turns(log: Log, machine: Machine[Call] = call_machine) -> Iterator[Replayed]:
    """Run the machine on every event of the log, whatever comes of it."""
    speech = RecordedSpeech()
    call = Call(log.header.call, log.header.settings, speech)
    encode = Encoder(digest_of if log.header.audio else length_of)
    for recorded in log.turns:
        speech.hear(recorded.speech)
        yield _run(machine, call, recorded, encode, lambda: speech.left)


def _run(
    machine: Machine[Call],
    call: Call,
    recorded: RecordedTurn,
    encode: Encoder,
    left: Callable[[], int],
) -> Replayed:
    event = recorded.event
    try:
        turn = machine.start(call) if event is None else machine.handle(call, event)
    except Exception as error:
        return Replayed(recorded, Outcome(call.state, (), crash_text(error)))
    effects = tuple(json.loads(encode(effect)) for effect in turn.effects)
    unheard = f"{left()} recorded frames were not asked about" if left() else ""
    return Replayed(recorded, Outcome(call.state, effects, unheard), turn)
