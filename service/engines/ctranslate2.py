"""The CTranslate2 engine.

It computes in int8 on a CPU, and the windows of several calls in one batch: two to five times what
whisper.cpp does there. Windows of a batch have features of equal length, and every window is judged
and cut by its own length alone, so its text does not depend on its batch mates.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import EngineError
from callfsm.inference.engine import AudioWindow, Transcript
from callfsm.words import Word
from service.engines.ctranslate2_model import (
    MAX_BATCH,
    NATIVE_EXCEPTIONS,
    Alignment,
    Device,
    Model,
    NativeModel,
    Search,
)
from service.engines.decoding import (
    careful_feature_frames,
    feature_frames,
    is_silent,
    token_cap,
)
from service.engines.gpu import warn_of_gpu
from service.engines.guards import Reading, guarded, mean_probability
from service.engines.log_mel import FRAMES_PER_S, log_mel
from service.engines.reading_on import more_from_s, read_on
from service.engines.tokens import Token, words_of
from service.engines.vocabulary import Vocabulary, read_vocabulary

ALIGNED_S = 0.02  # the encoder's step, in which alignments count
NO_REPEAT_NGRAM = 3  # tokens; in the second pass only, since people do repeat themselves
BEAM_SIZE = 3  # texts that are weighed where there is time; takes a fifth longer

# The probability that nobody speaks. Beyond the first, Whisper's own, the model is believed where
# its words are doubtful, too; beyond the second, whatever they are. Prompts alone reach 0.34,
# without pauses 0.69; noises and tones begin at 0.57.
NO_SPEECH, SURELY_NO_SPEECH = 0.6, 0.85
DOUBTFUL = 0.5  # mean probability of the words

T = TypeVar("T")


class CTranslate2Engine:
    """A `callfsm.inference.engine.Engine` on one CTranslate2 model.

    `threads` compute one batch; an engine per core with one thread each is faster than one with
    more. Where a GPU was asked for that cannot be used, the CPU computes, with a warning. A window
    may last 30 s. `open_model` is for tests.
    """

    max_batch = MAX_BATCH

    def __init__(
        self,
        directory: Path,
        *,
        threads: int = 1,
        device: Device = "cpu",
        device_index: int = 0,
        language: str = "en",
        open_model: Callable[[Path, Device, int, int], Model] = NativeModel,
    ) -> None:
        self.directory = directory
        self._threads = threads
        self._device: Device = device
        self._device_index = device_index
        self._language = language
        self._open_model = open_model
        self._loaded: tuple[Model, Vocabulary, tuple[int, ...]] | None = None
        self._abort_asked = threading.Event()
        self._running = False

    def load(self) -> None:
        """Load the weights and warm up.

        Raises EngineError when the directory is missing, damaged, or no Whisper model, and when the
        model does not know the language.
        """
        self.close()
        if not (self.directory / "model.bin").is_file():
            raise EngineError(f"there is no CTranslate2 model in {self.directory}")
        vocabulary = read_vocabulary(self.directory / "tokenizer.json")
        try:
            self._load_on(self._device, vocabulary)
        except EngineError as error:
            if self._device == "cpu":
                raise
            warn_of_gpu(self._device_index, str(error))
            self._load_on("cpu", vocabulary)

    def _load_on(self, device: Device, vocabulary: Vocabulary) -> None:
        model = self._open_model(self.directory, device, self._device_index, self._threads)
        prompt = vocabulary.prompt(self._language, multilingual=model.multilingual)
        self._loaded = model, vocabulary, prompt
        noise = np.random.default_rng(0).normal(0.0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
        self.transcribe([AudioWindow(noise)])

    def transcribe(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        """One transcript per window; see `Engine`. A batch's time is shared by its windows."""
        self._abort_asked.clear()
        self._running = True
        try:
            transcripts = {
                index: Transcript((), 0.0, ("silence",))
                for index, window in enumerate(windows)
                if is_silent(window.samples)
            }
            loud = [index for index in range(len(windows)) if index not in transcripts]
            for group in self._groups(windows, loud):
                batch = self._transcribe_batch([windows[index] for index in group])
                transcripts |= dict(zip(group, batch, strict=True))
            return [transcripts[index] for index in range(len(windows))]
        except NATIVE_EXCEPTIONS as error:
            raise EngineError(f"CTranslate2 failed to transcribe: {error}") from error
        finally:
            self._running = False

    def abort(self) -> None:
        """Make a running `transcribe` raise EngineError when the step it is at has ended.

        CTranslate2 cannot be stopped inside a step: encoding, generating, or aligning one batch.
        """
        if self._running:
            self._abort_asked.set()

    def close(self) -> None:
        """Free the native memory; `load` brings the engine back."""
        if self._loaded is not None:
            self._loaded[0].unload()
            self._loaded = None

    def _groups(self, windows: Sequence[AudioWindow], loud: Sequence[int]) -> Iterator[list[int]]:
        """The numbers of the windows that go into one batch: their features have equal lengths.

        Beams weigh what a text may still become, so those of a batch end after equal numbers of
        tokens, too.
        """
        alike: dict[tuple[int, int], list[int]] = {}
        for index in loud:
            length_s = windows[index].duration_s
            cap = token_cap(length_s) if windows[index].thorough else 0
            alike.setdefault((feature_frames(length_s), cap), []).append(index)
        for group in alike.values():
            for first in range(0, len(group), self.max_batch):
                yield group[first : first + self.max_batch]

    def _transcribe_batch(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        started_s = time.perf_counter()
        readings = self._read(windows, feature_frames)
        share_s = (time.perf_counter() - started_s) / len(windows)
        return [
            self._judged(window, reading, share_s)
            for window, reading in zip(windows, readings, strict=True)
        ]

    def _judged(self, window: AudioWindow, first: Reading, share_s: float) -> Transcript:
        started_s = time.perf_counter()

        def read_again() -> Reading:
            return self._read([window], careful_feature_frames, NO_REPEAT_NGRAM)[0]

        words, guards = guarded(first, None if window.is_look else read_again)
        return Transcript(words, share_s + time.perf_counter() - started_s, guards)

    def _read(
        self,
        windows: Sequence[AudioWindow],
        frames: Callable[[float], int],
        no_repeat_ngram: int = 0,
    ) -> list[Reading]:
        """The text of `windows` to the end of each; `frames` of features, equal for all of them,
        by the seconds of audio."""

        def read_rest(rest: AudioWindow) -> Reading:
            return self._read([rest], frames, no_repeat_ngram)[0]

        parts = self._read_part(windows, frames(windows[0].duration_s), no_repeat_ngram)
        return [
            read_on(window, part, read_rest) for window, part in zip(windows, parts, strict=True)
        ]

    def _read_part(
        self, windows: Sequence[AudioWindow], frames: int, no_repeat_ngram: int
    ) -> list[Reading]:
        """One pass over `windows`, each with features of `frames`."""
        if self._loaded is None:
            raise EngineError(f"The engine of {self.directory} is not loaded.")
        model, vocabulary, prompt = self._loaded
        caps = [token_cap(window.duration_s) for window in windows]
        features = np.stack([log_mel(window.samples, frames, model.n_mels) for window in windows])
        encoded = self._step(lambda: model.encode(features))
        search = Search(max(caps), no_repeat_ngram, BEAM_SIZE if windows[0].thorough else 1)
        generated = self._step(lambda: model.generate(encoded, prompt, search))
        # Greedy decoding takes no account of what follows: cut here, a text is as if capped there.
        texts = [
            [token for token in one.tokens[:cap] if token < vocabulary.end_of_text]
            if one.no_speech <= SURELY_NO_SPEECH
            else []
            for one, cap in zip(generated, caps, strict=True)
        ]
        heard = [min(frames, int(np.ceil(w.duration_s * FRAMES_PER_S))) for w in windows]
        aligned = self._step(lambda: model.align(encoded, prompt, texts, heard))
        words = [
            words_of(_tokens(text, alignment, vocabulary), window.duration_s)
            for window, text, alignment in zip(windows, texts, aligned, strict=True)
        ]
        return [
            Reading(
                heard_words,
                window.duration_s,
                capped=len(one.tokens) >= cap,
                no_speech=_nobody_speaks(one.no_speech, heard_words),
                more_from_s=more_from_s(one.tokens[:cap], vocabulary.first_timestamp, heard_words),
            )
            for window, one, cap, heard_words in zip(windows, generated, caps, words, strict=True)
        ]

    def _step(self, compute: Callable[[], T]) -> T:
        result = compute()
        if self._abort_asked.is_set():
            raise EngineError("aborted")
        return result


def _nobody_speaks(no_speech: float, words: Sequence[Word]) -> bool:
    doubtful = mean_probability(words) < DOUBTFUL
    return no_speech > SURELY_NO_SPEECH or (no_speech > NO_SPEECH and doubtful)


def _tokens(text: list[int], alignment: Alignment, vocabulary: Vocabulary) -> Iterator[Token]:
    """A token is heard until the next one begins."""
    ends = alignment.begins[1:]
    for number, probability, end in zip(text, alignment.probabilities, ends, strict=True):
        yield Token(vocabulary.text[number], probability, end * ALIGNED_S)
