"""What is going on, over HTTP: a page for people, /calls for programs, /metrics for Prometheus."""

import json
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from gevent import GreenletExit, socket
from gevent.pywsgi import WSGIHandler, WSGIServer
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
QUIET_S = 30.0  # then a client is gone; the page asks twice a second

FOREIGN_NAME = (
    b"this server is for its own machine: the Host header must be an IP address, localhost, "
    b"a name that ends in .localhost, or the server's --host\n"
)

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
        bound_to, port = listener.getsockname()
        self.port: int = port
        self._host = address[0].lower()
        self._is_local = ip_address(bound_to).is_loopback
        self._server = WSGIServer(
            listener, self._answer, log=None, spawn=MOST_CONNECTIONS, handler_class=_Handler
        )
        self._server.start()

    def stop(self) -> None:
        self._server.stop(timeout=1)

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if not self._may_ask(environ.get("HTTP_HOST")):
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [FOREIGN_NAME]
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

    def _may_ask(self, host: str | None) -> bool:
        """Whether no page of somebody else's in a browser of this machine asks, by its Host header.

        Such a page can point its own name to our address, and is then let read what callers say.
        It can do so with no address and with no name that always means this machine.
        """
        if host is None or not self._is_local:
            return True
        name = _name_in(host)
        return _is_address(name) or name in ("localhost", self._host) or name.endswith(".localhost")


class _Handler(WSGIHandler):
    """Hangs up without a word when the client says and takes nothing for QUIET_S."""

    def handle(self) -> None:
        self.socket.settimeout(QUIET_S)
        super().handle()

    def read_request(self, raw_requestline: str) -> Any:
        try:
            return super().read_request(raw_requestline)
        except OSError as error:  # the client is gone; gevent would print that
            raise GreenletExit from error

    def handle_error(
        self,
        t: type[BaseException] | None,
        v: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if isinstance(v, TimeoutError):
            self.close_connection = True
        else:
            super().handle_error(t, v, tb)


def _name_in(host: str) -> str:
    """The name or address of a Host header, without the port; "" where there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


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
