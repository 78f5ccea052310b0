"""The life of the server: what starts after what, and what ends before what.

Start: database, UDP socket and web port are taken first, so that a mistake fails at once; then the
contexts load and warm up while datagrams already queue; then the calls begin.

Stop: no new calls; every call transcribes and forwards what it heard; the links deliver what waits
and say BYE; the contexts are freed; the calls' logs are written, if there are any; the store writes
its last text and the status, and closes.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event as Signal

from callfsm.call.events import EndReason
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.call.speech import SpeechDetector, WebRtcDetector
from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor
from callfsm.fsm.table import Event
from callfsm.inference.admission import Refusal
from callfsm.runtimes.gevent import GeventRuntime
from service.beat import Beat
from service.discovery import Discovery
from service.engine_choice import EngineChoice
from service.hub_watch import HubWatch
from service.inference import InferenceService
from service.llama import LlamaLink
from service.metrics import Metrics
from service.recording import Recording
from service.registrar import Registrar
from service.session import CallSession, Services
from service.settings import Settings
from service.store.database import ServiceStatus
from service.store.store import Store
from service.switchboard import Switchboard
from service.web import Web

log = logging.getLogger(__name__)

BROKE_OFF = {EndReason.CONNECTION_LOST, EndReason.IDLE}  # though the caller may still be there
LINKS_CLOSE_S = 6.0  # a little more than a link waits for its peer at the end
STORE_CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens, once it does."""

    udp: int
    http: int | None


class Server:
    """Everything, wired. Raises CallfsmError from `start` when it cannot run as set."""

    def __init__(self, settings: Settings, engine: EngineChoice, store: Store) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.store = store
        self.metrics.watch_store(store)
        self._runtime = GeventRuntime()
        self._runtime.dead_letters.observers.append(self._count_dead_letter)
        self._inference = InferenceService(
            engine.make,
            engine.contexts,
            self._runtime,
            self.metrics,
            engine.max_batch,
            failed=self._inference_failed,
            works=self._inference_works,
        )
        self.switchboard = Switchboard(
            self._make_session,
            self._make_link,
            self.metrics,
            self._call_ended,
            max_calls=settings.max_calls,
            refuses_call=self._refuses_call,
            now_s=self._runtime.now_s,
        )
        self._recording = None
        if settings.record is not None:
            self._recording = Recording(
                settings.record,
                audio=settings.record_audio,
                now_s=self._runtime.now_s,
                metrics=self.metrics,
            )
        self._beat, self._hub_watch = Beat(), HubWatch(self.metrics)
        self._services = Services(
            runtime=self._runtime,
            beat=self._beat,
            inference=self._inference,
            store=store,
            link=self.switchboard.link,
            metrics=self.metrics,
            settings=settings.call_settings(),
            make_detector=detector_factory(settings),
            recording=self._recording,
        )
        self._discovery = Discovery(store, self._discovered)
        self._stop = Signal()
        self.fault = ""  # of ours, that ended the server

    def start(self) -> Ports:
        """Serve calls. What was begun is undone when a later step fails."""
        settings = self.settings
        with ExitStack() as undo:
            undo.callback(self._runtime.stop)
            if self._recording is not None:
                undo.callback(self._recording.close)
            registrar = Registrar(
                (settings.host, settings.udp_port),
                settings.audio_base_port,
                self.switchboard.hear,
                self.metrics,
            )
            undo.callback(registrar.stop)
            web = None
            if settings.http_port is not None:
                web = Web((settings.host, settings.http_port), self.switchboard, self.metrics)
                undo.callback(web.stop)
            self.store.set_status("starting")
            self._runtime.start()
            undo.callback(self._inference.stop)
            self._inference.start()
            for each in (self._beat, self._hub_watch):
                each.start()
                undo.callback(each.stop)
            registrar.start()
            self._discovery.start()
            undo.callback(self._discovery.stop)
            self.store.set_status("running")
            undo.pop_all()
        self._registrar, self._web = registrar, web
        return Ports(registrar.port, web.port if web else None)

    def request_stop(self) -> None:
        """Make `run` return; for signal handlers."""
        self._stop.set()

    def run(self) -> None:
        """Wait for `request_stop`, then stop in order."""
        self._stop.wait()
        self.stop()

    def stop(self) -> None:
        """Stop in the order of the module's docstring. Loses nothing that was heard."""
        self._registrar.stop()
        self._discovery.stop()
        self.switchboard.close()
        links = self.switchboard.links
        if not self.switchboard.empty.wait(self.settings.drain_s):
            for call_id in self.switchboard.sessions:
                log.error("call %d: not finished in %.0f s", call_id, self.settings.drain_s)
        unfinished = self.switchboard.sessions
        self._close_links([link for call_id, link in links.items() if call_id not in unfinished])
        self._inference.stop()
        self._inference.stopped.wait(self.settings.drain_s)
        self._close_links([*links.values()])
        if self._web is not None:
            self._web.stop()
        self._hub_watch.stop()
        self._beat.stop()
        self._runtime.stop()
        if self._recording is not None:
            self._recording.close()
        for call_id in unfinished:  # after their last texts, which may have made the row
            self.store.end_call(call_id)
        self.store.flush(STORE_CLOSE_S)
        self._tell_status("error" if self.fault else "stopped")
        self.store.close(STORE_CLOSE_S)

    def _close_links(self, links: Sequence[LlamaLink]) -> None:
        for link in links:
            if not link.closed:
                link.close()
        for link in links:
            link.wait_closed(LINKS_CLOSE_S)

    def _count_dead_letter(self, actor: Actor[Any], _: Event) -> None:
        self.metrics.dead_letters.labels(actor.machine.table.name).inc()

    def _refuses_call(self, calls: int) -> Refusal | None:
        return self._inference.refuses_call(calls) if self.settings.admission == "auto" else None

    def _inference_failed(self) -> None:
        """Without it no call is served: end, so that whoever watches us starts us again."""
        self.fault = "a fault ended the inference actor, and with it the server; the log has it"
        self.request_stop()

    def _inference_works(self, works: bool) -> None:
        gevent.spawn(self._tell_status, "running" if works else "error")

    def _tell_status(self, status: ServiceStatus) -> None:
        try:
            self.store.set_status(status)
        except CallfsmError as error:
            log.error("the service status %r could not be written: %s", status, error)

    def _make_session(self, call_id: int, ended: Callable[[CallSession], None]) -> CallSession:
        address = (self.settings.host, self.settings.audio_base_port + call_id)
        return CallSession(call_id, address, self._services, ended)

    def _make_link(self, call_id: int) -> LlamaLink:
        address = (self.settings.llama_host, self.settings.llama_port)
        return LlamaLink(call_id, address, self._runtime, self.metrics)

    def _discovered(self, call_id: int) -> None:
        has_port = 1 <= call_id <= 65_535 - self.settings.audio_base_port
        if has_port and not self._inference.is_down:
            self.switchboard.discover(call_id)

    def _call_ended(self, session: CallSession) -> None:
        call, link = session.call, self.switchboard.links.get(session.id)
        if link is not None:
            link.call_ended()
        if call.end_reason is EndReason.NEVER_CONNECTED:
            return
        self.store.end_call(session.id)
        if call.bye or call.end_reason is EndReason.END_OF_STREAM:
            self._discovery.call_ended(session.id)
        elif call.end_reason in BROKE_OFF and call.windows.heard_s:
            # Without a sound each time it is tried less and less often, like any row.
            self._discovery.call_broke(session.id)


def detector_factory(settings: Settings) -> Callable[[], SpeechDetector]:
    """What makes a speech detector for each call. Raises ConfigError when it is not installed."""
    if settings.detector == "webrtc":
        return WebRtcDetector
    network = SileroNetwork.installed()
    return lambda: SileroDetector(network)
