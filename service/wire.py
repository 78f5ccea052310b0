"""The wire format of PROTOCOL.md as pure functions and decoders: bytes in, events out, no socket.

The server and both of its peers speak through this one file, so a rule of the protocol is written
once. A decoder takes bytes in whatever pieces the network cut them into and yields events as early
as it can: audio is handed over while its chunk is still arriving, so a 31 s chunk never sits in
memory whole and a reader that stops iterating (or reading) pushes back in the middle of it.

When the peer breaks the protocol, a decoder yields what came before the fault, then raises.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from callfsm.errors import ProtocolError

# All numbers are PROTOCOL.md's.
REGISTRATION_PORT = 13_000  # UDP
AUDIO_BASE_PORT = 9_001  # TCP; the audio of call n is served on port 9001 + n
LLAMA_PORT = 8_083  # TCP
END = 0xFFFF_FFFF  # the length field that ends a stream
MAX_HELLO_BYTES = 1_000
MAX_CHUNK_BYTES = 2_000_000  # 31.25 s of audio
MAX_TEXT_BYTES = 10 * 1024 * 1024
SAMPLE_BYTES = 4  # float32, little-endian

END_OF_STREAM = struct.pack(">I", END)
END_OF_STREAM_IN_THE_FIELD = struct.pack(">I", 0)  # how older audio processors end theirs

_MAX_PORT = 65_535
_LENGTH_BYTES = 4
_PIECE_SAMPLES = 16_000  # 1 s: an event of 64 KB at most

Samples = NDArray[np.float32]


# ------------------------------------------------------------------------------------ datagrams


@dataclass(frozen=True, slots=True)
class Register:
    """The call has an audio port that waits for the service."""

    call_id: int


@dataclass(frozen=True, slots=True)
class Bye:
    """The call is over; its TCP stream may still hold audio."""

    call_id: int


def register_datagram(call_id: int) -> bytes:
    return b"REGISTER:%d" % call_id


def bye_datagram(call_id: int) -> bytes:
    return b"BYE:%d" % call_id


def parse_datagram(data: bytes, audio_base_port: int = AUDIO_BASE_PORT) -> Register | Bye:
    """What a registration datagram says. White space around it and its call id is trimmed.

    Raises ProtocolError unless it is REGISTER or BYE with a decimal call id of at least 1 whose
    audio port, `audio_base_port` + id, exists.
    """
    verb, _, number = data.strip().partition(b":")
    number = number.strip()
    if verb not in (b"REGISTER", b"BYE") or not number.isdigit():
        raise ProtocolError(
            f"the datagram {data[:40]!r} is neither REGISTER:<call_id> nor BYE:<call_id> "
            "with a decimal call id"
        )
    number = number.lstrip(b"0") or b"0"
    highest = _MAX_PORT - audio_base_port
    if len(number) > len(str(highest)) or not 1 <= int(number) <= highest:
        raise ProtocolError(
            f"the call id {number[:40].decode()} is not in 1..{highest}, "
            f"so {audio_base_port} + id is no port for its audio"
        )
    call_id = int(number)
    return Register(call_id) if verb == b"REGISTER" else Bye(call_id)


# ------------------------------------------------------------------------------------- encoding


def encode(payload: bytes) -> bytes:
    """`payload` (1 byte to 10 MiB) behind its length.

    Raises ProtocolError for any other size; a length of 0 would end the stream.
    """
    if not 1 <= len(payload) <= MAX_TEXT_BYTES:
        raise ProtocolError(f"a message of {len(payload)} bytes is not in 1..{MAX_TEXT_BYTES}")
    return struct.pack(">I", len(payload)) + payload


def hello(call_id: int) -> bytes:
    """The first message of every TCP stream that a peer of the service, or the service, opens."""
    return encode(b"%d" % call_id)


def encode_audio(samples: Samples) -> bytes:
    """One audio chunk of 1..500 000 samples, float32 in -1..1 at 16 kHz, shape (n,).

    Raises ProtocolError for any other number of samples.
    """
    if len(samples) * SAMPLE_BYTES > MAX_CHUNK_BYTES:
        raise ProtocolError(
            f"a chunk of {len(samples)} samples is above the limit of "
            f"{MAX_CHUNK_BYTES // SAMPLE_BYTES}"
        )
    return encode(np.asarray(samples, dtype="<f4").tobytes())


# ------------------------------------------------------------------------------------- decoding


@dataclass(frozen=True, slots=True)
class Hello:
    """The peer named its call; the text is as it was sent, not yet checked to be a number."""

    call_id_text: str


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """The next samples of the call: float32, shape (n,), finite and in -1..1, at 16 kHz.

    `ends_chunk` is true on the last piece of a chunk, as the sender cut the audio.
    """

    samples: Samples
    ends_chunk: bool


@dataclass(frozen=True, slots=True)
class Text:
    """One message; bytes that are not UTF-8 are shown as U+FFFD."""

    text: str


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """The peer said that it ends. Whatever it sends after that is ignored."""


AudioEvent = Hello | Audio | EndOfStream
TextEvent = Hello | Text | EndOfStream
Event = TypeVar("Event")


class _Decoder(Generic[Event]):
    """The bytes that arrived and are not decoded yet, and what both kinds of stream do to them."""

    def __init__(self, expects_hello: bool) -> None:
        self.ended = False
        self._awaits_hello = expects_hello
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[Event]:
        """The events that `data` completes, decoded one at a time as they are asked for.

        Raises ProtocolError at the fault, after the events before it, and again if fed again.
        """
        if not self.ended:
            self._buffer += data
        return self._events()

    def eof(self) -> None:
        """Say that the connection closed, after the last `feed` was iterated to its end.

        Between two messages this is an end like any other; inside one it raises ProtocolError.
        """
        if self._buffer:
            raise ProtocolError(
                f"the connection closed inside a message, after {len(self._buffer)} bytes of it"
            )

    def _events(self) -> Iterator[Event]:
        while not self.ended and (event := self._next_event()) is not None:
            yield event

    def _next_event(self) -> Event | None:
        """The event at the front of the buffer, None while it is incomplete."""
        raise NotImplementedError

    def _length(self) -> int | None:
        """The length field at the front, None while it is incomplete."""
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        return int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")

    def _take(self, size_bytes: int) -> bytes:
        taken = bytes(self._buffer[:size_bytes])
        del self._buffer[:size_bytes]
        return taken

    def _take_message(self, length: int) -> bytes | None:
        """The payload behind the length field at the front, None while it is incomplete."""
        if len(self._buffer) < _LENGTH_BYTES + length:
            return None
        return self._take(_LENGTH_BYTES + length)[_LENGTH_BYTES:]

    def _take_hello(self, length: int) -> Hello | None:
        if not 1 <= length <= MAX_HELLO_BYTES:
            raise ProtocolError(f"a HELLO of {length} bytes is not in 1..{MAX_HELLO_BYTES}")
        payload = self._take_message(length)
        if payload is None:
            return None
        self._awaits_hello = False
        return Hello(payload.decode("ascii", errors="replace"))

    def _end(self) -> EndOfStream:
        self.ended = True
        self._buffer.clear()
        return EndOfStream()


class AudioDecoder(_Decoder[AudioEvent]):
    """Decodes what an audio processor sends: HELLO, chunks of samples, end of stream.

    A sample that is not a finite number becomes 0 and is counted in `non_finite_samples`; samples
    are clipped to -1..1. No `Audio` holds more than `piece_samples` samples, and between calls of
    `feed` no more than a HELLO, or 3 bytes of a chunk, are kept.
    """

    def __init__(self, piece_samples: int = _PIECE_SAMPLES) -> None:
        super().__init__(expects_hello=True)
        self.non_finite_samples = 0
        self._piece_bytes = piece_samples * SAMPLE_BYTES
        self._chunk_bytes_left = 0

    def _next_event(self) -> AudioEvent | None:
        return self._chunk_piece() if self._chunk_bytes_left else self._message_start()

    def _message_start(self) -> AudioEvent | None:
        length = self._length()
        if length is None:
            return None
        if self._awaits_hello:
            return self._take_hello(length)
        if length in (0, END):
            return self._end()
        if length % SAMPLE_BYTES or length > MAX_CHUNK_BYTES:
            raise ProtocolError(
                f"an audio chunk of {length} bytes is not a multiple of {SAMPLE_BYTES} "
                f"up to {MAX_CHUNK_BYTES}"
            )
        self._take(_LENGTH_BYTES)
        self._chunk_bytes_left = length
        return self._chunk_piece()

    def _chunk_piece(self) -> Audio | None:
        size_bytes = min(len(self._buffer), self._chunk_bytes_left, self._piece_bytes)
        size_bytes -= size_bytes % SAMPLE_BYTES
        if not size_bytes:
            return None
        self._chunk_bytes_left -= size_bytes
        samples = self._cleaned(self._take(size_bytes))
        return Audio(samples, ends_chunk=not self._chunk_bytes_left)

    def _cleaned(self, raw: bytes) -> Samples:
        samples = np.frombuffer(raw, dtype="<f4")
        if np.abs(samples).max() <= 1:  # as nearly always; not so when one is no number
            return samples
        finite = np.isfinite(samples)
        self.non_finite_samples += len(samples) - int(np.count_nonzero(finite))
        return np.clip(np.where(finite, samples, np.float32(0)), -1, 1).astype(np.float32)

    def eof(self) -> None:
        if self._chunk_bytes_left:
            missing_bytes = self._chunk_bytes_left - len(self._buffer)
            raise ProtocolError(
                f"the connection closed {missing_bytes} bytes before the end of an audio chunk"
            )
        super().eof()


class TextDecoder(_Decoder[TextEvent]):
    """Decodes a stream of texts: what the service sends to LLaMA, and what either peer answers.

    Only the service's stream to LLaMA opens with HELLO; for the others, set `expects_hello` False.
    """

    def __init__(self, expects_hello: bool = True) -> None:
        super().__init__(expects_hello)

    def _next_event(self) -> TextEvent | None:
        length = self._length()
        if length is None:
            return None
        if self._awaits_hello:
            return self._take_hello(length)
        if length == END:
            return self._end()
        if not 1 <= length <= MAX_TEXT_BYTES:
            raise ProtocolError(f"a text of {length} bytes is not in 1..{MAX_TEXT_BYTES}")
        payload = self._take_message(length)
        return None if payload is None else Text(payload.decode("utf-8", errors="replace"))
