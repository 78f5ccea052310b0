"""The whisper.cpp engine, and the only file that touches pywhispercpp.

It calls the package's low-level functions, not its `Model` class: that one silences the native log
by swapping the whole process's stderr (two workers that load at once lose it for good), discards
the status of an inference, and carries parameters over from one transcription to the next. Here
every pass gets parameters of its own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import _pywhispercpp as native
import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import EngineError
from callfsm.inference.engine import AudioWindow, Transcript
from service.engines import native_log
from service.engines.context import Context, ContextOptions, Decoded
from service.engines.decoding import (
    Decoding,
    baseline_pass,
    first_pass,
    is_silent,
    padded,
    second_pass,
)
from service.engines.ggml_model import alignment_heads, read_hyper_parameters
from service.engines.gpu import warn_of_gpu
from service.engines.guards import Reading, guarded
from service.engines.reading_on import more_from_s, read_on
from service.engines.tokens import Token, words_of
from service.weights.errors import WeightsError
from service.weights.ggml_check import check_ggml

NATIVE_EXCEPTIONS = (RuntimeError, LookupError, ValueError, MemoryError)  # pybind11's, from C++
CENTISECOND_S = 0.01  # the library's unit of time
LONGEST_S = 30  # that it hears at once


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """Whether to compute on a GPU: "auto" takes one where there is one, "on" warns if not.

    `flash_attention` None means yes on a GPU, no on a CPU. It excludes DTW word times.
    """

    use: Literal["auto", "on", "off"] = "auto"
    device: int = 0
    flash_attention: bool | None = None


class Pass(Protocol):
    """How to decode a window of so many seconds."""

    def __call__(self, duration_s: float, *, flash: bool) -> Decoding: ...


class NativeContext:
    """One whisper.cpp context: the weights and the state that one inference at a time changes.

    The library ends the whole process when it is to align less than 0.16 s (an assertion in its
    `median_filter`), which a pass of several segments may leave at the end of a window. So one with
    alignment heads decodes one segment at a time; the engine sees to it that it lasts a second.
    """

    def __init__(self, path: Path, options: ContextOptions) -> None:
        """Load `path`. Raises EngineError with what the library said when it cannot."""
        self._options = options
        self._aligns = options.alignment_heads is not None
        parameters = native.whisper_context_default_params()
        parameters.use_gpu = options.gpu
        parameters.gpu_device = options.gpu_device
        parameters.flash_attn = options.flash_attention
        parameters.dtw_token_timestamps = self._aligns
        if options.alignment_heads is not None:
            preset = getattr(native, f"WHISPER_AHEADS_{options.alignment_heads}")
            parameters.dtw_aheads_preset = preset
        lines = native_log.lines()
        lines.clear()
        self._handle = native.whisper_init_from_file_with_params(str(path), parameters)
        # The handle of a failed load looks like any other and crashes the process when it is used.
        failures = [
            text for level, text in lines if level == native_log.ERROR and "whisper_init" in text
        ]
        if failures:
            raise EngineError(f"whisper.cpp cannot load {path}: {failures[-1].strip()}")
        self.on_gpu = any("whisper_backend_init_gpu: using" in text for _, text in lines)

    def decode(
        self,
        samples: NDArray[np.float32],
        decoding: Decoding,
        aborted: Callable[[], bool],
    ) -> Decoded:
        """One pass over `samples` (float32, shape (n,), 16 kHz; at most 30 s are aligned)."""
        parameters = self._parameters(decoding)
        if self._aligns:
            samples = samples[: LONGEST_S * SAMPLE_RATE_HZ]
        native.assign_abort_callback(parameters, aborted)
        try:
            status = native.whisper_full(self._handle, parameters, samples, len(samples))
        except NATIVE_EXCEPTIONS as error:
            raise EngineError(f"whisper.cpp failed to transcribe: {error}") from error
        if aborted():
            raise EngineError("aborted")
        if status:
            raise EngineError(f"whisper.cpp failed to transcribe: status {status}")
        return self._decoded(decoding)

    def decode_file(self, samples: NDArray[np.float32]) -> str:
        """The text of a recording of any length, in 30 s steps by the library's own defaults."""
        parameters = native.whisper_full_default_params(
            native.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY
        )
        parameters.n_threads = self._options.threads
        parameters.language = self._options.language
        parameters.print_progress = False
        if native.whisper_full(self._handle, parameters, samples, len(samples)):
            raise EngineError("whisper.cpp failed to transcribe the recording")
        segments = range(native.whisper_full_n_segments(self._handle))
        raw = [native.whisper_full_get_segment_text(self._handle, i) for i in segments]
        return b"".join(raw).decode("utf-8", errors="replace").strip()

    def free(self) -> None:
        """Give the memory back; once, and nothing may be called after."""
        native.whisper_free(self._handle)

    def _parameters(self, decoding: Decoding) -> Any:
        """New parameters each time: nothing of the pass before can stick."""
        strategy = native.whisper_sampling_strategy
        parameters = native.whisper_full_default_params(
            strategy.WHISPER_SAMPLING_BEAM_SEARCH
            if decoding.beam_size > 1
            else strategy.WHISPER_SAMPLING_GREEDY
        )
        if decoding.beam_size > 1:
            parameters.beam_search = {"beam_size": decoding.beam_size, "patience": -1.0}
        parameters.n_threads = self._options.threads
        parameters.language = self._options.language
        parameters.audio_ctx = decoding.audio_context
        parameters.max_tokens = decoding.max_tokens
        parameters.single_segment = self._aligns
        parameters.temperature_inc = decoding.temperature_step
        parameters.no_context = True
        parameters.suppress_nst = True
        parameters.token_timestamps = not self._aligns
        parameters.print_progress = False
        return parameters

    def _decoded(self, decoding: Decoding) -> Decoded:
        end_of_text = native.whisper_token_eot(self._handle)
        tokens, numbers = [], []
        for segment in range(native.whisper_full_n_segments(self._handle)):
            for index in range(native.whisper_full_n_tokens(self._handle, segment)):
                data = native.whisper_full_get_token_data(self._handle, segment, index)
                if data.id != end_of_text:
                    numbers.append(data.id)
                if data.id < end_of_text:
                    tokens.append(self._token(data))
        return Decoded(
            tuple(tokens),
            capped=0 < decoding.max_tokens < len(numbers),
            numbers=tuple(numbers) if self._aligns else (),
            first_timestamp=native.whisper_token_beg(self._handle),
        )

    def _token(self, data: Any) -> Token:
        text: bytes = native.whisper_token_to_bytes(self._handle, data.id)
        at = data.t_dtw if self._aligns else data.t1
        return Token(text, data.p, at * CENTISECOND_S if at >= 0 else None)


class WhisperCppEngine:
    """A `callfsm.inference.engine.Engine` on one whisper.cpp context.

    `threads` compute one window; a context per core with one thread each is faster than one context
    with more. `full_context` decodes as the service in the field does: always 30 s, no guards.
    `open_context` is for tests.
    """

    max_batch = 1

    def __init__(
        self,
        model_path: Path,
        *,
        threads: int = 1,
        gpu: GpuSettings = GpuSettings(),
        full_context: bool = False,
        language: str = "en",
        open_context: Callable[[Path, ContextOptions], Context] = NativeContext,
    ) -> None:
        self.model_path = model_path
        self._threads = threads
        self._gpu = gpu
        self._full_context = full_context
        self._language = language
        self._open_context = open_context
        self._context: Context | None = None
        self._flash = False
        self._abort_asked = threading.Event()
        self._running = False

    def load(self) -> None:
        """Load the weights and warm up; on the CPU where no GPU works.

        Raises EngineError when the file is missing, damaged, or no Whisper model.
        """
        self.close()
        try:
            check_ggml(self.model_path)
        except WeightsError as error:
            raise EngineError(str(error)) from error
        if self._gpu.use == "off" or not self._load_on_gpu():
            self._open(gpu=False)
            self._warm_up()

    def transcribe(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        """One transcript per window; see `Engine`."""
        self._abort_asked.clear()
        self._running = True
        try:
            return [self._transcribe_one(window) for window in windows]
        finally:
            self._running = False

    def abort(self) -> None:
        """Make a running `transcribe` raise EngineError after the pass or token it is at."""
        if self._running:
            self._abort_asked.set()

    def close(self) -> None:
        """Free the native memory; `load` brings the engine back."""
        if self._context is not None:
            self._context.free()
            self._context = None

    def _load_on_gpu(self) -> bool:
        """Whether the engine is now ready on a GPU; if not, nothing is loaded."""
        try:
            if self._open(gpu=True).on_gpu:
                self._warm_up()
                return True
            problem = None if self._gpu.use == "auto" else "whisper.cpp found none"
        except EngineError as error:
            problem = str(error)
        self.close()
        if problem:
            warn_of_gpu(self._gpu.device, problem)
        return False

    def _open(self, *, gpu: bool) -> Context:
        wanted = self._gpu.flash_attention
        self._flash = gpu if wanted is None else wanted
        model = read_hyper_parameters(self.model_path)
        has_heads = not (self._flash or self._full_context)
        heads = alignment_heads(model, self.model_path.name) if has_heads else None
        options = ContextOptions(
            gpu, self._gpu.device, self._flash, heads, self._threads, self._language
        )
        self._context = self._open_context(self.model_path, options)
        return self._context

    def _warm_up(self) -> None:
        """Make the library allocate and the pages load before the first caller waits for it."""
        noise = np.random.default_rng(0).normal(0.0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
        self.transcribe([AudioWindow(noise)])

    def _transcribe_one(self, window: AudioWindow) -> Transcript:
        started_s = time.perf_counter()
        guards: tuple[str, ...] = ()
        if self._full_context:
            words = self._decode(window, baseline_pass()).words
        elif is_silent(window.samples):
            words, guards = (), ("silence",)
        else:

            def read_again() -> Reading:
                return self._read(window, second_pass)

            first = self._read(window, first_pass)
            words, guards = guarded(first, None if window.is_look else read_again)
        return Transcript(words, time.perf_counter() - started_s, guards)

    def _read(self, window: AudioWindow, passes: Pass) -> Reading:
        """The text of `window` to its end, by as many of `passes` as that takes."""
        part = self._decode(window, passes(window.duration_s, flash=self._flash))
        return read_on(window, part, lambda rest: self._read(rest, passes))

    def _decode(self, window: AudioWindow, decoding: Decoding) -> Reading:
        if self._context is None:
            raise EngineError(f"The engine of {self.model_path} is not loaded.")
        decoded = self._context.decode(padded(window.samples), decoding, self._abort_asked.is_set)
        return reading_of(decoded, window.duration_s)


def reading_of(decoded: Decoded, duration_s: float) -> Reading:
    """What a pass over `duration_s` of audio read."""
    words = words_of(decoded.tokens, duration_s)
    more_s = more_from_s(decoded.numbers, decoded.first_timestamp, words)
    return Reading(words, duration_s, decoded.capped, more_from_s=more_s)


def whole_file_text(model_path: Path, samples: NDArray[np.float32], threads: int = 2) -> str:
    """What whisper.cpp makes of a whole recording by its own defaults: the measure of accuracy.

    `samples`: float32, shape (n,), 16 kHz, of any length. Raises EngineError.
    """
    options = ContextOptions(False, 0, False, None, threads, "en")
    context = NativeContext(model_path, options)
    try:
        return context.decode_file(samples)
    finally:
        context.free()


native_log.install(native.whisper_log_set)
