"""Turn a log into a spec: the same events, and what each led to, as sentences that pytest runs.

A minute of frames is thousands of turns that hardly differ; turns in a row that are the same
become one loop. Effects that hold samples are given by their type, as `then` wants it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath

from callfsm.call.call import Call
from callfsm.errors import CallfsmError
from callfsm.fsm.machine import STATE_TIMER
from callfsm.fsm.table import CancelTimer, Effect, SetTimer
from callfsm.record.log import Log
from callfsm.record.replay import Replayed, replay, turns
from callfsm.record.source import Source, compares
from callfsm.record.speech import RecordedSpeech

TESTING = "callfsm.testing"  # where `given` is imported from
WIDTH = 100


class SpecError(CallfsmError):
    """A log that no passing spec can be made of."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    """One turn as source."""

    speech: str
    event: str
    state: str
    effects: tuple[str, ...]


def spec_of(log: Log, name: str) -> str:
    """The text of a pytest file that passes on this machine; `name` says where the log is.

    Raises SpecError when the machine does not do what was recorded, or crashed in it.
    """
    if (difference := replay(log)) is not None:
        raise SpecError(f"the log does not replay, so no spec of it can pass: {difference}")
    if not log.turns or log.turns[-1].crash:
        raise SpecError("the recorded call crashed; its last event is no behaviour to specify")
    source, header = Source(), log.header
    source.uses("from callfsm.call.table import call_machine")
    source.uses(f"from {TESTING} import given")
    settings = source(header.settings)
    played = list(turns(log))
    sentences = [_sentence(again, source) for again in played[1:]]
    body = "\n".join(_lines(sentences))
    call = f"{source.name(Call)}({header.call}, SETTINGS, speech)"
    speech = f"{source.name(RecordedSpeech)}()"
    states = " -> ".join(state for state, _ in groupby(turn.state for turn in log.turns))
    return f'''"""Call {header.call} of {header.started}, as recorded in {PurePath(name).name}."""

{source.imports()}

SETTINGS = {settings}


def test_call_{header.call}() -> None:
    """{_shortened(states)}"""
    speech = {speech}
    call = given(call_machine, {call})
{body}
'''


def _sentence(again: Replayed, source: Source) -> _Sentence:
    event = again.recorded.event
    assert event is not None
    effects = [effect for effect in again.turn.effects if not _is_state_timer(effect)]
    return _Sentence(
        again.recorded.speech,
        source(event),
        again.found.state,
        tuple(source(e) if compares(e) else source.name(type(e)) for e in effects),
    )


def _lines(sentences: Iterable[_Sentence]) -> Iterator[str]:
    for sentence, group in groupby(sentences):
        count = len(list(group))
        indent = "    "
        if count > 1:
            yield f"{indent}for _ in range({count}):"
            indent += "    "
        if sentence.speech:
            yield f'{indent}speech.hear("{sentence.speech}")'
        judged = (f'"{sentence.state}"', *sentence.effects)
        line = f"{indent}call.when({sentence.event}).then({', '.join(judged)})"
        if len(line) <= WIDTH:
            yield line
        else:
            yield f"{indent}call.when({sentence.event}).then("
            yield from (f"{indent}    {each}," for each in judged)
            yield f"{indent})"


def _is_state_timer(effect: Effect) -> bool:
    return isinstance(effect, SetTimer | CancelTimer) and effect.name == STATE_TIMER


def _shortened(text: str) -> str:
    return text if len(text) <= WIDTH - 10 else f"{text[: WIDTH - 14]} ..."
