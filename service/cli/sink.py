"""`callfsm sink`: a stand-in for the LLaMA service that prints what arrives."""

import json
import signal
from datetime import UTC, datetime
from typing import Annotated

import gevent
import typer
from gevent.event import Event

from service.cli.errors import reported
from service.peers.sink import Message, Sink
from service.wire import LLAMA_PORT


@reported
def sink(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = LLAMA_PORT,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per message, with its UTC time.")
    ] = False,
) -> None:
    """Print the texts of all calls as they arrive, until Ctrl-C."""
    server = Sink(host, port, on_message=_print_json if as_json else _print_line)
    server.start()
    interrupted = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, interrupted.set)
    typer.echo(f"Listening on {host}:{server.port}; Ctrl-C ends.", err=True)
    interrupted.wait()
    server.stop()


def _print_json(message: Message) -> None:
    row = {"time": _now_utc(), "call_id": message.call_id, "text": message.text}
    typer.echo(json.dumps(row, ensure_ascii=False))


def _print_line(message: Message) -> None:
    typer.echo(f"{_now_utc()}  call {message.call_id}  {message.text.strip()}")


def _now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
