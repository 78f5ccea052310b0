"""More calls than the contexts can serve, in simulated time: the real machines, a model of fixed
cost, and callers whose every word is known."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.settings import CallSettings
from callfsm.call.table import call_machine
from callfsm.call.windows import Window
from callfsm.fsm.actor import Actor
from callfsm.fsm.table import Effect
from callfsm.inference import events as inf
from callfsm.inference.admission import Admission
from callfsm.inference.engine import Transcript
from callfsm.inference.load import LoadMeter
from callfsm.inference.pool import Pool
from callfsm.inference.table import inference_machine
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.words import Word
from specs.audio import LoudIsSpeech, silence, speech

WINDOW_COST_S, SECOND_COST_S = 0.05, 0.1  # of a window, and of each second in it
PIECE_S = 0.1
WORD_S, WORDS, PAUSE_S = 0.4, 9, 0.8  # a phrase of nine words, then a pause
PHRASE_S = WORD_S * WORDS + PAUSE_S
CAPACITY = 4  # calls: 10 s windows of 1.05 s, one for each phrase of 4.4 s


@dataclass
class Caller:
    """Talks without end. What the server does not read yet waits here, as in a socket."""

    actor: Actor[Call]
    begins_s: float
    pieces: int = 0  # spoken
    unread: list[float] = field(default_factory=list)  # when each was spoken
    reading: bool = True
    hung_up: bool = False
    windows: dict[int, Window] = field(default_factory=dict)
    forwarded: list[tuple[Word, float]] = field(default_factory=list)  # and how late
    lost: list[ask.Note] = field(default_factory=list)
    most_buffered_s: float = 0.0

    def words(self) -> Iterator[Word]:
        """What was said so far, in the call's time."""
        for n in range(int(self.pieces * PIECE_S / PHRASE_S) + 1):
            for k in range(WORDS):
                start_s = n * PHRASE_S + k * WORD_S
                if start_s + WORD_S <= self.pieces * PIECE_S + 1e-6:
                    yield Word(f"w{n}-{k}", start_s, start_s + WORD_S)

    def spoken_in(self, number: int) -> tuple[Word, ...]:
        """The words in the middle of which a window hears something, in the window's time."""
        window = self.windows[number]
        length_s = window.end_s - window.start_s
        found = (
            Word(w.text, w.start_s - window.start_s, w.end_s - window.start_s)
            for w in self.words()
            if window.start_s <= w.middle_s < window.end_s
        )
        return tuple(Word(w.text, max(0.0, w.start_s), min(length_s, w.end_s)) for w in found)


class Exchange:
    """So many callers, one context."""

    def __init__(
        self, window_cost_s: float = WINDOW_COST_S, second_cost_s: float = SECOND_COST_S
    ) -> None:
        self.costs_s = window_cost_s, second_cost_s
        self.admission = Admission(1)
        self.runtime = SimulatedRuntime()
        self.meter = LoadMeter()
        self.pool = Pool(1)
        self.callers: list[Caller] = []
        self.most_waiting = 0
        self.inference: Actor[Pool] = Actor(
            "inference",
            inference_machine,
            self.pool,
            runtime=self.runtime,
            perform=self._infer,
            crashed=_raise,
        )
        self.inference.start()
        self.runtime.settle()

    def connect(self) -> Caller:
        number = len(self.callers)
        actor: Actor[Call] = Actor(
            number,
            call_machine,
            Call(number, CallSettings(), LoudIsSpeech()),
            runtime=self.runtime,
            perform=lambda effect: self._serve(caller, effect),
            crashed=_raise,
        )
        caller = Caller(actor, self.runtime.now_s())
        self.callers.append(caller)
        actor.start()
        actor.tell(ev.Registered())
        self.runtime.settle()
        return caller

    def lets_in(self) -> bool:
        """Whether another caller may connect now."""
        now_s, since_s = self.runtime.now_s(), self.pool.waiting_since_s
        if since_s is not None:
            self.admission.waited(now_s, now_s - since_s)
        return self.admission.refuses(now_s, self._load(), len(self.callers)) is None

    def talk(self, seconds: float) -> None:
        """Everybody who has not hung up talks for so long."""
        for _ in range(round(seconds / PIECE_S)):
            for caller in self.callers:
                if not caller.hung_up:
                    caller.unread.append(caller.pieces * PIECE_S)
                    caller.pieces += 1
                self._read(caller)
            self.runtime.advance(PIECE_S)
            self.most_waiting = max(self.most_waiting, self.pool.waiting)

    def hang_up(self, caller: Caller) -> None:
        caller.hung_up = True
        caller.actor.tell(ev.Bye())

    def finish(self) -> None:
        """Everybody hangs up, and the server takes the time it needs."""
        for caller in self.callers:
            if not caller.hung_up:
                self.hang_up(caller)
        for _ in range(3000):
            self.talk(PIECE_S)
            if all(caller.actor.model.state == "closed" for caller in self.callers):
                return

    def _read(self, caller: Caller) -> None:
        while caller.unread and caller.reading:
            at_s = caller.unread.pop(0)
            is_loud = at_s % PHRASE_S < WORD_S * WORDS - 1e-6
            samples = speech(PIECE_S) if is_loud else silence(PIECE_S)
            caller.actor.tell(ev.AudioReceived(samples, PIECE_S, self._load()))
            self.runtime.settle()
        buffered_s = caller.actor.model.windows.buffered_s
        caller.most_buffered_s = max(caller.most_buffered_s, buffered_s)
        if caller.hung_up and not caller.unread:
            caller.actor.tell(ev.StreamEnded(ev.EndReason.END_OF_STREAM))

    def _load(self) -> float:
        return 1.0 if self.pool.waiting else self.meter.load(self.runtime.now_s())

    def _serve(self, caller: Caller, effect: Effect) -> None:
        match effect:
            case ask.ConnectAudio():
                caller.actor.tell(ev.AudioConnected())
            case ask.PauseReading() | ask.ResumeReading():
                caller.reading = isinstance(effect, ask.ResumeReading)
            case ask.Transcribe(window):
                caller.windows[window.number] = window
                now_s = self.runtime.now_s()
                request = inf.Request(
                    owner=self.callers.index(caller),
                    call_id=0,
                    window=window.number,
                    audio=window.audio,
                    submitted_s=now_s,
                    deadline_s=now_s + 1.0,
                    eager=window.cut.value == "eager",
                )
                self.inference.tell(inf.Submitted(request))
            case ask.ForwardText(number, words):
                late_s = self.runtime.now_s() - caller.begins_s
                caller.forwarded += ((word, late_s - word.end_s) for word in words)
                caller.actor.tell(ev.TextAccepted(number))
            case ask.Note(what) if what in {"window_lost", "overlap_failed"}:
                caller.lost.append(effect)

    def _infer(self, effect: Effect) -> None:
        self.meter.update(self.runtime.now_s(), self.pool.busy)
        match effect:
            case inf.LoadContext(context):
                self.inference.tell(inf.ContextReady(context))
            case inf.RunBatch(context, requests):
                [request] = requests
                caller = self.callers[request.owner]
                caller.actor.tell(ev.InferenceStarted(request.window))
                if not request.eager:
                    now_s = self.runtime.now_s()
                    self.admission.waited(now_s, now_s - request.submitted_s)
                window_cost_s, second_cost_s = self.costs_s
                cost_s = window_cost_s + second_cost_s * request.audio.duration_s
                done = inf.BatchDone(
                    context, (Transcript(caller.spoken_in(request.window), cost_s),)
                )
                self.runtime.set_timer(self.inference, "run", cost_s, done)
            case inf.Answer(request, transcript) if transcript is not None:
                done = ev.InferenceDone(request.window, transcript.words)
                self.callers[request.owner].actor.tell(done)


def _raise(error: Exception) -> None:
    raise error


def late_s(caller: Caller, from_s: float, to_s: float) -> float:
    """The 95th percentile of how late the words are that were said from then to then."""
    late = [late for word, late in caller.forwarded if from_s <= word.end_s < to_s]
    return float(np.percentile(late, 95))


@pytest.fixture(scope="module")
def normal_late_s() -> float:
    """Half of the capacity: nobody waits."""
    exchange = Exchange()
    callers = [exchange.connect() for _ in range(CAPACITY // 2)]
    exchange.talk(60)
    exchange.finish()
    return max(late_s(caller, 10, 55) for caller in callers)


def test_twice_the_capacity_for_two_minutes(normal_late_s: float) -> None:
    """No word is lost, every call ends closed, lateness is bounded, and ten seconds after the load
    has fallen it is what it always was."""
    exchange = Exchange()
    callers = [exchange.connect() for _ in range(2 * CAPACITY)]
    exchange.talk(120)
    stay, leave = callers[:2], callers[2:]
    for caller in leave:
        exchange.hang_up(caller)
    exchange.talk(40)
    exchange.finish()
    assert exchange.most_waiting <= len(callers)
    for caller in callers:
        assert caller.actor.model.state == "closed"
        assert [word.text for word, _ in caller.forwarded] == [w.text for w in caller.words()]
        assert not caller.lost
    first, second = (max(late_s(c, *at_s) for c in callers) for at_s in ((30, 60), (90, 120)))
    assert second <= first + 3
    assert second <= 25
    assert max(late_s(caller, 130, 155) for caller in stay) <= normal_late_s + 0.5
    print(f"late p95: normal {normal_late_s:.1f} s, overload {first:.1f} then {second:.1f} s")


def test_more_than_longer_windows_can_save() -> None:
    """At six times the capacity the senders wait; what a call holds is bounded, and no word is
    lost even then."""
    exchange = Exchange()
    callers = [exchange.connect() for _ in range(6 * CAPACITY)]
    exchange.talk(120)
    assert any(not caller.reading for caller in callers)
    assert max(caller.most_buffered_s for caller in callers) <= 10.0 + PIECE_S
    assert exchange.most_waiting <= len(callers)
    exchange.finish()
    for caller in callers:
        assert caller.actor.model.state == "closed"
        assert [word.text for word, _ in caller.forwarded] == [w.text for w in caller.words()]
        assert not caller.lost


def test_a_crowd_comes_in_as_far_as_it_can_be_borne() -> None:
    """Sixty more dial where thirty-five calls are borne in all, and go on trying: who is in stays
    in time, no word is lost, and ten seconds after they left all is as it was."""
    exchange = Exchange(window_cost_s=0.03, second_cost_s=0.025)
    stay = []
    for _ in range(12):
        stay.append(exchange.connect())
        exchange.talk(0.4)
    exchange.talk(15)
    outside, leave = 60, []
    for _ in range(60):
        while outside and exchange.lets_in():
            leave.append(exchange.connect())
            outside -= 1
        exchange.talk(1.0)
    for caller in leave:
        exchange.hang_up(caller)
    exchange.talk(30)
    exchange.finish()
    for caller in exchange.callers:
        assert caller.actor.model.state == "closed"
        assert [word.text for word, _ in caller.forwarded] == [w.text for w in caller.words()]
    before, during, after = (
        max(late_s(caller, *at_s) for caller in stay) for at_s in ((5, 15), (20, 80), (91, 105))
    )
    print(f"{len(exchange.callers)} calls, late p95: {before:.1f}, {during:.1f}, {after:.1f} s")
    assert 25 <= len(exchange.callers) <= 40
    assert during <= before + 2.5
    assert after <= before + 0.5
