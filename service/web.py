"""What is going on, over HTTP: a page for people, /calls for programs, /metrics for Prometheus."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from gevent import socket
from gevent.pywsgi import WSGIServer
from prometheus_client import make_wsgi_app

from callfsm.errors import ConfigError
from callfsm.words import as_text
from service.metrics import Metrics
from service.page import page_files
from service.session import CallSession
from service.switchboard import Switchboard

# What callers say stands on the page: nothing but our own files may run or be asked there.
OURS_ONLY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"

MOST_CONNECTIONS = 32  # at once, the next ones wait: files that are open are files no call can have

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Web:
    """A small WSGI server on the hub. Raises ConfigError when the address cannot be bound."""

    def __init__(
        self, address: tuple[str, int], switchboard: Switchboard, metrics: Metrics
    ) -> None:
        self._switchboard = switchboard
        self._metrics_app = make_wsgi_app(metrics.registry)
        self._files = page_files()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"cannot listen on TCP {address[0]}:{address[1]}: {error.strerror}"
            ) from error
        self.port: int = listener.getsockname()[1]
        self._server = WSGIServer(listener, self._answer, log=None, spawn=MOST_CONNECTIONS)
        self._server.start()

    def stop(self) -> None:
        self._server.stop(timeout=1)

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                answer: Iterable[bytes] = self._metrics_app(environ, start)
                return answer
            case "/calls":
                switchboard = self._switchboard
                sessions = [*switchboard.recent, *switchboard.sessions.values()]
                latest = {session.id: session for session in sessions}
                text = json.dumps([_call(latest[call_id]) for call_id in sorted(latest)])
                start("200 OK", [("Content-Type", "application/json")])
                return [text.encode()]
            case path if path in self._files:
                kind, body = self._files[path]
                start("200 OK", [("Content-Type", kind), ("Content-Security-Policy", OURS_ONLY)])
                return [body]
            case _:
                start("404 Not Found", [("Content-Type", "text/plain")])
                return [b"here are /, /metrics and /calls\n"]


def _call(session: CallSession) -> dict[str, Any]:
    """One call as /calls shows it: `tentative` words may still change and go to nobody else."""
    call = session.call
    return {
        "call_id": session.id,
        "state": "closed" if session.is_over else call.state,
        "heard_s": round(call.windows.heard_s, 2),
        "buffered_s": round(call.windows.buffered_s, 2),
        "words": call.words,
        "text": " ".join(session.texts),
        "tentative": "" if session.is_over else as_text(call.merger.held),
    }
