"""`callfsm demo`."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from service.cli.errors import reported
from service.engines.whispercpp import WhisperCppEngine
from service.speech import prompts
from service.speech.corpus import demo_calls
from service.trial.play import Snapshot, Trial, pooled
from service.trial.report import live_table, summary, summary_table
from service.weights.resolve import resolve

MODEL = "tiny.en"
WER_LIMIT = 0.20  # the demo's promise, pooled


@reported
def demo(
    *,
    calls: Annotated[int, typer.Option(min=1, max=16, help="Calls at once.")] = 3,
    seconds: Annotated[float, typer.Option(min=3, help="Length of a call, at least.")] = 25.0,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Use the synthetic voice, prompts or not.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file.")
    ] = None,
) -> None:
    """Start a server and a LLaMA stand-in, play calls of real speech, and show what arrives.

    Exits with 1 when the pooled word error rate is above 20 %, or anything was lost.
    """
    console = Console()
    human = prompts.available() and not synthetic
    voice = "recorded telephone prompts" if human else "a synthetic voice at telephone bandwidth"
    console.print(f"{calls} calls at once, in real time, spoken by {voice}.")
    engine = WhisperCppEngine(resolve(MODEL))
    engine.load()
    spoken = demo_calls(calls, seconds, synthetic=True if synthetic else None)
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-demo-") as directory,
        Live(console=console, auto_refresh=False, vertical_overflow="visible") as live,
    ):

        def show(snapshot: Snapshot) -> None:
            if console.is_terminal:
                live.update(live_table(snapshot), refresh=True)

        trial = Trial(Path(directory), calls, serve_options=("--model", MODEL))
        results = trial.play(spoken, engine, show)
        if not console.is_terminal:
            live.update("")
    console.print(summary_table(results))
    problems = [problem for result in results for problem in result.problems]
    wer = pooled(results).wer
    console.print(f"pooled word error rate {wer:.1%} (limit {WER_LIMIT:.0%})")
    if wer > WER_LIMIT:
        problems.append(f"the pooled word error rate {wer:.1%} is above {WER_LIMIT:.0%}")
    if json_file is not None:
        json_file.write_text(json.dumps(summary(results, problems), indent=2) + "\n")
    for problem in problems:
        console.print(f"[bold red]{problem}[/]")
    if problems:
        raise typer.Exit(1)
    console.print("Every call is closed; LLaMA and the database have the same text.")
