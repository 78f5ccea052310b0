"""`callfsm demo`."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.errors import reported, require_extra


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
    with require_extra("demo"):
        from service.trial.demo import run_demo
    if not run_demo(calls, seconds, synthetic, json_file):
        raise typer.Exit(1)
