"""`callfsm serve` as a process, but with the engine of `server_fixture`: for tests of signals.

Arguments: the settings as JSON, and optionally a file that loading an engine waits for.
"""

import json
import sys
import time
from pathlib import Path
from unittest.mock import patch

from server_fixture import PATIENCE_S, NumberEngine, Script

from service import serve
from service.engine_choice import EngineChoice
from service.settings import Settings, load_settings


def main(settings: str, load_waits_for: str | None = None) -> None:
    script = Script()

    def make_engine() -> NumberEngine:
        return NumberEngine(script)

    def make_slow_engine() -> NumberEngine:
        give_up_s = time.monotonic() + PATIENCE_S
        while not Path(load_waits_for or "").exists() and time.monotonic() < give_up_s:
            time.sleep(0.01)
        return make_engine()

    def choose(settings: Settings, _: str) -> EngineChoice:
        make = make_slow_engine if load_waits_for else make_engine
        return EngineChoice("scripted", make, contexts=settings.context_count(0, on_gpu=False))

    with patch.object(serve, "choose_engine", choose):
        serve.serve(load_settings(json.loads(settings)), lambda line: print(line, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
