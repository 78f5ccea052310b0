"""`python -m service.bench.standing`: `callfsm serve` with one context that never ends a window.

All that grows then is what calls hold.
"""

import threading
from collections.abc import Sequence
from unittest.mock import patch

import typer

from callfsm.errors import EngineError
from callfsm.inference.engine import AudioWindow, Transcript
from service import serve as server
from service.cli.serve import serve
from service.engine_choice import EngineChoice


class StandingEngine:
    """A `callfsm.inference.engine.Engine` without a model."""

    max_batch = 1

    def __init__(self) -> None:
        self._aborted = threading.Event()

    def load(self) -> None:
        self._aborted.clear()

    def transcribe(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        self._aborted.wait()
        raise EngineError("aborted")

    def abort(self) -> None:
        self._aborted.set()

    def close(self) -> None:
        self._aborted.set()


if __name__ == "__main__":
    with patch.object(server, "choose_engine", lambda *_: EngineChoice("standing", StandingEngine)):
        typer.run(serve)
