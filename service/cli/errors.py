"""How a command ends when it cannot do what was asked: one sentence on stderr, exit code 2."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

from callfsm.errors import CallfsmError, ConfigError

P = ParamSpec("P")
R = TypeVar("R")


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command: errors raised on purpose are told, not traced."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except CallfsmError as error:
            typer.echo(f"callfsm: {error}", err=True)
            raise typer.Exit(2) from error

    return run


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Around the imports of what only an extra installs, so that `serve` runs without it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this command needs {error.name}: pip install 'callfsm[{extra}]'"
        ) from error
