"""`callfsm bench`: measure, then claim."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service.cli.errors import reported, require_extra

Model = Annotated[str, typer.Option(help="Model name or ggml file.")]
Engine = Annotated[
    str | None, typer.Option(help="As for `callfsm serve`; without, what that takes by itself.")
]
Voice = Annotated[
    Literal["auto", "synthetic"],
    typer.Option(help="'auto' takes Debian's recorded prompts where they are installed."),
]
Seed = Annotated[int, typer.Option(help="Which calls are made of the speech.")]
PlotDir = Annotated[
    Path | None, typer.Option("--plot", help="Write a picture (PNG) into this directory.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(help="Measure this machine, this model and these settings.")


@app.callback()
def bench() -> None:
    """Measure this machine, this model and these settings."""


@app.command()
@reported
def accuracy(
    *,
    minutes: Annotated[float, typer.Option(min=0.0, help="Of speech; 0 for all of it.")] = 10.0,
    at_once: Annotated[int, typer.Option(min=1, help="Live calls side by side.")] = 2,
    chunks: Annotated[
        bool, typer.Option("--chunks", help="Send speech chunks instead of 20 ms frames.")
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="In simulated time: faster, and no server.")
    ] = False,
    noise: Annotated[
        bool, typer.Option("--noise", help="Also with babble and line noise, 20 and 10 dB below.")
    ] = False,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Also without any pause.")
    ] = False,
    quiet_minutes: Annotated[
        float, typer.Option(min=0.0, help="Also of each sound on a line where nobody speaks.")
    ] = 0.0,
    model: Model = "tiny.en",
    engine: Engine = None,
    voice: Voice = "auto",
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Compare the stream, the field's way and the whole file, by the same weights."""
    with require_extra("bench"):
        from service.bench.accuracy import Plan, measure, minutes_as_s, print_table
        from service.bench.ways import Server
    plan = Plan(
        total_s=minutes_as_s(minutes),
        at_once=at_once,
        chunks=chunks,
        seed=seed,
        synthetic=voice == "synthetic",
        simulated=simulated,
        noise=noise,
        continuous=continuous,
        quiet_s=60 * quiet_minutes,
    )
    result = measure(plan, Server(model, engine))
    _show(result.figures(), as_json, lambda: print_table(result))


@app.command()
@reported
def latency(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of speech, each way.")] = 2.0,
    long_call: Annotated[
        float, typer.Option(min=0.0, help="Minutes of one more call: is it late at its end?")
    ] = 0.0,
    model: Model = "tiny.en",
    engine: Engine = None,
    voice: Voice = "auto",
    seed: Seed = 1,
    plot_dir: PlotDir = None,
    as_json: Json = False,
) -> None:
    """Compare how soon words arrive: the field's way, and ours with chunks and with frames."""
    with require_extra("bench"):
        from service.bench.latency import measure, print_table
        from service.bench.plots import plot_latency
        from service.bench.ways import Server
    result = measure(
        minutes * 60,
        Server(model, engine),
        seed=seed,
        synthetic=voice == "synthetic",
        long_call_minutes=long_call,
    )
    if plot_dir is not None:
        waits_s = {name: run.played.word_latencies_s for name, run in result.runs.items()}
        plot_latency(waits_s, plot_dir)
    _show(result.figures(), as_json, lambda: print_table(result))


@app.command()
@reported
def contention(
    *,
    seconds: Annotated[float, typer.Option(min=4.0, help="Of each number of calls.")] = 8.0,
    model: Model = "tiny.en",
    engine: Engine = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Measure how long 2, 4 and 8 calls wait for one context, and recommend one or a pool."""
    with require_extra("bench"):
        from service.bench.contention import measure, print_table
        from service.bench.ways import Server
    result = measure(seconds, Server(model, engine), seed=seed)
    _show(result.figures(), as_json, lambda: print_table(result))


@app.command()
@reported
def capacity(
    *,
    seconds: Annotated[float, typer.Option(min=5.0, help="Of each call in a probe.")] = 30.0,
    start: Annotated[int, typer.Option("--from", min=1, help="Calls to begin with.")] = 4,
    most: Annotated[int, typer.Option(min=1, help="Calls at most.")] = 128,
    model: Model = "tiny.en",
    engine: Engine = None,
    seed: Seed = 1,
    plot_dir: PlotDir = None,
    as_json: Json = False,
) -> None:
    """Find how many calls at once are borne in real time, by the field's way and by ours."""
    with require_extra("bench"):
        from service.bench.capacity import WORD_P95_S, measure, print_table
        from service.bench.plots import plot_capacity
        from service.bench.ways import Server
    result = measure(seconds, Server(model, engine), start=start, most=most, seed=seed)
    if plot_dir is not None:
        plot_capacity(result.p95_by_calls(), WORD_P95_S, plot_dir)
    _show(result.figures(), as_json, lambda: print_table(result))


@app.command()
@reported
def overload(
    *,
    calls: Annotated[int, typer.Option(min=2, help="At once: twice what `capacity` finds.")] = 96,
    seconds: Annotated[float, typer.Option(min=10.0, help="That all of them speak.")] = 120.0,
    admission: Annotated[
        Literal["auto", "off"], typer.Option(help="As for `callfsm serve`.")
    ] = "auto",
    model: Model = "tiny.en",
    engine: Engine = None,
    seed: Seed = 1,
    plot_dir: PlotDir = None,
    as_json: Json = False,
) -> None:
    """Play more calls than can be borne: how late words become, and how soon that is over."""
    with require_extra("bench"):
        from service.bench.overload import BEFORE_S, measure, print_table
        from service.bench.plots import plot_overload
        from service.bench.ways import Server
    result = measure(calls, seconds, Server(model, engine), seed=seed, admission=admission)
    if plot_dir is not None:
        plot_overload(result.p95_by_time(), (BEFORE_S, result.over_s), plot_dir)
    _show(result.figures(), as_json, lambda: print_table(result))


@app.command()
@reported
def memory(
    *,
    calls: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 500,
    seconds: Annotated[float, typer.Option(min=1.0, help="To watch the server for.")] = 180.0,
    model: Model = "tiny.en",
    engine: Engine = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Measure what a call costs in memory when it has heard 15 s and waits, and what a context."""
    with require_extra("bench"):
        from service.bench.memory import measure, print_table
        from service.bench.ways import Server
    result = measure(calls, seconds, Server(model, engine), seed=seed)
    _show(result.figures(), as_json, lambda: print_table(result))


@app.command()
@reported
def overhead(
    *,
    calls: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 4,
    seconds: Annotated[float, typer.Option(min=5.0, help="Of each call.")] = 30.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of both; the median counts.")] = 5,
    model: Model = "tiny.en",
    engine: Engine = None,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Measure what the service costs in processor time beside the inference itself."""
    with require_extra("bench"):
        from service.bench.overhead import measure, print_table
        from service.bench.ways import Server
    result = measure(calls, seconds, rounds, Server(model, engine), seed=seed)
    _show(result.figures(), as_json, lambda: print_table(result))


def _show(figures: dict[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        show()
