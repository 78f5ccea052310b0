"""`python -m service.bench.standing`: `callfsm serve` with one context that never ends a window.

All that grows then is what calls hold.
"""

from unittest.mock import patch

import typer

from service import serve as server
from service.cli.serve import serve
from service.engine_choice import EngineChoice
from service.engines.fake import ScriptedEngine


def held_engine() -> ScriptedEngine:
    """One that begins with a window, and is never told to go on."""
    engine = ScriptedEngine()
    engine.hold()
    return engine


if __name__ == "__main__":
    with patch.object(server, "choose_engine", lambda *_: EngineChoice("standing", held_engine)):
        typer.run(serve)
