"""`callfsm diagram`: draw any machine's table, ours or the user's, and notice stale drawings."""

import importlib
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from callfsm.errors import CallfsmError, ConfigError
from callfsm.fsm.diagram import Format, Show, picture_of, render
from callfsm.fsm.diagram.graph import identifier
from callfsm.fsm.diagram.readme import block, with_blocks
from callfsm.fsm.table import Table
from service.cli.errors import reported

OURS = (
    "callfsm.call.table:CALL",
    "callfsm.inference.table:INFERENCE",
    "callfsm.link.table:LINK",
    "callfsm.fsm.supervision:SUPERVISION",
)
EVERY_FORMAT = ",".join(Format)


@reported
def diagram(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:TABLE]", help="A table to draw; without it, all of ours."),
    ] = None,
    *,
    formats: Annotated[
        str, typer.Option("--format", help="Which of svg, mermaid and md, with commas between.")
    ] = EVERY_FORMAT,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("diagrams"),
    readme: Annotated[
        Path, typer.Option(help="File whose '<!-- diagram:NAME -->' parts are kept up to date.")
    ] = Path("README.md"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")
    ] = False,
    guards: Annotated[bool, typer.Option(help="Show the guards of rows.")] = True,
    timeouts: Annotated[bool, typer.Option(help="Show the time-outs of states.")] = True,
    policies: Annotated[
        bool | None,
        typer.Option(
            "--policies/--no-policies",
            help="Show what is ignored, postponed, rejected; by default only in md.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw state machines as SVG, Mermaid and Markdown, from the tables that run them."""
    tables = [_load(each) for each in ([target] if target else OURS)]
    chosen = _formats(formats)
    files = _files(tables, chosen, out, readme, Show(guards, timeouts, policies))
    if not check:
        _write(files)
        return
    stale = [path for path, text in files.items() if _read(path) != text]
    again = shlex.join(["callfsm", *(word for word in sys.argv[1:] if word != "--check")])
    for path in stale:
        typer.echo(f"{path} is out of date; regenerate it with `{again}`", err=True)
    if stale:
        raise typer.Exit(1)


def _files(
    tables: Iterable[Table[Any]], formats: list[Format], out: Path, readme: Path, show: Show
) -> dict[Path, str]:
    """Every file that there should be, with its text."""
    files: dict[Path, str] = {}
    blocks: dict[str, str] = {}
    for table in tables:
        stem = identifier(table.name)
        svg = f"{stem}.svg" if Format.SVG in formats else None
        for each in formats:
            picture = picture_of(table, show, svg)
            files[out / f"{stem}{each.suffix}"] = render(table, each, show, picture)
        folder = Path(os.path.relpath(out, readme.parent)).as_posix()
        page = f"{folder}/{stem}.md" if Format.MARKDOWN in formats else None
        picture = picture_of(table, show, f"{folder}/{svg}" if svg else None)
        blocks[stem] = block(table, picture, page, show)
    if (text := _read(readme)) is not None:
        files[readme] = with_blocks(text, blocks)
    return files


def _load(target: str) -> Table[Any]:
    """The table named MODULE:TABLE; modules in the current folder count."""
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"'{target}' names no table; write MODULE:TABLE, like {OURS[0]}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        loaded = importlib.import_module(module)
    except CallfsmError:
        raise
    except Exception as error:
        raise ConfigError(f"module '{module}' cannot be imported: {error}") from error
    table = getattr(loaded, name, None)
    if table is None:
        raise ConfigError(f"module '{module}' has no '{name}'")
    if not isinstance(table, Table):
        raise ConfigError(f"'{target}' is a {type(table).__name__}, not a Table")
    return table


def _formats(text: str) -> list[Format]:
    try:
        return [Format(name.strip()) for name in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--format '{text}': {error}; known are {EVERY_FORMAT}") from error


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _write(files: dict[Path, str]) -> None:
    """Write what changed, and say which files those are."""
    for path, text in files.items():
        if _read(path) == text:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}") from error
        typer.echo(path)
