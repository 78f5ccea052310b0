"""`callfsm bench`: measure, then claim."""

import json
from pathlib import Path
from typing import Annotated

import typer

from service.cli.errors import reported, require_extra

app = typer.Typer(help="Measure this machine, this model and these settings.")


@app.callback()
def bench() -> None:
    """Measure this machine, this model and these settings."""


@app.command()
@reported
def accuracy(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of speech, in all.")] = 10.0,
    at_once: Annotated[int, typer.Option(min=1, help="Calls side by side.")] = 2,
    model: Annotated[str, typer.Option(help="Model name or ggml file.")] = "tiny.en",
    chunks: Annotated[
        bool, typer.Option("--chunks", help="Send speech chunks instead of 20 ms frames.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Which calls are made of the prompts.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare live transcription with whole-file transcription by the same model.

    Uses Debian's recorded telephone prompts where they are installed, else the synthetic voice.
    """
    with require_extra("demo"):
        from service.bench.accuracy import measure, print_table
    result = measure(
        minutes * 60,
        at_once=at_once,
        model=model,
        style="chunks" if chunks else "frames",
        seed=seed,
    )
    if as_json:
        print(json.dumps(result.figures(), indent=2))
    else:
        print_table(result)


@app.command()
@reported
def latency(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of speech, each way.")] = 2.0,
    model: Annotated[str, typer.Option(help="Model name or ggml file.")] = "tiny.en",
    seed: Annotated[int, typer.Option(help="Which calls are made of the prompts.")] = 1,
    plot_dir: Annotated[
        Path | None, typer.Option("--plot", help="Write latency.png into this directory.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare how soon words arrive: the field's way, and ours with chunks and with frames."""
    with require_extra("bench"):
        from service.bench.latency import measure, plot, print_table
    result = measure(minutes * 60, model=model, seed=seed)
    if plot_dir is not None:
        plot(result, plot_dir)
    if as_json:
        print(json.dumps(result.figures(), indent=2))
    else:
        print_table(result)
