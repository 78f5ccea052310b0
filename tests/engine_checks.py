"""What is checked of every engine in the same way."""

import threading
from collections.abc import Sequence

from callfsm.errors import EngineError
from callfsm.inference.engine import AudioWindow, Engine


def errors_when_aborted(engine: Engine, windows: Sequence[AudioWindow]) -> list[str]:
    """What `transcribe` raised in a native thread, while `abort` was called until it ended."""
    outcome: list[str] = []

    def infer() -> None:
        try:
            engine.transcribe(windows)
        except EngineError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=infer)
    thread.start()
    while thread.is_alive():
        engine.abort()
        thread.join(0.01)
    return outcome
