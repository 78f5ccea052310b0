"""Recording a call, running the recording again, and making a spec of it."""

import json
import runpy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.settings import CallSettings
from callfsm.call.table import CALL, call_machine
from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import Effect, Event
from callfsm.record.encoding import Decoder, Encoder, LogError, digest_of, length_of, pcm_of
from callfsm.record.log import Log, read_log
from callfsm.record.recorder import CallRecorder
from callfsm.record.replay import replay
from callfsm.record.spec import SpecError, spec_of
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.words import Word
from specs.audio import LoudIsSpeech, silence, speech
from specs.call.scenes import words

FRAME_S = 0.02
SETTINGS = CallSettings()
END = ev.StreamEnded(ev.EndReason.END_OF_STREAM)


@dataclass
class Recorded:
    """A call that is recorded while it runs in simulated time."""

    audio: bool = False
    machine: Machine[Call] = call_machine
    inference_s: float = 0.2
    lines: list[str] = field(default_factory=list)
    crash: Exception | None = None
    write: Callable[[str], None] | None = None
    failures: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runtime = SimulatedRuntime()
        self.recorder = CallRecorder(
            7,
            SETTINGS,
            LoudIsSpeech(),
            write=self.write or self.lines.append,
            failed=self.failures.append,
            now_s=self.runtime.now_s,
            started="2026-01-01T12:00:00+00:00",
            audio=self.audio,
            machine=self.machine,
        )
        self.actor: Actor[Call] = Actor(
            "call 7",
            self.recorder.machine,
            Call(7, SETTINGS, self.recorder.detector),
            runtime=self.runtime,
            perform=self._perform,
            crashed=self._crashed,
        )
        self.actor.start()
        self.tell(ev.Registered())

    def tell(self, *events: Event) -> "Recorded":
        for event in events:
            self.actor.tell(event)
        self.runtime.settle()
        return self

    def say(self, samples: Any) -> "Recorded":
        """In frames, and in real time."""
        for at in range(0, len(samples), 320):
            self.tell(ev.AudioReceived(samples[at : at + 320], FRAME_S))
            self.runtime.advance(FRAME_S)
        return self

    def whole(self) -> "Recorded":
        """An ordinary call: two utterances, a window cut in speech, time-outs, and the end."""
        self.say(speech(1.0)).say(silence(2.0)).say(speech(6.0)).runtime.advance(2.0)
        self.tell(ev.Bye(), END).runtime.advance(5.0)
        assert self.actor.model.state == "closed"
        return self

    @property
    def log(self) -> Log:
        return read_log(self.lines)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case ask.ConnectAudio():
                self.actor.tell(ev.AudioConnected())
            case ask.Transcribe(window):
                found = words("hello there world", window.end_s - window.start_s - 1.2)
                done = ev.InferenceDone(window.number, found)
                self.runtime.set_timer(self.actor, "inference", self.inference_s, done)
            case ask.ForwardText(number):
                self.actor.tell(ev.TextAccepted(number))

    def _crashed(self, error: Exception) -> None:
        self.crash = error


def without_pause() -> Machine[Call]:
    """The call machine with a row that does nothing in place of the one that cuts at a pause."""
    rows = tuple(
        replace(row, do=None) if row.event is ev.PauseElapsed else row for row in CALL.rows
    )
    return Machine(replace(CALL, rows=rows))


WHOLE = tuple(Recorded().whole().lines)


# ---------------------------------------------------------------- replay
@pytest.mark.parametrize("audio", [False, True])
def test_a_call_replays(audio: bool) -> None:
    """The machine does on the recorded events what it did in the call."""
    call = Recorded(audio).whole()
    assert replay(call.log) is None
    assert call.log.is_whole


def test_a_log_without_audio_has_no_audio() -> None:
    """Of the samples only their number is written."""
    lines = [json.loads(line) for line in Recorded().whole().lines[1:]]
    heard = [line["event"]["AudioReceived"] for line in lines if "AudioReceived" in str(line)]
    assert {str(event["samples"]) for event in heard} == {"{'samples': 320}"}
    asked = [
        e["Transcribe"]["window"]["Window"]
        for line in lines
        for e in line.get("effects", ())
        if "Transcribe" in e
    ]
    assert asked
    assert all(list(window["audio"]) == ["samples"] for window in asked)


def test_a_log_with_audio_has_it() -> None:
    """With audio, the samples come back to 16 bits."""
    call = Recorded(audio=True)
    heard = np.sin(np.arange(320, dtype=np.float32))
    call.tell(ev.AudioReceived(heard, FRAME_S))
    event = call.log.turns[-1].event
    assert isinstance(event, ev.AudioReceived)
    np.testing.assert_allclose(event.samples, heard, atol=2 / 32768)


def test_with_audio_other_samples_are_a_difference() -> None:
    """With audio, a window's samples are compared too."""
    call = Recorded(audio=True).whole()
    [at] = [n for n, line in enumerate(call.lines) if '"window":{"Window":{"number":1,' in line]
    call.lines[at] = call.lines[at].replace('"crc32":', '"crc32":1')
    difference = replay(call.log)
    assert difference is not None
    assert difference.number == at - 1


def test_the_first_difference_is_named() -> None:
    """A machine that does otherwise is told by event, state and effects."""
    call = Recorded().whole()
    difference = replay(call.log, without_pause())
    assert difference is not None
    assert difference.event == "PauseElapsed"
    assert (difference.expected.state, difference.found.state) == ("inferring", "buffering")
    assert "Transcribe" in str(difference)
    assert "buffering + PauseElapsed -> buffering" in str(difference)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"state":"inferring"', '"state":"forwarding"'),
        ('"after_s":10.0', '"after_s":11.0'),
        ('"effects":[{"OpenLink":{}},', '"effects":['),
        ('"speech":"1"', '"speech":"11"'),
        ('"speech":"1",', ""),
        ('"text":"there"', '"text":"where"'),
    ],
)
def test_nothing_recorded_is_taken_on_trust(old: str, new: str) -> None:
    """A state, an effect, a speech flag or a word that was otherwise is found."""
    lines = Recorded().whole().lines
    at = next(n for n, line in enumerate(lines) if n and old in line)
    lines[at] = lines[at].replace(old, new, 1)
    difference = replay(read_log(lines))
    assert difference is not None
    assert difference.number == at - 1


def test_a_crash_is_recorded_and_replayed() -> None:
    """The event that the machine failed on is in the log, and fails again."""
    call = Recorded()
    call.tell(ev.AudioConnected())
    assert isinstance(call.crash, Exception)
    [*_, last] = call.log.turns
    assert (last.event, last.state) == (ev.AudioConnected(), "buffering")
    assert "not expected in state 'buffering'" in last.crash
    assert replay(call.log) is None
    with pytest.raises(SpecError, match="crashed"):
        spec_of(call.log, "x.jsonl")


def test_a_postponed_event_replays() -> None:
    """An event that waits for another state is in the log as often as the machine had it."""
    call = Recorded(inference_s=1.5).say(speech(7.0)).say(silence(2.0))
    states = [t.state for t in call.log.turns if isinstance(t.event, ev.HeldWordsElapsed)]
    assert states == ["inferring", "forwarding", "buffering"]
    assert replay(call.log) is None


@settings(max_examples=25, deadline=None)
@for_all(st.lists(st.sampled_from(["speak", "rest", "wait", "bye", "lose"]), max_size=12))
def test_any_call_replays(course: list[str]) -> None:
    """Whatever happens to a call, its log replays."""
    call = Recorded()
    for what in course:
        match what:
            case "speak":
                call.say(speech(0.9))
            case "rest":
                call.say(silence(0.5))
            case "wait":
                call.runtime.advance(1.3)
            case "bye":
                call.tell(ev.Bye())
            case _:
                call.tell(ev.InferenceFailed(1, "lost"))
    assert call.crash is None
    assert replay(call.log) is None


# ---------------------------------------------------------------- the recorder
def test_a_recorder_that_fails_does_not_end_the_call() -> None:
    """Its failure is told once, and the call goes on without holding what is not written."""
    written: list[str] = []

    def write(line: str) -> None:
        written.append(line)
        if len(written) > 5:
            raise OSError("no space")

    call = Recorded(write=write).whole()
    assert call.crash is None
    assert [str(error) for error in call.failures] == ["no space"]
    assert len(written) == 6
    assert call.recorder.detector.take() == "", "the detector's flags pile up"


# ---------------------------------------------------------------- the format
def test_a_torn_last_line_is_left_out() -> None:
    """A process that was killed leaves half a line: what is before it still replays."""
    lines = Recorded().whole().lines
    for cut in (1, 20, len(lines[-1]) - 1):
        log = read_log([*lines[:-1], lines[-1][:cut]])
        assert log.cut_off
        assert not log.is_whole
        assert len(log.turns) == len(lines) - 2
        assert replay(log) is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "empty"),
        (["hello\n"], "line 1 is not the header"),
        (["[]\n"], "line 1 is not the header"),
        (['{"format": "callfsm call log", "version": 2}\n'], "format version 2; this reads 1"),
    ],
)
def test_what_is_no_log_is_refused(lines: list[str], message: str) -> None:
    """Another file, or another version, is told from a log."""
    with pytest.raises(LogError, match=message):
        read_log(lines)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ('{"t":0.0,"ev\n', "line 3: "),
        ('{"t":0.0,"event":{"Sung":{}},"state":"x"}\n', "line 3: 'Sung' is not known here"),
        ('{"t":0.0,"event":{"Bye":{"a":1}},"state":"x"}\n', "line 3: Bye has other fields"),
    ],
)
def test_a_broken_line_is_named(broken: str, message: str) -> None:
    """A line in the middle that cannot be read is an error, not skipped."""
    lines = Recorded().whole().lines
    with pytest.raises(LogError, match=message):
        read_log([*lines[:2], broken, *lines[3:]])


@settings(max_examples=200, deadline=None)
@for_all(line=st.integers(0, 400), at=st.integers(0, 400), junk=st.text(max_size=3))
def test_a_damaged_log_is_told(line: int, at: int, junk: str) -> None:
    """Whatever was done to a line: a log error, a difference, or no harm; never a stack trace."""
    lines = list(WHOLE)
    line, at = line % len(lines), at % len(lines[line % len(lines)])
    lines[line] = lines[line][:at] + junk + lines[line][at + 1 :]
    with suppress(CallfsmError):
        replay(read_log(lines))


def test_every_field_comes_back() -> None:
    """Whatever fields the events have, now or later: encoded and decoded they are the same."""
    decode, encode = Decoder(CALL.events), Encoder(length_of)
    for kind in CALL.events:
        event = _example(kind)
        again = decode(json.loads(encode(event)))
        assert type(again) is kind
        for each in fields(kind):
            np.testing.assert_equal(getattr(again, each.name), getattr(event, each.name))


def test_a_field_with_a_default_may_be_missing() -> None:
    """A log from before a field was added is still read."""
    value = {"AudioReceived": {"samples": {"samples": 2}}}
    assert Decoder(CALL.events)(value).chunk_s == 0.0


@dataclass(frozen=True)
class _Odd(Effect):
    what: object


def test_what_has_no_place_in_a_log_is_refused() -> None:
    """A value that would not come back is an error when it is written."""
    with pytest.raises(TypeError, match="set has no place"):
        Encoder(length_of)(_Odd({1}))


@for_all(st.one_of(st.floats(), st.text(), st.integers(), st.booleans(), st.none()))
def test_plain_values_keep_every_digit(value: object) -> None:
    """Numbers and texts come back as they were."""
    again = json.loads(Encoder(length_of)(value))
    np.testing.assert_equal(again, value)


def test_samples_are_masked_as_asked() -> None:
    """Their number; their number and a digest; or themselves."""
    samples = np.full(2, 0.5, np.float32)
    assert json.loads(length_of(samples)) == {"samples": 2}
    assert json.loads(digest_of(samples)) == {"samples": 2, "crc32": crc32(b"\x00\x40\x00\x40")}
    assert json.loads(pcm_of(samples)) == {"pcm16": "AEAAQA=="}


def _example(kind: type) -> Any:
    """An event with fields that are not at their defaults."""
    hints: dict[str, Any] = {
        "samples": np.zeros(3, np.float32),
        "words": (Word("fünf", 0.1, 0.25, 0.5),),
        "reason": ev.EndReason.BYE,
        "error": 'a "quoted" text\n',
    }
    assert is_dataclass(kind)
    plain = {"bool": True, "float": 0.1 + 0.2, "int": 3}
    chosen = {
        f.name: hints[f.name] if f.name in hints else plain[getattr(f.type, "__name__", f.type)]
        for f in fields(kind)
    }
    return kind(**chosen)


# ---------------------------------------------------------------- specs
def test_a_log_becomes_a_spec(tmp_path: Path) -> None:
    """The spec of a recorded call passes, and says what happened."""
    text = spec_of(Recorded().whole().log, "/logs/x.jsonl")
    path = tmp_path / "test_call.py"
    path.write_text(text)
    runpy.run_path(str(path))["test_call_7"]()
    assert text.startswith('"""Call 7 of 2026-01-01T12:00:00+00:00, as recorded in x.jsonl."""')
    assert "call.when(TextAccepted(1)).then(" in text


def test_the_spec_judges() -> None:
    """The spec of a call fails on a machine that does otherwise."""
    scope: dict[str, Any] = {}
    exec(spec_of(Recorded().whole().log, "x.jsonl"), scope)
    scope["call_machine"] = without_pause()
    with pytest.raises(AssertionError, match="expected state 'inferring', found 'buffering'"):
        scope["test_call_7"]()


def test_a_log_that_differs_becomes_no_spec() -> None:
    """A spec that fails at once would tell nothing new."""
    call = Recorded(machine=without_pause()).say(speech(1.0))
    call.runtime.advance(1.0)
    with pytest.raises(SpecError, match="does not replay"):
        spec_of(call.log, "x.jsonl")
