"""An engine that says what it is told to: for specs, fault tests and demos without weights."""

import threading
from collections import deque
from collections.abc import Iterable, Sequence

from callfsm.errors import EngineError
from callfsm.inference.engine import AudioWindow, Transcript
from callfsm.words import Word

Step = str | Transcript | EngineError


class ScriptedEngine:
    """An `Engine` that takes one step of `script` per window: a text, a transcript, or an error.

    The words of a text share the window's time equally. After the last step every window is
    silent. An error ends the batch it comes up in. `load_error` makes `load` fail.
    """

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        max_batch: int = 1,
        load_error: EngineError | None = None,
    ) -> None:
        self.max_batch = max_batch
        self.load_error = load_error
        self.heard: list[AudioWindow] = []  # every window that came, in order
        self.loaded = False
        self._script = deque(script)
        self._changed = threading.Condition()
        self._holding = False
        self._running = False
        self._aborted = False

    def load(self) -> None:
        """Raises `load_error` if there is one."""
        if self.load_error is not None:
            raise self.load_error
        self.loaded = True

    def transcribe(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        """The next steps of the script. Raises EngineError where it says so, and after `abort`."""
        with self._changed:
            self.heard += windows
            self._running, self._aborted = True, False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._aborted or not self._holding)
            self._running = False
            if self._aborted:
                raise EngineError("aborted")
            return [self._next(window) for window in windows]

    def abort(self) -> None:
        """Make a `transcribe` that is held raise EngineError."""
        with self._changed:
            self._aborted = self._running
            self._changed.notify_all()

    def close(self) -> None:
        self.loaded = False

    def hold(self) -> None:
        """From now on `transcribe` waits until `release` or `abort`."""
        with self._changed:
            self._holding = True

    def release(self) -> None:
        """Let whatever waits go on."""
        with self._changed:
            self._holding = False
            self._changed.notify_all()

    def wait_until_running(self, timeout_s: float = 5.0) -> bool:
        """Block until a `transcribe` is held; False if none came in `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running, timeout_s)

    def _next(self, window: AudioWindow) -> Transcript:
        step = self._script.popleft() if self._script else ""
        if isinstance(step, EngineError):
            raise step
        return step if isinstance(step, Transcript) else Transcript(spread(step, window), 0.0)


def spread(text: str, window: AudioWindow) -> tuple[Word, ...]:
    """The words of `text`, each as long as the others, over the whole window."""
    texts = text.split()
    length_s = window.duration_s / max(1, len(texts))
    return tuple(Word(t, i * length_s, (i + 1) * length_s) for i, t in enumerate(texts))
