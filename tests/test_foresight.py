"""A call's detector is told what it will be asked about, before it is asked."""

from pathlib import Path

import pytest
from server_fixture import said, serving, speech

from callfsm.call.companding import to_pcm16
from callfsm.call.speech import WebRtcDetector


class Noted:
    """A detector with foresight that notes what it is told, and what it is asked."""

    def __init__(self) -> None:
        self._detector = WebRtcDetector()
        self.expected = b""
        self.asked = b""
        self.surprises = 0  # frames that nobody told of

    def expect(self, pcm: bytes) -> None:
        self.expected += pcm

    def is_speech(self, frame: bytes) -> bool:
        self.asked += frame
        self.surprises += len(self.asked) > len(self.expected)
        return self._detector.is_speech(frame)


@pytest.fixture
def detectors(monkeypatch: pytest.MonkeyPatch) -> list[Noted]:
    """Those of the calls of a server that is made after this."""
    made: list[Noted] = []

    def make() -> Noted:
        made.append(Noted())
        return made[-1]

    monkeypatch.setattr("service.server.detector_factory", lambda _: make)
    return made


@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_detector_is_told_of_every_frame(
    is_recorded: bool, tmp_path: Path, detectors: list[Noted]
) -> None:
    """All of the call's audio, once and in order; only what fills up the last frame is news."""
    audio = speech(7, 20)[:-100]
    with serving(tmp_path, record=tmp_path / "logs" if is_recorded else None) as house:
        house.caller(7, audio).run()
        house.expect(7, said(7, 20))
    [detector] = detectors
    assert detector.expected == to_pcm16(audio).tobytes()
    assert detector.asked == detector.expected + bytes(200)
    assert detector.surprises == 1


def test_who_is_asked_nothing_is_told_nothing(tmp_path: Path, detectors: list[Noted]) -> None:
    """In mode chunk nobody asks a detector, so what it is told would only pile up."""
    with serving(tmp_path, mode="chunk") as house:
        house.caller(7, speech(7, 20), style="chunks").run()
        house.expect(7, said(7, 20))
    [detector] = detectors
    assert (detector.expected, detector.asked) == (b"", b"")
