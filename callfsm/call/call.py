"""The model behind the call machine: what one call remembers. The rules are in `table`."""

from callfsm.call.events import EndReason
from callfsm.call.merge import Merger
from callfsm.call.settings import CallSettings
from callfsm.call.speech import SpeechDetector
from callfsm.call.windows import Window, WindowBuffer


class Call:
    """One call's memory."""

    __slots__ = (
        "bye",
        "connecting",
        "cost",
        "end_reason",
        "failures",
        "id",
        "load",
        "mean_load",
        "merger",
        "reading_paused",
        "settings",
        "state",
        "texts",
        "window",
        "windows",
        "within_chunk",
        "words",
    )

    def __init__(self, call_id: int, settings: CallSettings, detector: SpeechDetector) -> None:
        self.id = call_id
        self.settings = settings
        self.state = ""
        self.windows = WindowBuffer(settings.windows, detector)
        self.merger = Merger(settings.windows)
        self.connecting = False
        self.bye = False  # hung up; the rest of the audio may still come
        self.end_reason: EndReason | None = None  # the audio is over
        self.reading_paused = False
        self.load = 1.0  # of the inference contexts, when audio last arrived
        self.mean_load = 1.0  # the same, of the last LOAD_MEAN_S of audio or so
        self.cost = 0.0  # seconds of inference that a second of the last window took
        self.within_chunk = False  # more audio is about to come
        self.window: Window | None = None  # taken, and not transcribed yet
        self.failures = 0  # of that window
        self.texts = 0  # forwarded
        self.words = 0  # in them

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is heard to speak; in mode "chunk" nobody listens for that."""
        return self.settings.windows.mode == "stream" and not self.windows.has_speech

    @property
    def draining(self) -> bool:
        """Whether the audio is over and only what is left of it is worked on."""
        return self.end_reason is not None
