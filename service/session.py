"""One call of the server: carry out what its machine asks for, and tell it what comes of it."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.companding import to_pcm16
from callfsm.call.segmenter import Cut
from callfsm.call.settings import CallSettings
from callfsm.call.speech import ForesightedDetector, SpeechDetector
from callfsm.call.table import call_machine
from callfsm.call.windows import Window
from callfsm.fsm.actor import Actor, Runtime
from callfsm.fsm.table import Effect, Event
from callfsm.inference.engine import Transcript
from callfsm.words import as_text
from service.audio import AudioConnection
from service.beat import Beat
from service.inference import InferenceService
from service.llama import LlamaLink
from service.metrics import Metrics
from service.recording import Recording

log = logging.getLogger(__name__)

SHOWN_TEXTS = 50  # that the live view can ask for

# Other notes are told at level INFO. That a peer is not there yet is no news.
LEVELS = {
    "connect_failed": logging.DEBUG,
    "window_lost": logging.WARNING,
    "reading_paused": logging.WARNING,
    "accept_overdue": logging.WARNING,
    "overlap_failed": logging.WARNING,
    "inference_retried": logging.WARNING,
}


class TextStore(Protocol):
    """Where transcriptions are kept."""

    def append(self, call_id: int, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What all calls share."""

    runtime: Runtime
    beat: Beat
    inference: InferenceService
    store: TextStore
    link: Callable[[int], LlamaLink]
    metrics: Metrics
    settings: CallSettings
    make_detector: Callable[[], SpeechDetector]
    recording: Recording | None = None


class CallSession:
    """The call's actor and its sockets. `ended` is called once, when the call is closed."""

    def __init__(
        self,
        call_id: int,
        audio_address: tuple[str, int],
        services: Services,
        ended: Callable[["CallSession"], None],
    ) -> None:
        self.id = call_id
        self.texts: deque[str] = deque(maxlen=SHOWN_TEXTS)
        self.register_again = False  # a REGISTER came for the next call while this one drains
        self.is_admitted = False  # by a REGISTER; else only its row says that there is a call
        self._services = services
        self._ended = ended
        machine, detector = call_machine, services.make_detector()
        self._foresight: ForesightedDetector | None = None
        if services.settings.windows.mode == "stream" and isinstance(detector, ForesightedDetector):
            self._foresight = detector
        if services.recording is not None:
            recorder = services.recording.call(call_id, services.settings, detector)
            machine, detector = recorder.machine, recorder.detector
        self._actor = Actor(
            f"call {call_id}",
            machine,
            Call(call_id, services.settings, detector),
            runtime=services.runtime,
            perform=self._perform,
            crashed=self._crashed,
        )
        self._audio = AudioConnection(
            call_id,
            audio_address,
            self._actor,
            services.inference.load,
            services.metrics,
            beat=services.beat,
            is_quiet=lambda: self.call.is_quiet,
            passed_on=self._passed_on,
        )
        self._actor.start()

    @property
    def call(self) -> Call:
        return self._actor.model

    @property
    def is_over(self) -> bool:
        """Whether the call is closed, or a fault of ours ended it in whatever state it was."""
        return self._actor.stopped

    @property
    def is_ending(self) -> bool:
        """Whether a REGISTER now must mean the next call."""
        return self.call.bye or self.call.draining

    @property
    def is_absent(self) -> bool:
        """Whether nobody answers at the call's port, and nobody is asked there just now."""
        call = self.call
        return call.state == "registered" and not call.connecting and not self._actor.waiting

    def tell(self, event: Event) -> None:
        """An event of the outside world that may be dropped: all of these are repeated."""
        if not self._actor.offer(event):
            log.warning("call %d: mailbox full, %s dropped", self.id, type(event).__name__)

    def shut_down(self) -> None:
        """Listen no more, and finish what was heard."""
        self._audio.stop_reading()
        self._actor.tell(ev.StreamEnded(ev.EndReason.SHUTDOWN))

    def _passed_on(self, samples: NDArray[np.float32]) -> None:
        """Before the call's turn comes, its samples can be heard together with other calls'."""
        if self._foresight is not None:
            self._foresight.expect(to_pcm16(samples).astype("<i2", copy=False).tobytes())

    def _perform(self, effect: Effect) -> None:
        match effect:
            case ask.ConnectAudio():
                self._audio.connect()
            case ask.OpenLink():
                self._services.link(self.id).open()
            case ask.PauseReading():
                self._audio.pause()
            case ask.ResumeReading():
                self._audio.resume()
            case ask.Transcribe(window, thorough):
                self._transcribe(window, thorough=thorough)
            case ask.AbandonInference(number):
                self._services.inference.withdraw(self, number)
            case ask.ForwardText():
                self._forward(effect)
            case ask.Note(what, detail):
                self._note(what, detail)
            case ask.EndCall(reason):
                self._end(reason)
            case _:
                raise TypeError(f"call {self.id}: nobody carries out {effect!r}")

    def _transcribe(self, window: Window, *, thorough: bool) -> None:
        def started() -> None:
            self._actor.tell(ev.InferenceStarted(window.number))

        def reply(transcript: Transcript | None, error: str) -> None:
            if transcript is None:
                self._actor.tell(ev.InferenceFailed(window.number, error))
                return
            self._services.metrics.windows.labels(window.cut.value).inc()
            log.debug(
                "call %d: window %d (%s%s, %.2f to %.2f s): %s",
                self.id,
                window.number,
                "thorough " if thorough else "",
                window.cut.value,
                window.start_s,
                window.end_s,
                as_text(transcript.words),
            )
            done = ev.InferenceDone(window.number, transcript.words, transcript.inference_s)
            self._actor.tell(done)

        self._services.inference.submit(
            self,
            self.id,
            window.number,
            window.audio,
            eager=window.cut is Cut.EAGER,
            reply=reply,
            started=started,
            new_s=window.end_s - window.fresh_s,
            thorough=thorough,
        )

    def _forward(self, effect: ask.ForwardText) -> None:
        """The link and the store each queue the text, whatever the other end of them does."""
        text = effect.text
        self._services.link(self.id).deliver(text)
        self._services.store.append(self.id, text)
        self._audio.echo(text)
        self._services.metrics.words.inc(len(effect.words))
        self.texts.append(text)
        log.info("call %d: %s", self.id, text)
        self._actor.tell(ev.TextAccepted(effect.number))

    def _note(self, what: str, detail: str) -> None:
        self._services.metrics.notes.labels(what).inc()
        level = LEVELS.get(what, logging.INFO)
        log.log(level, "call %d: %s %s", self.id, what.replace("_", " "), detail)

    def _end(self, reason: ev.EndReason) -> None:
        log.info("call %d: closed (%s), %d words", self.id, reason.value, self.call.words)
        self._services.metrics.calls.labels(reason.value).inc()
        self._audio.close()
        self._ended(self)

    def _crashed(self, error: Exception) -> None:
        """A fault of ours ends this call, and no other."""
        log.error("call %d: ended by a fault of ours", self.id, exc_info=error)
        self._services.metrics.calls_crashed.inc()
        self._audio.close()
        self._ended(self)
        if self.call.window is not None:  # last: what goes wrong here must not keep the call open
            self._services.inference.withdraw(self, self.call.window.number)
