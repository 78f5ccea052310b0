"""The demo: three callers, a server, a stand-in for the language model, and a verdict."""

import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.live import Live

from service.engines.whispercpp import WhisperCppEngine
from service.speech import prompts
from service.speech.corpus import demo_calls
from service.trial.play import Snapshot, Trial
from service.trial.report import live_table, summary, summary_table
from service.weights.resolve import resolve

MODEL = "tiny.en"
WER_LIMIT = 0.20  # pooled; above it something is broken


def run_demo(calls: int, seconds: float, synthetic: bool, json_file: Path | None) -> bool:
    """Run it and show it; whether the text is right and nothing was lost."""
    console = Console()
    human = prompts.available() and not synthetic
    voice = "recorded telephone prompts" if human else "a synthetic voice at telephone bandwidth"
    console.print(f"{calls} calls at once, in real time, spoken by {voice}.")
    engine = WhisperCppEngine(resolve(MODEL))
    engine.load()
    spoken = demo_calls(calls, seconds, synthetic=not human)
    with (
        tempfile.TemporaryDirectory(prefix="callfsm-demo-") as directory,
        Live(console=console, auto_refresh=False, vertical_overflow="visible") as live,
    ):

        def show(snapshot: Snapshot) -> None:
            if console.is_terminal:
                live.update(live_table(snapshot), refresh=True)

        def begun(page: str) -> None:
            console.print(f"While they last, the calls are to be seen at {page}")

        trial = Trial(Path(directory), calls, serve_options=("--model", MODEL))
        played = trial.play(spoken, engine, show, begun)
    console.print(summary_table(played.results))
    problems = played.problems
    wer = played.errors.wer
    console.print(f"pooled word error rate {wer:.1%} (limit {WER_LIMIT:.0%})")
    if wer > WER_LIMIT:
        problems.append(f"the pooled word error rate {wer:.1%} is above {WER_LIMIT:.0%}")
    if json_file is not None:
        report = summary(played) | {"problems": problems}
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    for problem in problems:
        console.print(f"[bold red]{problem}[/]")
    if not problems:
        console.print("Every call is closed; LLaMA and the database have the same text.")
    return not problems
