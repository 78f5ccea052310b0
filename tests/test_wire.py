"""The wire codec: byte-exact encodings, and decoders that no cut and no junk upsets."""

import struct
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callfsm.errors import ProtocolError
from service import wire
from service.wire import Audio, Bye, EndOfStream, Hello, Register, Text

CHUNKS = st.lists(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40), min_size=1, max_size=6
)
CUTS = st.lists(st.integers(1, 50), max_size=60)


def length(value: int) -> bytes:
    return struct.pack(">I", value)


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """`data` in pieces of the given sizes, the rest as one piece."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def decode(decoder: wire.AudioDecoder | wire.TextDecoder, pieces: Iterable[bytes]) -> list[object]:
    return [event for piece in pieces for event in decoder.feed(piece)]


def audio(values: Iterable[float]) -> wire.Samples:
    return np.array(list(values), dtype=np.float32)


# ------------------------------------------------------------------------------------ datagrams


@pytest.mark.parametrize(
    ("datagram", "meaning"),
    [
        (b"REGISTER:7", Register(7)),
        (b"BYE:7", Bye(7)),
        (b" \tREGISTER: 101 \r\n", Register(101)),
        (b"REGISTER:007", Register(7)),
        (b"REGISTER:56534", Register(56_534)),
        (wire.register_datagram(12), Register(12)),
        (wire.bye_datagram(12), Bye(12)),
    ],
)
def test_datagrams_are_understood_with_white_space_around_them(
    datagram: bytes, meaning: Register | Bye
) -> None:
    """A registration datagram means the same with white space around it."""
    assert wire.parse_datagram(datagram) == meaning


@pytest.mark.parametrize(
    "datagram",
    [
        *(b"", b"REGISTER", b"REGISTER:", b"register:1", b"HELLO:1", b"BYE:x", b"\xff"),
        *(b"REGISTER:1.5", b"REGISTER:-1", b"REGISTER:+1", b"REGISTER:1_0", b"REGISTER:1 2"),
        "REGISTER:٣".encode(),
    ],
)
def test_a_malformed_datagram_is_named_with_the_rule_it_breaks(datagram: bytes) -> None:
    """A datagram that is neither REGISTER nor BYE with a decimal id is a protocol error."""
    with pytest.raises(ProtocolError, match="neither REGISTER:<call_id> nor BYE:<call_id>"):
        wire.parse_datagram(datagram)


@pytest.mark.parametrize("call_id", [b"0", b"000", b"56535", b"9" * 5_000])
def test_a_call_id_without_an_audio_port_is_refused(call_id: bytes) -> None:
    """A call id must be at least 1 and 9001 + id must be a port."""
    with pytest.raises(ProtocolError, match=r"not in 1\.\.56534"):
        wire.parse_datagram(b"REGISTER:" + call_id)


def test_the_highest_call_id_follows_the_base_port() -> None:
    """Another base port moves the highest call id."""
    assert wire.parse_datagram(b"BYE:5535", audio_base_port=60_000) == Bye(5_535)
    with pytest.raises(ProtocolError, match=r"not in 1\.\.5535"):
        wire.parse_datagram(b"BYE:5536", audio_base_port=60_000)


@given(st.binary(max_size=64) | st.from_regex(rb"(REGISTER|BYE):\s*\d{1,9}\s*", fullmatch=True))
def test_any_datagram_is_a_meaning_or_a_protocol_error(datagram: bytes) -> None:
    """No datagram raises anything but ProtocolError, and an accepted id always has a port."""
    try:
        meaning = wire.parse_datagram(datagram)
    except ProtocolError:
        return
    assert 1 <= meaning.call_id <= 65_535 - wire.AUDIO_BASE_PORT


# ------------------------------------------------------------------------------------- encoding


def test_messages_are_encoded_byte_for_byte_as_the_protocol_says() -> None:
    """Lengths are big-endian bytes, samples little-endian float32, HELLO is the id in ASCII."""
    assert wire.hello(101) == b"\x00\x00\x00\x03101"
    assert wire.encode("né".encode()) == b"\x00\x00\x00\x03n\xc3\xa9"
    assert wire.encode_audio(audio([0.5, -1])) == b"\x00\x00\x00\x08\0\0\0\x3f\0\0\x80\xbf"
    assert wire.END_OF_STREAM == b"\xff\xff\xff\xff"
    assert wire.END_OF_STREAM_IN_THE_FIELD == b"\0\0\0\0"


def test_nothing_is_encoded_that_a_peer_would_misread() -> None:
    """An empty message would end the stream and a too long one breaks it: both are refused."""
    with pytest.raises(ProtocolError, match="0 bytes"):
        wire.encode(b"")
    with pytest.raises(ProtocolError, match="10485761 bytes"):
        wire.encode(bytes(wire.MAX_TEXT_BYTES + 1))
    with pytest.raises(ProtocolError, match="0 bytes"):
        wire.encode_audio(audio([]))
    with pytest.raises(ProtocolError, match="500001 samples"):
        wire.encode_audio(np.zeros(500_001, np.float32))


# ---------------------------------------------------------------------------------------- audio


@given(
    chunks=CHUNKS,
    cuts=CUTS,
    piece_samples=st.integers(1, 50),
    end=st.sampled_from([wire.END_OF_STREAM, wire.END_OF_STREAM_IN_THE_FIELD]),
)
def test_audio_is_the_same_however_the_stream_is_cut(
    chunks: list[list[float]], cuts: list[int], piece_samples: int, end: bytes
) -> None:
    """Any splitting of the bytes gives the same HELLO, samples, chunk ends and end."""
    stream = wire.hello(7) + b"".join(wire.encode_audio(audio(c)) for c in chunks) + end
    first, *pieces, last = decode(wire.AudioDecoder(piece_samples), cut(stream, cuts))

    assert first == Hello("7")
    assert last == EndOfStream()
    decoded: list[list[float]] = [[]]
    for piece in pieces:
        assert isinstance(piece, Audio)
        assert 1 <= len(piece.samples) <= piece_samples
        decoded[-1].extend(piece.samples.tolist())
        if piece.ends_chunk:
            decoded.append([])
    assert decoded == [*chunks, []]


@given(st.lists(st.binary(max_size=40), max_size=20), st.booleans())
def test_random_bytes_raise_nothing_but_protocol_errors(pieces: list[bytes], hello: bool) -> None:
    """Whatever a peer sends, a decoder yields events or raises ProtocolError, and it returns."""
    for decoder in (wire.AudioDecoder(), wire.TextDecoder(), wire.TextDecoder(False)):
        try:
            decode(decoder, [wire.hello(7), *pieces] if hello else pieces)
            decoder.eof()
        except ProtocolError:
            continue


def test_audio_is_handed_over_while_its_chunk_arrives() -> None:
    """A sample is delivered with the bytes that complete it, before the chunk is complete."""
    decoder = wire.AudioDecoder()
    chunk = wire.encode_audio(audio([0.25, 0.5, 0.75]))
    decode(decoder, [wire.hello(7)])

    (early,) = decode(decoder, [chunk[:13]])
    (late,) = decode(decoder, [chunk[13:]])

    assert isinstance(early, Audio)
    assert isinstance(late, Audio)
    assert (early.samples.tolist(), early.ends_chunk) == ([0.25, 0.5], False)
    assert (late.samples.tolist(), late.ends_chunk) == ([0.75], True)


def test_the_longest_chunk_comes_in_pieces_of_a_second() -> None:
    """A chunk of 31.25 s that arrived at once is decoded one second at a time."""
    stream = wire.hello(7) + wire.encode_audio(np.zeros(500_000, np.float32))
    _, *pieces = decode(wire.AudioDecoder(), [stream])
    sizes = [len(piece.samples) for piece in pieces if isinstance(piece, Audio)]
    assert sizes == [16_000] * 31 + [4_000]


def test_events_left_unread_are_not_lost() -> None:
    """An iterator abandoned half-way leaves its events to the next feed."""
    decoder = wire.AudioDecoder()
    stream = wire.hello(7) + wire.encode_audio(audio([0.5])) + wire.END_OF_STREAM
    assert next(decoder.feed(stream)) == Hello("7")
    sound, end = decoder.feed(b"")
    assert isinstance(sound, Audio)
    assert end == EndOfStream()


def test_samples_are_made_finite_and_clipped() -> None:
    """NaN and infinities become 0 and are counted; samples beyond full scale are clipped."""
    decoder = wire.AudioDecoder()
    values = [float("nan"), float("inf"), float("-inf"), 1.5, -7.0, 0.25]
    _, piece = decode(decoder, [wire.hello(7), wire.encode_audio(audio(values))])
    assert isinstance(piece, Audio)
    assert piece.samples.tolist() == [0, 0, 0, 1, -1, 0.25]
    assert piece.samples.dtype == np.float32
    assert decoder.non_finite_samples == 3


@pytest.mark.parametrize("bad_length", [1, 6, 2_000_001, 2_000_004, 0xFFFF_FFFE])
def test_a_bad_chunk_length_is_raised_after_the_audio_before_it(bad_length: int) -> None:
    """The events before a fault are delivered, then the error names the length and the rule."""
    decoder = wire.AudioDecoder()
    events = decoder.feed(
        wire.hello(7) + wire.encode_audio(audio([0.5])) + length(bad_length) + bytes(8)
    )
    assert next(events) == Hello("7")
    assert isinstance(next(events), Audio)
    with pytest.raises(ProtocolError, match=f"{bad_length} bytes is not a multiple of 4 up to"):
        next(events)
    with pytest.raises(ProtocolError, match=f"{bad_length} bytes"):
        list(decoder.feed(b"more"))


@pytest.mark.parametrize("bad_length", [0, 1_001, wire.END])
def test_a_hello_outside_its_limits_is_refused(bad_length: int) -> None:
    """HELLO holds 1 to 1000 bytes."""
    for decoder in (wire.AudioDecoder(), wire.TextDecoder()):
        with pytest.raises(ProtocolError, match=f"HELLO of {bad_length} bytes is not in 1..1000"):
            list(decoder.feed(length(bad_length)))


def test_the_longest_hello_is_accepted() -> None:
    """A HELLO of 1000 bytes is a HELLO."""
    assert decode(wire.AudioDecoder(), [wire.encode(b"1" * 1_000)]) == [Hello("1" * 1_000)]


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (wire.hello(71)[:5], "inside a message, after 5 bytes"),
        (wire.hello(71) + b"\0\0", "inside a message, after 2 bytes"),
        (wire.hello(71) + length(12), "12 bytes before the end of an audio chunk"),
        (wire.hello(71) + length(12) + bytes(7), "5 bytes before the end of an audio chunk"),
    ],
)
def test_a_close_inside_a_message_is_a_protocol_error(stream: bytes, sentence: str) -> None:
    """EOF inside a HELLO, a length or a chunk says how much of it came or is missing."""
    decoder = wire.AudioDecoder()
    decode(decoder, [stream])
    with pytest.raises(ProtocolError, match=sentence):
        decoder.eof()


def test_a_close_inside_a_chunk_loses_no_whole_sample() -> None:
    """The samples that arrived before the connection broke have been delivered."""
    decoder = wire.AudioDecoder()
    _, piece = decode(decoder, [wire.hello(7), wire.encode_audio(audio([0.25, 0.5, 0.75]))[:15]])
    assert isinstance(piece, Audio)
    assert piece.samples.tolist() == [0.25, 0.5]


def test_a_close_between_messages_is_an_end() -> None:
    """EOF at the start, after a whole chunk or after the end mark is no error."""
    stream = wire.hello(7) + wire.encode_audio(audio([0.5]))
    for pieces in ([], [stream], [stream, wire.END_OF_STREAM, b"junk"]):
        decoder = wire.AudioDecoder()
        decode(decoder, pieces)
        decoder.eof()
        assert decoder.ended == (len(pieces) == 3)


# ---------------------------------------------------------------------------------------- texts


@given(texts=st.lists(st.text(min_size=1, max_size=40), max_size=6), cuts=CUTS)
def test_texts_are_the_same_however_the_stream_is_cut(texts: list[str], cuts: list[int]) -> None:
    """Any splitting of the bytes gives the same HELLO, texts and end."""
    body = b"".join(wire.encode(text.encode()) for text in texts) + wire.END_OF_STREAM
    expected = [*map(Text, texts), EndOfStream()]
    assert decode(wire.TextDecoder(), cut(wire.hello(7) + body, cuts)) == [Hello("7"), *expected]
    assert decode(wire.TextDecoder(expects_hello=False), cut(body, cuts)) == expected


def test_bytes_that_are_not_utf8_are_shown_as_replacements() -> None:
    """Invalid UTF-8 does not end the stream."""
    decoder = wire.TextDecoder(expects_hello=False)
    assert decode(decoder, [wire.encode(b"caf\xe9!")]) == [Text("caf�!")]


@pytest.mark.parametrize("bad_length", [0, wire.MAX_TEXT_BYTES + 1])
def test_a_text_outside_its_limits_is_refused(bad_length: int) -> None:
    """A text holds 1 byte to 10 MiB."""
    decoder = wire.TextDecoder(expects_hello=False)
    with pytest.raises(ProtocolError, match=f"text of {bad_length} bytes is not in 1..10485760"):
        list(decoder.feed(length(bad_length)))
