"""`callfsm replay`: run the machine on a recorded call, or turn the recording into a spec."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from callfsm.errors import ConfigError
from callfsm.record.log import Log, read_log
from callfsm.record.replay import Difference
from callfsm.record.replay import replay as run
from callfsm.record.spec import spec_of
from service.cli.errors import reported


@reported
def replay(
    path: Annotated[Path, typer.Argument(metavar="LOG", help="A file that `--record` wrote.")],
    *,
    spec: Annotated[
        Path | None, typer.Option(help="Write the call as a pytest file, when it replays.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the call machine on a recorded call; exit 1 at the first turn that is not as it was."""
    log = _read(path)
    difference = run(log)
    if as_json:
        typer.echo(json.dumps(_figures(log, difference), indent=2))
    else:
        typer.echo(_sentence(log, difference))
    if difference is not None:
        raise typer.Exit(1)
    if spec is not None:
        text = spec_of(log, path.name)
        try:
            spec.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{spec} cannot be written: {error.strerror}") from error


def _read(path: Path) -> Log:
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            return read_log(file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no log: {error}") from error


def _sentence(log: Log, difference: Difference | None) -> str:
    if difference is not None:
        return f"call {log.header.call} differs at {difference}"
    whole = "" if log.is_whole else "; the log ends before the call does"
    return f"call {log.header.call}: identical, {len(log.turns)} turns{whole}"


def _figures(log: Log, difference: Difference | None) -> dict[str, Any]:
    return {
        "call": log.header.call,
        "identical": difference is None,
        "turns": len(log.turns),
        "whole": log.is_whole,
        "difference": asdict(difference) if difference is not None else None,
    }
