"""The real model on real speech over the real protocol: calls go in, the right text comes out."""

from pathlib import Path

import pytest

from service.engines.whispercpp import WhisperCppEngine
from service.peers.chunking import Style
from service.speech.corpus import SpokenCall, demo_calls
from service.speech.wer import normalize
from service.trial.play import Trial
from service.weights.resolve import resolve

pytestmark = pytest.mark.model

WER_LIMIT = 0.12  # whole-file: 2.5 % on the prompts, 2.2 % on the synthetic voice


@pytest.fixture(scope="module")
def engine() -> WhisperCppEngine:
    engine = WhisperCppEngine(resolve("tiny.en"))
    engine.load()
    return engine


@pytest.fixture(scope="module")
def spoken() -> list[SpokenCall]:
    return demo_calls(3, 12.0)


@pytest.mark.parametrize("style", ["frames", "chunks"])
def test_three_calls_at_once(
    style: Style, spoken: list[SpokenCall], engine: WhisperCppEngine, tmp_path: Path
) -> None:
    """Three calls at once arrive at LLaMA and in the database, word for word, tail included."""
    played = Trial(tmp_path, 3, style, realtime=False).play(spoken, engine)
    assert played.problems == []
    assert played.errors.wer <= WER_LIMIT
    for result in played.results:
        assert normalize(result.text)[-2:] == normalize(result.reference)[-2:]


def test_a_call_shorter_than_a_window(
    spoken: list[SpokenCall], engine: WhisperCppEngine, tmp_path: Path
) -> None:
    """A call of one short phrase, hung up in its last word's breath, is transcribed."""
    phrase = spoken[0].phrases[0]
    samples = spoken[0].samples[: round(phrase.end_s * 16_000)]
    short = SpokenCall("short", samples, (phrase,))
    [result] = Trial(tmp_path, 1, realtime=False).play([short], engine).results
    assert result.problems == []
    assert normalize(result.text) == normalize(phrase.text)


def test_text_does_not_depend_on_company(
    spoken: list[SpokenCall], engine: WhisperCppEngine, tmp_path: Path
) -> None:
    """Two contexts or one, the text of a call is the same: nothing leaks between calls."""
    together = Trial(tmp_path, 3, serve_options=("--eager-step-s", "0")).play(spoken, engine)
    (tmp_path / "alone").mkdir()
    options = ("--eager-step-s", "0", "--contexts", "1")
    alone = Trial(tmp_path / "alone", 1, serve_options=options).play(spoken[:1], engine)
    assert together.results[0].text == alone.results[0].text
