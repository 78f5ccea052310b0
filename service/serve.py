"""Run the server as a process: the database's wishes, the weights, the signals, the ready line."""

import gc
import logging
import signal
import sys
from collections.abc import Callable

import gevent

from callfsm.errors import CallfsmError, StoreError
from service.allocator import use_one_arena
from service.engine_choice import choose_engine
from service.errors import SwitchedOffError
from service.open_files import allow_open_files
from service.registrar import is_listening
from service.server import Server
from service.settings import Settings
from service.store.store import Store

log = logging.getLogger(__name__)

DEFAULT_MODEL = "tiny.en"
GIL_SWITCH_S = 0.001  # an engine thread that returns from native code gives the hub its turn soon
DISABLED = {"0", "false", "no", "off"}


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; the second of them ends at once.

    Raises CallfsmError, one sentence for the operator, when the server cannot start.
    """
    use_one_arena()
    allow_open_files(settings.max_calls)
    sys.setswitchinterval(GIL_SWITCH_S)
    store = Store(settings.database)
    try:
        if (store.read_config("whisper_service_enabled") or "1").strip().lower() in DISABLED:
            raise SwitchedOffError(
                f"whisper_service_enabled is off in {settings.database}: the service stays down"
            )
        model = settings.model or store.read_config("whisper_model_path") or DEFAULT_MODEL
        engine = choose_engine(settings, model)
        server = Server(settings, engine, store)
        server.metrics.engine.info({"name": engine.name, "model": model})
        _warn_of_http_port(settings)
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, _stop, server)
        ports = server.start()
        gc.collect()
        gc.freeze()  # what is loaded is no garbage: to look through it keeps the hub for 11 ms
    except Exception as error:
        _report_not_started(store, settings, error)
        store.close(timeout_s=1.0)
        raise
    announce(
        f"callfsm ready: UDP {settings.host}:{ports.udp}, "
        f"audio {settings.host}:{settings.audio_base_port}+call, "
        f"LLaMA {settings.llama_host}:{settings.llama_port}, "
        + (f"http {settings.host}:{ports.http}, " if ports.http else "")
        + f"model {model}, engine {engine.name}, contexts {engine.contexts}, "
        f"mode {settings.mode}"
    )
    server.run()
    if server.fault:
        raise CallfsmError(server.fault)


def _warn_of_http_port(settings: Settings) -> None:
    """That call's audio processor cannot have it, and of its row we would call ourselves."""
    call_id = (settings.http_port or 0) - settings.audio_base_port
    if call_id > 0:
        log.warning("HTTP port %d is the audio port of call %d", settings.http_port, call_id)


def _report_not_started(store: Store, settings: Settings, error: Exception) -> None:
    """Tell the other programs, unless a server on our port is telling them how it is."""
    if is_listening((settings.host, settings.udp_port)):
        return
    try:
        store.set_status("stopped" if isinstance(error, SwitchedOffError) else "error")
    except StoreError as trouble:
        log.error("the service status could not be written: %s", trouble)


def _stop(server: Server) -> None:
    log.info("stopping: calls finish what they heard")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    server.request_stop()
