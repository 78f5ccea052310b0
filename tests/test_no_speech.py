"""Nobody speaks, so nothing is written: the real detector and the real model on what lines carry.

A quarter of a minute of each sound; `benchmarks/speech_detection.py text` plays a minute.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from callfsm.call.segmenter import ONSET_FRAMES
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES, SpeechDetector
from service.engines.whispercpp import WhisperCppEngine
from service.speech import noise
from service.speech.corpus import SpokenCall, demo_calls
from service.speech.wer import word_errors
from service.trial.simulated import simulate
from service.weights.resolve import resolve

Samples = NDArray[np.float32]
SECONDS = 15.0
MUSIC_AND_TONES = ("DTMF", "ringback", "busy", "hold music", "hold music, strings")


@pytest.fixture(scope="module")
def network() -> SileroNetwork:
    return SileroNetwork.installed()


@pytest.fixture(scope="module")
def engine() -> WhisperCppEngine:
    engine = WhisperCppEngine(resolve("tiny.en"))
    engine.load()
    return engine


@pytest.fixture(scope="module")
def spoken() -> SpokenCall:
    return demo_calls(1, 12.0)[0]


def longest_speech(detector: SpeechDetector, samples: Samples) -> int:
    """Frames of the longest unbroken speech."""
    pcm = (samples * 32_767).astype("<i2").tobytes()
    size, longest, run = 2 * FRAME_SAMPLES, 0, 0
    for start in range(0, len(pcm) - size + 1, size):
        run = run + 1 if detector.is_speech(pcm[start : start + size]) else 0
        longest = max(longest, run)
    return longest


@pytest.mark.model
@pytest.mark.parametrize("name", noise.NON_SPEECH)
def test_nothing_is_written_of(name: str, engine: WhisperCppEngine, network: SileroNetwork) -> None:
    """A call on which nobody speaks yields no text."""
    sound = noise.NON_SPEECH[name](SECONDS)
    assert simulate(sound, engine, detector=SileroDetector(network)).text == ""


@pytest.mark.model
def test_speech_after_hold_music_is_written(
    engine: WhisperCppEngine, network: SileroNetwork, spoken: SpokenCall
) -> None:
    """Who has heard five seconds of music is still heard, from the first word on."""
    samples = np.concatenate([noise.music(5.0), noise.silence(0.5), spoken.samples])
    heard = simulate(samples, engine, detector=SileroDetector(network))
    assert word_errors(spoken.text, heard.text).wer <= 0.12


@pytest.mark.parametrize("name", MUSIC_AND_TONES)
def test_music_and_tones_are_not_speech(name: str, network: SileroNetwork) -> None:
    """The detector takes no more than the first 0.2 s of music or a tone for a voice."""
    sound = noise.NON_SPEECH[name](SECONDS)
    assert longest_speech(SileroDetector(network), sound) * FRAME_S <= 0.2


@pytest.mark.parametrize("gain", [1.0, 0.1])
@pytest.mark.parametrize("under", ["silence", "line noise", "babble"])
def test_speech_is_speech(
    gain: float, under: str, network: SileroNetwork, spoken: SpokenCall
) -> None:
    """Every phrase is heard, loud or soft, alone or with noise 10 dB below it."""
    samples = spoken.samples
    if under == "line noise":
        samples = noise.mixed(samples, noise.white_noise(spoken.duration_s + 1), 10.0)
    elif under == "babble":
        voices = [call.samples for call in demo_calls(3, 12.0)[1:]]
        samples = noise.mixed(samples, noise.babble(voices, spoken.duration_s + 1), 10.0)
    detector = SileroDetector(network)
    for phrase in spoken.phrases:
        start, end = (round(at_s * 16_000) for at_s in (phrase.start_s, phrase.end_s))
        assert longest_speech(detector, gain * samples[start:end]) > ONSET_FRAMES


def test_calls_share_a_network_without_hearing_each_other(
    network: SileroNetwork, spoken: SpokenCall
) -> None:
    """Two calls that take turns on one network are told what each would be told alone."""
    size = 2 * FRAME_SAMPLES
    voice = (spoken.samples * 32_767).astype("<i2").tobytes()[: 300 * size]
    music = (noise.music(6.0) * 32_767).astype("<i2").tobytes()[: 300 * size]

    def alone(pcm: bytes) -> list[bool]:
        detector = SileroDetector(network)
        return [detector.is_speech(pcm[at : at + size]) for at in range(0, len(pcm), size)]

    hear: tuple[Callable[[bytes], bool], ...] = tuple(
        SileroDetector(network).is_speech for _ in range(2)
    )
    together = [
        [listen(pcm[at : at + size]) for listen, pcm in zip(hear, (voice, music), strict=True)]
        for at in range(0, len(voice), size)
    ]
    assert [list(heard) for heard in zip(*together, strict=True)] == [alone(voice), alone(music)]


def test_mixing_keeps_the_ratio() -> None:
    """Noise lies as far below the active speech as was asked, pauses not counted."""
    speech = np.concatenate([noise.white_noise(1.0, -20.0), noise.silence(3.0)])
    under = noise.white_noise(4.0, -50.0, seed=2)
    heard = noise.mixed(speech, under, 10.0)[-2 * 16_000 :]
    ratio_db = 20 * np.log10(noise.active_rms(speech) / noise.active_rms(heard))
    assert ratio_db == pytest.approx(10.0, abs=0.3)
