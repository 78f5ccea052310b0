"""What surrounds a call, the inference actor and a link: every choice that is not theirs.

A caller who speaks, pauses and hangs up at any moment; a model that answers, fails or never
answers; a store that takes a text or says nothing; a language model that refuses, takes and drops.
Effects are carried out as the server does it, without sockets and threads. `act` and `perform`
return mail: (actor, event). All of it is plain data, so that it can be copied and compared.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.segmenter import Cut
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES
from callfsm.call.windows import Window
from callfsm.explore.choices import FAULTS, PIECE_FRAMES, SILENT_FRAMES, WORD_S, Bounds, Choice
from callfsm.fsm.table import Effect, Event
from callfsm.inference import events as inf
from callfsm.inference.engine import AudioWindow, Transcript
from callfsm.link import events as lnk
from callfsm.words import Word

Mail: TypeAlias = tuple[str, Event]
Span: TypeAlias = tuple[float, float]

CALL, INFERENCE, LINK = "call", "inference", "link"
NO_LOAD = 0.0  # of the contexts: a look ahead costs nobody time
LOUD = 0.5  # every sample of speech; silence is 0


class LoudIsSpeech:
    """A SpeechDetector: a frame that begins with a loud sample is speech."""

    def is_speech(self, frame: bytes) -> bool:
        return frame[1] > 0


@dataclass(slots=True)
class Surroundings:
    """The state of everything around the actors. `problems` are breaches of its rules."""

    bounds: Bounds
    pieces: int = 0
    faults: int = 0
    registers: int = 0
    audio: str = ""  # "asked", "open", "over"
    reading: bool = True
    said_bye: bool = False
    said: list[Word] = field(default_factory=list)
    spans: dict[int, Span] = field(default_factory=dict)  # of every window, start and end
    asked: dict[int, int] = field(default_factory=dict)  # how often, by window
    in_flight: set[int] = field(default_factory=set)  # windows that wait for their answer
    looks: set[int] = field(default_factory=set)  # of these windows, those that still grow
    given_up: set[int] = field(default_factory=set)
    running: tuple[inf.Request, ...] = ()
    context: str = ""  # "loading", "running", "hung", "aborted"
    unaccepted: list[int] = field(default_factory=list)
    forwarded: list[ask.ForwardText] = field(default_factory=list)
    ended: bool = False
    connection: str = ""  # "connecting", "open", "dead"
    writing: str = ""
    taken: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)
    told_to_close: bool = False
    told_to_stop: bool = False
    link_closed: bool = False
    problems: list[str] = field(default_factory=list)

    # ------------------------------------------------------------ choices
    def choices(self) -> Iterator[Choice]:
        """What can happen next."""
        yield from self._within_bounds(self._of_the_service())
        yield from self.of_the_language_model()

    def of_the_language_model(self) -> Iterator[Choice]:
        """What the language model can do next, if an answer of it is due."""
        if self.connection == "connecting":
            yield from self._within_bounds((Choice.CONNECT, Choice.REFUSE_LINK))
        elif self.writing:
            yield from self._within_bounds((Choice.TAKE, Choice.DROP))

    def _within_bounds(self, choices: Iterable[Choice]) -> Iterator[Choice]:
        faulty = self.faults < self.bounds.faults
        return (choice for choice in choices if faulty or choice not in FAULTS)

    def _of_the_service(self) -> Iterator[Choice]:
        if not self.ended:
            yield from self._of_the_caller()
        if self.context == "loading":
            yield from (Choice.LOAD, Choice.FAIL_TO_LOAD)
        elif self.context in {"running", "aborted"}:
            yield from (Choice.TRANSCRIBE, Choice.FAIL)
            if self.context == "running":
                yield Choice.HANG
        if self.unaccepted:
            yield from (Choice.ACCEPT, Choice.FORGET)
        if self.connection == "open" and not self.writing:
            yield Choice.DROP
        if self.ended and not self.told_to_close:
            yield Choice.CLOSE_LINK
        if self.link_closed and not self.told_to_stop:
            yield Choice.STOP_INFERENCE

    def _of_the_caller(self) -> Iterator[Choice]:
        if self.registers < self.bounds.registers:
            yield Choice.REGISTER
        if self.audio == "asked":
            yield from (Choice.ANSWER, Choice.REFUSE)
        if self.audio == "open" and self.reading:
            if self.pieces < self.bounds.pieces:
                yield from (Choice.SPEAK, Choice.SPEAK_AND_PAUSE)
                if self.bounds.looks:
                    yield Choice.SPEAK_AND_HUSH
            yield Choice.END_STREAM
        if self.registers and not self.said_bye:
            yield Choice.HANG_UP
        if self.registers and self.audio != "over":
            yield Choice.SHUT_DOWN

    def act(self, choice: Choice) -> Iterator[Mail]:
        """Make one of the `choices`."""
        is_asked_for = choice is Choice.FAIL and self.context == "aborted"
        self.faults += choice in FAULTS and not is_asked_for
        match choice:
            case Choice.SPEAK | Choice.SPEAK_AND_PAUSE | Choice.SPEAK_AND_HUSH:
                yield CALL, self._speak(SILENT_FRAMES[choice])
            case Choice.TRANSCRIBE | Choice.FAIL | Choice.LOAD | Choice.FAIL_TO_LOAD:
                yield INFERENCE, self._context_event(choice)
            case Choice.HANG:
                self.context = "hung"
            case Choice.ACCEPT:
                yield CALL, ev.TextAccepted(self.unaccepted.pop(0))
            case Choice.FORGET:
                del self.unaccepted[0]
            case Choice.STOP_INFERENCE:
                self.told_to_stop = True
                yield INFERENCE, inf.StopRequested()
            case Choice.CONNECT | Choice.REFUSE_LINK | Choice.TAKE | Choice.DROP:
                yield LINK, self._link_event(choice)
            case Choice.CLOSE_LINK:
                self.told_to_close = True
                yield LINK, lnk.Close()
            case _:
                yield CALL, self._call_event(choice)

    def _call_event(self, choice: Choice) -> Event:
        match choice:
            case Choice.REGISTER:
                self.registers += 1
                return ev.Registered()
            case Choice.ANSWER:
                self.audio = "open"
                return ev.AudioConnected()
            case Choice.REFUSE:
                self.audio = ""
                return ev.ConnectFailed()
            case Choice.HANG_UP:
                self.said_bye = True
                return ev.Bye()
        self.audio = "over"
        is_end = choice is Choice.END_STREAM
        return ev.StreamEnded(ev.EndReason.END_OF_STREAM if is_end else ev.EndReason.SHUTDOWN)

    def _speak(self, silent_frames: int) -> Event:
        start_s = self.pieces * PIECE_FRAMES * FRAME_S
        self.pieces += 1
        self.said.append(Word(f"w{self.pieces}", start_s + WORD_S[0], start_s + WORD_S[1]))
        samples = np.full(PIECE_FRAMES * FRAME_SAMPLES, LOUD, np.float32)
        samples[(PIECE_FRAMES - silent_frames) * FRAME_SAMPLES :] = 0
        return ev.AudioReceived(samples, chunk_s=FRAME_S, load=NO_LOAD)

    def _context_event(self, choice: Choice) -> Event:
        requests, self.running, self.context = self.running, (), ""
        match choice:
            case Choice.LOAD:
                return inf.ContextReady(0)
            case Choice.FAIL_TO_LOAD:
                return inf.ContextFailed(0, "no memory")
            case Choice.FAIL:
                return inf.BatchFailed(0, "failed")
        return inf.BatchDone(0, tuple(self._transcript(request.window) for request in requests))

    def _transcript(self, window: int) -> Transcript:
        """The words whose middle lies in the window, in the window's own time."""
        start_s, end_s = self.spans.get(window, (0.0, 0.0))  # of a call that is over: none
        words = [
            Word(w.text, max(start_s, w.start_s) - start_s, min(end_s, w.end_s) - start_s)
            for w in self.said
            if start_s <= w.middle_s < end_s
        ]
        return Transcript(tuple(words), inference_s=0.0)

    def _link_event(self, choice: Choice) -> Event:
        if choice is Choice.CONNECT:
            self.connection = "open"
            return lnk.Connected()
        if choice is Choice.TAKE:
            self.taken.append(self.writing)
            self.writing = ""
            return lnk.Written()
        self.connection, self.writing = "dead", ""
        return lnk.Lost() if choice is Choice.DROP else lnk.ConnectFailed()

    # ------------------------------------------------------------ effects
    def perform(self, effect: Effect) -> Iterator[Mail]:
        """Carry out what an actor asked for, as the server does; timers aside."""
        yield from self._perform_for_call(effect)
        yield from self._perform_for_inference(effect)
        self._perform_for_link(effect)

    def _perform_for_call(self, effect: Effect) -> Iterator[Mail]:
        match effect:
            case ask.ConnectAudio():
                self.audio = "asked"
            case ask.OpenLink():
                yield LINK, lnk.Open()
            case ask.PauseReading() | ask.ResumeReading():
                self.reading = isinstance(effect, ask.ResumeReading)
            case ask.Transcribe(window=window):
                yield INFERENCE, self._submit(window)
            case ask.AbandonInference(window=number):
                if number not in self.looks:  # of a look, no audio is lost
                    self.given_up.add(number)
                if number in self.in_flight:
                    self.in_flight.discard(number)
                    yield INFERENCE, inf.Withdrawn(CALL, number)
            case ask.ForwardText(number=number):
                self.forwarded.append(effect)
                self.unaccepted.append(number)
                yield LINK, lnk.Deliver(effect.text)
            case ask.EndCall():
                yield LINK, lnk.CallEnded()
                self.ended, self.audio = True, "over"

    def _perform_for_inference(self, effect: Effect) -> Iterator[Mail]:
        match effect:
            case inf.LoadContext():
                self.context = "loading"
            case inf.RunBatch(requests=requests):
                self.running, self.context = requests, "running"
                for request in requests:
                    yield CALL, ev.InferenceStarted(request.window)
            case inf.AbortBatch():
                self.context = "aborted"
            case inf.Answer():
                yield from self._answer(effect)

    def forget_call(self) -> None:
        """The call is over: what it said and asked for makes no difference any more."""
        self.said.clear()
        self.spans.clear()
        self.asked.clear()
        self.looks.clear()
        self.given_up.clear()
        self.unaccepted.clear()

    def _submit(self, window: Window) -> Event:
        number = window.number
        for other in self.in_flight:
            if self.spans[other][0] != window.start_s:  # else it has grown, and takes its place
                self.problems.append(f"two windows in flight: {other} and {number}")
        self.in_flight = {number}
        self.spans[number] = (window.start_s, window.end_s)
        self.asked[number] = self.asked.get(number, 0) + 1
        if window.cut.is_look:
            self.looks.add(number)
        if self.asked[number] > 2:
            self.problems.append(f"retry without limit: window {number} is asked for again")
        audio = AudioWindow(window.samples)
        is_look = window.cut is Cut.EAGER
        return inf.Submitted(inf.Request(CALL, 1, number, audio, 0.0, 1.0, eager=is_look))

    def _answer(self, effect: inf.Answer) -> Iterator[Mail]:
        number = effect.request.window
        if number not in self.in_flight:
            return
        self.in_flight.discard(number)
        if effect.transcript is None:
            yield CALL, ev.InferenceFailed(number, effect.error)
        else:
            yield CALL, ev.InferenceDone(number, effect.transcript.words)

    def _perform_for_link(self, effect: Effect) -> None:
        match effect:
            case lnk.Connect():
                if self.connection:
                    self.problems.append("two connections of one link")
                self.connection = "connecting"
            case lnk.Write(text=text):
                if self.connection not in {"open", "dead"} or self.writing:
                    self.problems.append(f"'{text}' is written where it cannot be")
                elif self.connection == "open":  # else its end is in the mail
                    self.writing = text
            case lnk.Disconnect():
                self.connection, self.writing = "", ""
            case lnk.Undelivered(texts=texts):
                self.undelivered += texts
            case lnk.LinkClosed():
                self.link_closed = True
