"""`callfsm explore`: look for what must not happen, and print the shortest way there as a spec."""

import json
from typing import Annotated

import typer

from callfsm.explore.choices import Bounds
from callfsm.explore.search import Found, search
from callfsm.explore.spec import spec_of
from service.cli.errors import reported


@reported
def explore(
    *,
    pieces: Annotated[int, typer.Option(min=0, help="Of audio, in one run.")] = 2,
    faults: Annotated[int, typer.Option(min=0, help="Of all kinds together, in one run.")] = 1,
    registers: Annotated[int, typer.Option(min=0, help="REGISTERs, in one run.")] = 1,
    races: Annotated[
        int, typer.Option(min=0, help="Times that two things come at once, in one run.")
    ] = 1,
    prompt: Annotated[
        bool, typer.Option(help="The language model answers, or fails, before anything else.")
    ] = True,
    looks: Annotated[bool, typer.Option(help="Look at windows while they grow.")] = False,
    depth: Annotated[
        int | None, typer.Option(min=1, help="How many things happen in one run.")
    ] = None,
    systems: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many; 1 500 take about a second.")
    ] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try everything that can happen to a call, the inference actor and a link; exit 1 on a breach.

    The rules are in docs/exploration.md. A breach is printed as a spec that fails.
    """
    bounds = Bounds(pieces, faults, registers, races, prompt, looks)
    found = search(bounds=bounds, depth=depth, systems=systems)
    spec = spec_of(found.breach) if found.breach is not None else None
    if as_json:
        typer.echo(json.dumps(_figures(found, spec), indent=2))
    else:
        typer.echo(spec if spec is not None else _sentence(found), nl=spec is None)
    if found.breach is not None:
        raise typer.Exit(1)


def _sentence(found: Found) -> str:
    how_far = "nothing is left untried" if found.complete else "the search was cut short"
    return f"no breach in {found.systems} systems, {found.depth} steps deep; {how_far}"


def _figures(found: Found, spec: str | None) -> dict[str, object]:
    return {
        "breach": found.breach.problem if found.breach is not None else None,
        "way": [str(move) for move in found.breach.path] if found.breach is not None else None,
        "spec": spec,
        "systems": found.systems,
        "depth": found.depth,
        "complete": found.complete,
    }
