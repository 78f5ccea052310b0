"""`callfsm call`: play audio files as calls over the real protocol, all at once."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import gevent
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from callfsm.audio import SAMPLE_RATE_HZ
from service import wire
from service.cli.errors import reported
from service.peers.caller import Caller, CallerSettings, CallFailedError, CallReport
from service.speech.audio_file import read_audio


class Style(StrEnum):
    frames = "frames"
    chunks = "chunks"


@reported
def call(
    files: Annotated[list[Path], typer.Argument(help="Audio files, any rate and format.")],
    *,
    calls: Annotated[
        int | None, typer.Option(min=1, help="How many calls; files are reused in turn.")
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime/--fast", help="Speak in real time, or send at once.")
    ] = True,
    style: Annotated[
        Style, typer.Option(help="Send everything in 20 ms frames, or only chunks of speech.")
    ] = Style.frames,
    first_id: Annotated[int, typer.Option(min=1, help="Call id of the first call.")] = 1,
    host: Annotated[str, typer.Option(help="Where the server is.")] = "127.0.0.1",
    udp_port: Annotated[int, typer.Option(help="Its registration port.")] = wire.REGISTRATION_PORT,
    audio_base_port: Annotated[
        int, typer.Option(help="Call n offers its audio on this port + n.")
    ] = wire.AUDIO_BASE_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Play audio files as calls, as the inbound audio processor does, and show what came back."""
    settings = CallerSettings(
        host=host,
        registration_port=udp_port,
        audio_base_port=audio_base_port,
        style=style.value,
        realtime=realtime,
    )
    recordings = [(path, read_audio(path)) for path in files]
    played = list(itertools.islice(itertools.cycle(recordings), calls or len(files)))
    paths = [path for path, _ in played]
    reports, failures = _play([samples for _, samples in played], first_id, settings)
    if as_json:
        rows = [{"file": str(path), **asdict(r)} for path, r in zip(paths, reports, strict=True)]
        typer.echo(json.dumps(rows, indent=2))
    else:
        Console().print(_table(paths, reports))
    for failure in failures:
        typer.echo(failure, err=True)
    if failures:
        raise typer.Exit(2)


def _play(
    audio: Sequence[wire.Samples], first_id: int, settings: CallerSettings
) -> tuple[list[CallReport], list[str]]:
    """Make all calls at once: their reports in order, and a sentence for each that failed."""
    failures: list[str] = []
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f} of {task.total:.1f} s"),
        console=console,
        disable=not console.is_terminal,
    )

    def run(call_id: int, samples: wire.Samples) -> CallReport:
        bar = bars.add_task(f"call {call_id}", total=len(samples) / SAMPLE_RATE_HZ)

        def show(seconds: float) -> None:
            bars.update(bar, completed=seconds)

        try:
            return Caller(call_id, samples, settings, on_progress=show).run()
        except CallFailedError as error:
            failures.append(str(error))
            return error.report

    with bars:
        greenlets = [gevent.spawn(run, first_id + n, samples) for n, samples in enumerate(audio)]
        gevent.joinall(greenlets, raise_error=True)
    return [greenlet.get() for greenlet in greenlets], failures


def _table(paths: Sequence[Path], reports: Sequence[CallReport]) -> Table:
    table = Table("call", "file", "connected after", "sent", "texts", box=None, pad_edge=False)
    for path, report in zip(paths, reports, strict=True):
        after_s = report.connected_after_s
        table.add_row(
            str(report.call_id),
            escape(path.name),
            "never" if after_s is None else f"{after_s:.2f} s",
            f"{report.seconds_sent:.1f} s",
            escape(" ".join(text.text.strip() for text in report.texts)),
        )
    return table
