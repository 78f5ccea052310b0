"""What Silero's detectors expect they hear together, and answer as if they had heard it alone."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callfsm.call.silero import MAX_BATCH, SileroDetector, SileroNetwork
from callfsm.call.speech import FRAME_BYTES, ForesightedDetector, WebRtcDetector
from service.speech import noise
from service.speech.corpus import demo_calls
from service.speech.noise import Samples

FRAMES = 80  # 1.6 s


def pcm_of(samples: Samples) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()[: FRAMES * FRAME_BYTES]


LINES = [
    *(pcm_of(call.samples) for call in demo_calls(3, 8.0, synthetic=True)),
    pcm_of(noise.music(3.0)),
    pcm_of(noise.silence(3.0)),
]


class CountedNetwork(SileroNetwork):
    """It notes how many chunks it is given at a time."""

    chunks: Sequence[int] = ()

    def listen(self, samples: Samples, states: Samples) -> tuple[Samples, Samples]:
        self.chunks = [*self.chunks, len(samples)]
        return super().listen(samples, states)


@pytest.fixture(scope="module")
def network() -> CountedNetwork:
    return CountedNetwork.installed()


def answers(detector: SileroDetector, pcm: bytes) -> list[bool]:
    """To each whole frame."""
    whole = len(pcm) - len(pcm) % FRAME_BYTES
    return [detector.is_speech(pcm[at : at + FRAME_BYTES]) for at in range(0, whole, FRAME_BYTES)]


@pytest.fixture(scope="module")
def alone(network: CountedNetwork) -> list[list[bool]]:
    """What each line is answered when nobody else is there."""
    return [answers(SileroDetector(network), line) for line in LINES]


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 8 * FRAME_BYTES), min_size=1, max_size=20), data=st.data())
def test_what_is_expected_changes_no_answer(
    sizes: list[int], data: st.DataObject, network: CountedNetwork, alone: list[list[bool]]
) -> None:
    """In whatever pieces it is expected, by whatever other calls, and if some of it never was."""
    detectors = [SileroDetector(network) for _ in LINES]
    heard: list[list[bool]] = [[] for _ in LINES]
    at = 0
    for size in sizes:
        piece = slice(at, at + 2 * (size // 2))
        for line, detector in zip(LINES, detectors, strict=True):
            detector.expect(line[piece])
        at = min(piece.stop, FRAMES * FRAME_BYTES)
        for n in data.draw(st.permutations(range(len(LINES)))):
            asked = len(heard[n])
            until = asked + data.draw(st.integers(0, at // FRAME_BYTES - asked))
            heard[n] += answers(detectors[n], LINES[n][asked * FRAME_BYTES : until * FRAME_BYTES])
    for n, line in enumerate(LINES):
        heard[n] += answers(detectors[n], line[len(heard[n]) * FRAME_BYTES :])
    assert not network.expecting
    assert heard == alone
    assert any(alone[0])


def test_calls_that_expect_are_heard_in_one_run(network: CountedNetwork) -> None:
    """Whenever one needs the network, that hears one chunk of each of up to sixteen."""
    calls = MAX_BATCH + 4
    detectors = [SileroDetector(network) for _ in range(calls)]
    for detector in detectors:
        detector.expect(LINES[0])
    network.chunks = []
    said = [answers(detector, LINES[0]) for detector in detectors]
    runs = len(network.chunks) // 2
    assert runs > 10
    assert network.chunks == [MAX_BATCH] * runs + [calls - MAX_BATCH] * runs
    assert all(one == said[0] for one in said)


def test_who_expects_nothing_more_is_forgotten(network: CountedNetwork) -> None:
    """Who was asked everything at once; who ended with audio unasked when another call is heard."""
    asked, ended, other = (SileroDetector(network) for _ in range(3))
    asked.expect(LINES[-1] + b"rest")
    answers(asked, LINES[-1])
    assert not network.expecting
    ended.expect(LINES[0][: 10 * FRAME_BYTES])
    answers(other, LINES[1])
    assert not network.expecting


def test_only_silero_has_foresight(network: CountedNetwork) -> None:
    """The WebRTC detector costs the same for one call as for many."""
    assert isinstance(SileroDetector(network), ForesightedDetector)
    assert not isinstance(WebRtcDetector(), ForesightedDetector)


def test_the_states_of_a_batch_are_each_call_s_own(network: CountedNetwork) -> None:
    """What a call keeps of a run holds none of its mates' memory."""
    detectors = [SileroDetector(network) for _ in range(4)]
    for detector in detectors:
        detector.expect(LINES[0])
    answers(detectors[0], LINES[0])
    assert all(detector.state.base is None for detector in detectors)
    assert all(np.array_equal(detector.state, detectors[0].state) for detector in detectors)
