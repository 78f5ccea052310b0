"""The CTranslate2 engine: no window's text depends on another's, nothing invented, no crash."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_checks import errors_when_aborted
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import ConfigError, EngineError
from callfsm.inference.engine import AudioWindow
from callfsm.words import as_text
from service import engine_choice
from service.engine_choice import choose_engine
from service.engines.decoding import (
    FULL_FRAMES,
    careful_feature_frames,
    feature_frames,
    token_cap,
)
from service.engines.gpu import warn_of_gpu
from service.engines.log_mel import log_mel
from service.engines.vocabulary import read_vocabulary
from service.settings import available_cores, load_settings
from service.speech.corpus import demo_calls
from service.speech.noise import NON_SPEECH
from service.weights.errors import WeightsError
from service.weights.mel import filter_bank
from service.weights.resolve import ctranslate2_directory
from service.weights.wheels import Wheel

ctranslate2 = pytest.importorskip("service.engines.ctranslate2", exc_type=ImportError)
native = pytest.importorskip("service.engines.ctranslate2_model", exc_type=ImportError)

Samples = NDArray[np.float32]

END, START, ENGLISH, TRANSCRIBE, NO_TIMES, TIMESTAMP = (
    50_256,
    50_257,
    50_258,
    50_259,
    50_299,
    50_300,
)
MEL_BANDS = 80


def sound(level: float, seconds: float = 2.0) -> AudioWindow:
    """A window of constant `level`; 0 is silence."""
    return AudioWindow(np.full(round(seconds * SAMPLE_RATE_HZ), level, np.float32))


# --- what the model hears ------------------------------------------------------------------------


def test_features_are_whisper_s() -> None:
    """Each value is that of the published formula, computed here one frame at a time."""
    rng = np.random.default_rng(1)
    samples = rng.normal(0.0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
    frames = 152
    audio = np.concatenate([samples, np.zeros(frames * 160 - len(samples), np.float32)])
    audio = np.concatenate([audio[200:0:-1], audio, audio[-2:-202:-1]]).astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    bels: NDArray[np.float64] = np.empty((MEL_BANDS, frames))
    for frame in range(frames):
        spectrum = np.fft.rfft(audio[frame * 160 : frame * 160 + 400] * window)
        bels[:, frame] = np.log10(np.maximum(filter_bank(MEL_BANDS) @ np.abs(spectrum) ** 2, 1e-10))
    expected = (np.maximum(bels, bels.max() - 8) + 4) / 4
    features = log_mel(samples, frames, MEL_BANDS)
    assert np.abs(features - expected).max() < 1e-4
    assert features.dtype == np.float32
    assert features.flags.c_contiguous


@pytest.mark.parametrize("seconds", [0.01, 1.0, 8.9, 9.0, 20.0, 29.9, 35.0])
def test_features_cover_the_audio_in_whole_steps(seconds: float) -> None:
    """There is room for the audio and a margin, at most 30 s; near lengths share a batch."""
    frames = feature_frames(seconds)
    assert frames == FULL_FRAMES or (frames % 64 == 0 and frames >= 100 * seconds + 128)
    assert feature_frames(1.0) == feature_frames(8.9)
    careful = careful_feature_frames(seconds)
    assert careful == FULL_FRAMES or (careful % 64 == 0 and careful >= frames + 512)
    assert log_mel(sound(0.1, seconds).samples, frames, MEL_BANDS).shape == (MEL_BANDS, frames)


# --- the vocabulary ------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model's directory: a vocabulary of words "w0", "w1", ... and no weights."""
    names = {f"Ġw{number}": number for number in range(END)} | {"<|endoftext|>": END}
    special = {
        "<|endoftext|>": END,
        "<|startoftranscript|>": START,
        "<|en|>": ENGLISH,
        "<|transcribe|>": TRANSCRIBE,
        "<|notimestamps|>": NO_TIMES,
    }
    added = [{"id": number, "content": name} for name, number in special.items()]
    tokenizer = {"model": {"vocab": names}, "added_tokens": added}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    (tmp_path / "model.bin").touch()
    return tmp_path


def test_tokens_are_raw_bytes_and_prompts_fit_the_model(directory: Path) -> None:
    """A multilingual model is told language and task; an English one is not."""
    vocabulary = read_vocabulary(directory / "tokenizer.json")
    assert vocabulary.text[7] == b" w7"
    assert vocabulary.end_of_text == END
    assert vocabulary.prompt("en", multilingual=False) == (START,)
    assert vocabulary.prompt("en", multilingual=True) == (START, ENGLISH, TRANSCRIBE)


@pytest.mark.parametrize("multilingual", [False, True])
def test_a_language_that_the_model_does_not_know_is_refused(
    directory: Path, multilingual: bool
) -> None:
    """One sentence names the language."""
    vocabulary = read_vocabulary(directory / "tokenizer.json")
    with pytest.raises(EngineError, match="language 'xx'"):
        vocabulary.prompt("xx", multilingual=multilingual)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"model": {"vocab": {"a": 0}}, "added_tokens": []}']
)
def test_a_tokenizer_that_is_none_is_refused(directory: Path, content: str) -> None:
    """The file is named."""
    (directory / "tokenizer.json").write_text(content)
    with pytest.raises(EngineError, match=r"tokenizer\.json is"):
        read_vocabulary(directory / "tokenizer.json")


# --- the engine around a fake model --------------------------------------------------------------


class FakeModel:
    """Says given texts, one a window, and knows what was asked of it."""

    n_mels = MEL_BANDS
    multilingual = False

    def __init__(self, *texts: Sequence[int], again: Sequence[int] = ()) -> None:
        """`texts` of the windows in the order of `encode`; `again` is what second passes say."""
        self.texts = [list(text) for text in texts]
        self.again = list(again)
        self.no_speech, self.probability = 0.0, 0.9
        self.fails = False
        self.batches: list[tuple[int, int]] = []  # windows, frames
        self.caps: list[int] = []
        self.beams: list[int] = []
        self.unloaded = False
        self.during_generate = lambda: None

    def encode(self, features: NDArray[np.float32]) -> Any:
        self.batches.append((features.shape[0], features.shape[2]))
        return features

    def generate(self, encoded: Any, prompt: Sequence[int], search: Any) -> list[Any]:
        self.during_generate()
        if self.fails:
            raise RuntimeError("out of memory")
        self.caps.append(search.max_tokens)
        self.beams.append(search.beam_size)
        texts = [
            self.again if search.no_repeat_ngram else (self.texts.pop(0) if self.texts else [])
            for _ in range(encoded.shape[0])
        ]
        return [
            native.Generated((TIMESTAMP, *text)[: search.max_tokens], self.no_speech)
            for text in texts
        ]

    def align(
        self, encoded: Any, prompt: Sequence[int], texts: list[list[int]], frames: list[int]
    ) -> list[Any]:
        assert all(token < END for text in texts for token in text)
        return [
            native.Alignment(tuple(range(0, 20 * len(t) + 1, 20)), (self.probability,) * len(t))
            for t in texts
        ]

    def unload(self) -> None:
        self.unloaded = True


def engine_of(directory: Path, model: FakeModel) -> Any:
    """A loaded engine on `model`, which has forgotten the warm-up."""
    texts, model.texts = model.texts, []
    engine = ctranslate2.CTranslate2Engine(directory, open_model=lambda *_: model)
    engine.load()
    model.batches.clear()
    model.caps.clear()
    model.beams.clear()
    model.texts = texts
    return engine


def texts_of(transcripts: Sequence[Any]) -> list[str]:
    return [as_text(transcript.words) for transcript in transcripts]


def test_transcripts_come_in_the_order_of_the_windows(directory: Path) -> None:
    """Batches are of equal length; silence is in none of them; the order is that of the request."""
    model = FakeModel([1], [2], [3])
    windows = [sound(0.1), sound(0.2, 12.0), sound(0.0), sound(0.3)]
    transcripts = engine_of(directory, model).transcribe(windows)
    assert texts_of(transcripts) == ["w1", "w3", "", "w2"]
    assert [transcript.guards for transcript in transcripts] == [(), (), ("silence",), ()]
    assert model.batches == [(2, feature_frames(2.0)), (1, feature_frames(12.0))]


def test_no_batch_is_larger_than_the_largest(directory: Path) -> None:
    """Ten windows are three batches."""
    model = FakeModel(*([number] for number in range(10)))
    transcripts = engine_of(directory, model).transcribe([sound(0.1)] * 10)
    assert texts_of(transcripts) == [f"w{number}" for number in range(10)]
    assert [size for size, _ in model.batches] == [4, 4, 2]


def test_a_text_is_capped_by_its_own_length_whatever_its_mates_are(directory: Path) -> None:
    """The cap of a short window holds beside a long one too, and the capped text is doubted."""
    runaway = range(100, 100 + token_cap(8.0) - 2)
    model = FakeModel([], again=[5])
    for windows in ([sound(0.1, 1.0)], [sound(0.1, 1.0), sound(0.2, 8.0)]):
        model.texts = [list(runaway), [7]]
        first = engine_of(directory, model).transcribe(windows)[0]
        assert (as_text(first.words), first.guards) == ("w5", ("token_cap", "retried"))
    assert model.caps == [token_cap(8.0), token_cap(1.0)]
    assert model.batches[-1] == (1, careful_feature_frames(1.0))


def test_a_doubted_text_is_read_again_alone_with_more_context(directory: Path) -> None:
    """A loop costs its batch mates nothing but time; the counters learn of it."""
    model = FakeModel([1, 2, 1, 2, 1, 2, 1, 2], [4], again=[1, 2])
    loop, plain = engine_of(directory, model).transcribe([sound(0.1), sound(0.2)])
    assert (as_text(loop.words), loop.guards) == ("w1 w2", ("repeated_ngram", "retried"))
    assert (as_text(plain.words), plain.guards) == ("w4", ())
    assert model.batches == [(2, feature_frames(2.0)), (1, careful_feature_frames(2.0))]


@pytest.mark.parametrize(
    ("no_speech", "probability", "is_believed"),
    [(0.9, 0.9, True), (0.7, 0.4, True), (0.7, 0.9, False), (0.5, 0.4, False)],
)
def test_the_model_may_say_that_nobody_speaks(
    directory: Path, no_speech: float, probability: float, is_believed: bool
) -> None:
    """When it is sure, that counts more than its text; else only where its words are doubtful."""
    model = FakeModel([1, 2])
    engine = engine_of(directory, model)
    model.no_speech, model.probability = no_speech, probability
    [transcript] = engine.transcribe([sound(0.1)])
    heard = ("", ("no_speech",)) if is_believed else ("w1 w2", ())
    assert (as_text(transcript.words), transcript.guards) == heard


def test_words_end_where_the_next_one_begins(directory: Path) -> None:
    """Times and probabilities are those of the alignment."""
    (transcript,) = engine_of(directory, FakeModel([1, 2])).transcribe([sound(0.1)])
    assert [(w.start_s, w.end_s) for w in transcript.words] == [(0.0, 0.4), (0.4, 0.8)]
    assert {word.probability for word in transcript.words} == {0.9}


def test_a_text_that_breaks_off_is_read_on_from_there(directory: Path) -> None:
    """Two times at the end say that a segment begins with the second; its words come later."""
    model = FakeModel([1, 2, TIMESTAMP + 40, TIMESTAMP + 45], [3])
    (transcript,) = engine_of(directory, model).transcribe([sound(0.1)])
    heard = [(word.text, round(word.start_s, 2), word.end_s) for word in transcript.words]
    assert heard == [("w1", 0.0, 0.4), ("w2", 0.4, 0.8), ("w3", 0.9, 1.3)]
    assert model.batches == [(1, feature_frames(2.0)), (1, feature_frames(1.1))]


def test_no_word_is_heard_twice_where_a_text_breaks_off(directory: Path) -> None:
    """The model's times are rounded: reading on begins after the last word, wherever they are."""
    model = FakeModel([1, 2, TIMESTAMP + 10, TIMESTAMP + 10], [3])
    (transcript,) = engine_of(directory, model).transcribe([sound(0.1)])
    assert [round(word.end_s, 2) for word in transcript.words] == [0.4, 0.8, 1.2]


@pytest.mark.parametrize(
    ("ending", "seconds"),
    [
        ([TIMESTAMP + 50], 2.0),  # one time: the end of what was said
        ([TIMESTAMP + 80, TIMESTAMP + 80], 2.0),  # 0.4 s are left
        ([TIMESTAMP + 100, TIMESTAMP + 100], 1.0),  # a time outside the window
    ],
)
def test_where_hardly_a_word_is_left_nothing_is_read_on(
    directory: Path, ending: list[int], seconds: float
) -> None:
    """Nor where the model says that it has heard everything."""
    model = FakeModel([1, *ending], [3])
    (transcript,) = engine_of(directory, model).transcribe([sound(0.1, seconds)])
    assert as_text(transcript.words) == "w1"


def test_a_text_of_nothing_but_its_start_is_not_read_on(directory: Path) -> None:
    """What begins at 0 s is the window itself: that would never end."""
    model = FakeModel(*[[TIMESTAMP]] * 5)
    (transcript,) = engine_of(directory, model).transcribe([sound(0.1)])
    assert (as_text(transcript.words), len(model.batches)) == ("", 1)


def test_a_look_in_doubt_is_not_read_again(directory: Path) -> None:
    """Another look follows before a second reading would be done."""
    model = FakeModel([1, 2] * 4, again=[3])
    look = AudioWindow(sound(0.1).samples, is_look=True)
    (transcript,) = engine_of(directory, model).transcribe([look])
    assert (transcript.words, transcript.guards) == ((), ("repeated_ngram", "look_dropped"))


def test_what_is_read_on_is_guarded_with_the_rest(directory: Path) -> None:
    """A rest in which nobody speaks brings no words, and a loop there is read again, whole."""
    breaks_off = [1, TIMESTAMP + 45, TIMESTAMP + 45]
    model = FakeModel(breaks_off, [2, 3] * 4, again=[4])
    (transcript,) = engine_of(directory, model).transcribe([sound(0.1)])
    assert (as_text(transcript.words), transcript.guards) == ("w4", ("repeated_ngram", "retried"))


def test_a_failed_inference_is_an_engine_error(directory: Path) -> None:
    """The worker hears of it and can throw the engine away."""
    model = FakeModel([1])
    engine = engine_of(directory, model)
    model.fails = True
    with pytest.raises(EngineError, match="failed to transcribe: out of memory"):
        engine.transcribe([sound(0.1)])


def test_abort_counts_after_the_running_step_and_never_when_idle(directory: Path) -> None:
    """Idle, nothing happens; while a text is generated, no alignment follows."""
    model = FakeModel([1], [2], [3])
    engine = engine_of(directory, model)
    engine.abort()
    assert texts_of(engine.transcribe([sound(0.1)])) == ["w1"]
    model.during_generate = engine.abort
    with pytest.raises(EngineError, match="aborted"):
        engine.transcribe([sound(0.1)])
    model.during_generate = lambda: None
    assert texts_of(engine.transcribe([sound(0.1)])) == ["w3"]


def test_close_frees_the_memory_and_may_come_twice(directory: Path) -> None:
    """A closed engine refuses to work."""
    model = FakeModel()
    engine = engine_of(directory, model)
    engine.close()
    engine.close()
    assert model.unloaded
    with pytest.raises(EngineError, match="not loaded"):
        engine.transcribe([sound(0.1)])


def test_a_missing_or_damaged_model_is_one_sentence(directory: Path, tmp_path: Path) -> None:
    """The directory is named; nothing crashes."""
    with pytest.raises(EngineError, match=r"there is no CTranslate2 model in .*absent"):
        ctranslate2.CTranslate2Engine(tmp_path / "absent").load()
    with pytest.raises(EngineError, match=f"cannot load {directory}"):
        ctranslate2.CTranslate2Engine(directory).load()


def test_a_gpu_that_cannot_be_used_leaves_the_cpu(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver is broken, or memory is short there: one warning for all contexts."""
    devices: list[str] = []

    def open_model(_: Path, device: str, *__: int) -> FakeModel:
        devices.append(device)
        if device == "cuda":
            raise EngineError("CUDA driver version is insufficient")
        return FakeModel()

    warn_of_gpu.cache_clear()
    for _ in range(2):
        ctranslate2.CTranslate2Engine(directory, device="cuda", open_model=open_model).load()
    assert devices == ["cuda", "cpu", "cuda", "cpu"]
    (warning,) = caplog.messages
    assert "GPU 0 cannot be used, so the CPU computes: CUDA driver version" in warning


def test_thorough_windows_weigh_several_texts(directory: Path) -> None:
    """In batches of their own, whose windows may all say as much: beams weigh what may follow."""
    model = FakeModel()
    lengths_s = (6.0, 6.0, 6.3, 6.0)
    hurried, *unhurried = [sound(0.1, length_s) for length_s in lengths_s]
    windows = [hurried, *(replace(window, thorough=True) for window in unhurried)]
    engine_of(directory, model).transcribe(windows)
    assert sorted(zip(model.beams, model.caps, strict=True)) == [(1, 64), (3, 64), (3, 67)]


# --- which engine transcribes --------------------------------------------------------------------


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Path:
    """CTranslate2 weights of every model, ggml weights too, and no Metal."""
    monkeypatch.setattr("service.settings.has_metal", lambda: False)
    monkeypatch.setattr(engine_choice, "resolve", Path)
    monkeypatch.setattr(engine_choice, "ctranslate2_directory", lambda _: directory)
    return directory


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("given", "name", "batch"),
    [
        ({}, "ctranslate2", 4),
        ({"engine": "ctranslate2"}, "ctranslate2", 4),
        ({"engine": "whispercpp"}, "whispercpp", 1),
        ({"mode": "chunk"}, "whispercpp", 1),
        ({"gpu": "on"}, "whispercpp", 1),
    ],
)
def test_auto_takes_what_is_fastest_here(given: dict[str, Any], name: str, batch: int) -> None:
    """whisper.cpp for a GPU and for the field's way, else CTranslate2, in batches."""
    choice = choose_engine(load_settings(given), "any")
    assert (choice.name, choice.max_batch) == (name, batch)
    assert choice.make().max_batch == batch


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("given", "cuda", "contexts"),
    [
        ({}, True, 1),
        ({}, False, available_cores()),
        ({"gpu": "off"}, True, available_cores()),
        ({"engine": "ctranslate2", "gpu": "on"}, False, available_cores()),
    ],
)
def test_one_context_for_a_gpu_that_ctranslate2_finds(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], cuda: bool, contexts: int
) -> None:
    """Each more would need its own copy of the weights there; a core has a context of its own."""
    monkeypatch.setattr(native, "finds_gpu", lambda: cuda)
    assert choose_engine(load_settings(given), "any").contexts == contexts


@pytest.mark.usefixtures("weights")
def test_a_gpu_that_ctranslate2_finds_is_not_left_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for a GPU gets the engine that has one; whisper.cpp's wheel for Linux has not."""
    monkeypatch.setattr(native, "finds_gpu", lambda: True)
    assert choose_engine(load_settings({"gpu": "on"}), "any").name == "ctranslate2"


def test_ctranslate2_does_not_decode_as_the_field_did() -> None:
    """It takes 30 s at most, and a chunk of the wire may be longer: nothing may be cut off."""
    settings = load_settings({"engine": "ctranslate2", "mode": "chunk"})
    with pytest.raises(ConfigError, match=r"'ctranslate2' with mode 'chunk'.* leave engine"):
        choose_engine(settings, "tiny.en")


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("given", "threads"),
    [({"gpu": "on"}, available_cores()), ({"gpu": "on", "threads": 1}, 1), ({"gpu": "off"}, 1)],
)
def test_the_one_context_of_a_gpu_has_all_cores(given: dict[str, Any], threads: int) -> None:
    """Should the GPU fail, the CPU computes: with one thread one core would serve everybody."""
    settings = load_settings(given | {"engine": "whispercpp"})
    made = choose_engine(settings, "any").make
    assert isinstance(made, partial)
    assert made.keywords["threads"] == threads


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({}, "tiny.en-q8_0"),
        ({"gpu": "on"}, "tiny.en"),
        ({"mode": "chunk"}, "tiny.en"),
        ({"model": "small.en"}, "small.en"),
    ],
)
def test_without_a_gpu_whispercpp_has_light_weights(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], weights: str
) -> None:
    """Of a model that is in a wheel, and not in the field's way."""
    asked: list[str] = []
    monkeypatch.setattr(engine_choice, "resolve", lambda model: asked.append(model) or Path(model))
    monkeypatch.setattr(engine_choice, "size_of", lambda path: 0)
    monkeypatch.setattr(Wheel, "folders", lambda wheel: [Path("here")])
    settings = load_settings(given | {"engine": "whispercpp"})
    choose_engine(settings, settings.model or "tiny.en")
    assert asked == [weights]


@pytest.mark.usefixtures("weights")
def test_without_ctranslate2_auto_says_why_and_an_order_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log; who asked for CTranslate2 by name learns how to install it."""
    monkeypatch.setattr(engine_choice, "_is_installed", lambda: False)
    with caplog.at_level("INFO"):
        assert choose_engine(load_settings({}), "any").name == "whispercpp"
    assert caplog.messages == ["whisper.cpp transcribes: CTranslate2 is not installed"]
    with pytest.raises(ConfigError, match=r"pip install 'callfsm\[ctranslate2\]'"):
        choose_engine(load_settings({"engine": "ctranslate2"}), "any")


@pytest.mark.usefixtures("weights")
def test_a_model_that_only_whispercpp_reads_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A ggml file is no fault; it decides for whisper.cpp."""
    monkeypatch.setattr(engine_choice, "ctranslate2_directory", ctranslate2_directory)
    model = tmp_path / "ggml-small.bin"
    model.touch()
    with caplog.at_level("INFO"):
        assert choose_engine(load_settings({}), str(model)).name == "whispercpp"
    assert caplog.messages == [
        f"whisper.cpp transcribes: CTranslate2 cannot read {model}, a ggml file"
    ]


# --- the real model on real speech ---------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    """Whisper tiny.en on the CPU."""
    try:
        path = ctranslate2_directory("tiny.en")
    except WeightsError as error:
        pytest.skip(str(error))
    engine = ctranslate2.CTranslate2Engine(path, device="cpu")
    engine.load()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def phrases() -> list[tuple[str, AudioWindow]]:
    """What is said, and the window of it: the recorded prompts, else the synthetic voice."""
    return [
        (
            phrase.text,
            AudioWindow(
                call.samples[
                    round(phrase.start_s * SAMPLE_RATE_HZ) : round(phrase.end_s * SAMPLE_RATE_HZ)
                ]
            ),
        )
        for call in demo_calls(4, 30.0, seed=5)
        for phrase in call.phrases
    ]


@pytest.fixture(scope="module")
def windows() -> list[AudioWindow]:
    """200 windows of 1 to 12 s, cut out of calls without regard to the words."""
    rng = np.random.default_rng(3)
    calls = demo_calls(8, 60.0, seed=9)
    cut = []
    for index in range(200):
        samples = calls[index % len(calls)].samples
        length = round(rng.uniform(1.0, 12.0) * SAMPLE_RATE_HZ)
        start = int(rng.integers(len(samples) - length))
        cut.append(AudioWindow(samples[start : start + length]))
    return cut


@pytest.mark.model
def test_sentences_come_out_right(engine: Any, phrases: list[tuple[str, AudioWindow]]) -> None:
    """Nine words of ten, with case and punctuation as the model prints them."""
    from service.speech.wer import word_errors

    heard = engine.transcribe([window for _, window in phrases])
    said = " ".join(text for text, _ in phrases)
    text = " ".join(texts_of(heard))
    assert word_errors(said, text).wer < 0.1
    assert "." in text
    assert text != text.lower()
    for transcript, (_, window) in zip(heard, phrases, strict=True):
        ends_s = [word.end_s for word in transcript.words]
        assert ends_s == sorted(ends_s)
        assert ends_s[-1] <= window.duration_s


@pytest.mark.model
@pytest.mark.parametrize("thorough", [False, True])
def test_no_window_depends_on_its_batch_mates(
    engine: Any, windows: list[AudioWindow], thorough: bool
) -> None:
    """200 windows alone and in batches of four: the same words, and the same guards."""
    windows = [replace(window, thorough=thorough) for window in windows]
    alone = [engine.transcribe([window])[0] for window in windows]
    batched = [t for i in range(0, len(windows), 4) for t in engine.transcribe(windows[i : i + 4])]
    different = [
        index
        for index, (one, other) in enumerate(zip(alone, batched, strict=True))
        if (as_text(one.words), one.guards) != (as_text(other.words), other.guards)
    ]
    assert different == []
    assert sum(bool(transcript.words) for transcript in alone) > 150


@pytest.mark.model
def test_no_word_of_one_call_reaches_another(
    engine: Any, phrases: list[tuple[str, AudioWindow]]
) -> None:
    """A window reads the same first thing, and after other audio through the same engine."""
    (_, others), *rest = phrases[:4]
    alone = []
    for _, window in rest:
        engine.load()
        alone.append(engine.transcribe([window])[0].words)
    for (_, window), expected in zip(rest, alone, strict=True):
        engine.transcribe([others])
        assert engine.transcribe([window])[0].words == expected


@pytest.mark.model
def test_silence_noise_and_tones_give_no_words(engine: Any) -> None:
    """What Whisper says about them ("you", "I'm", ". . .") is not forwarded."""
    rng = np.random.default_rng(1)
    times_s = np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    sounds = [rng.normal(0.0, rms, len(times_s)) for rms in (0.0, 0.0005, 0.01, 0.1)]
    sounds += [0.05 * np.sin(2 * np.pi * hz * times_s) for hz in (50, 440, 1000)]
    heard = engine.transcribe([AudioWindow(sound.astype(np.float32)) for sound in sounds])
    assert texts_of(heard) == [""] * len(sounds)


@pytest.mark.model
def test_abort_ends_a_running_inference(
    engine: Any, phrases: list[tuple[str, AudioWindow]]
) -> None:
    """A minute's work raises after the step it is at; the engine works on."""
    window = phrases[0][1]
    assert errors_when_aborted(engine, [window] * 400) == ["aborted"]
    assert engine.transcribe([window])[0].words


@pytest.mark.model
@pytest.mark.parametrize("sound_of", NON_SPEECH.values(), ids=NON_SPEECH)
def test_sounds_of_a_line_are_no_words(engine: Any, sound_of: Callable[[float], Any]) -> None:
    """By the model's own judgement, or because they are digital silence."""
    (transcript,) = engine.transcribe([AudioWindow(sound_of(3.0))])
    assert transcript.words == ()
    assert not transcript.guards or transcript.guards[0] in {"silence", "no_speech", "improbable"}


@pytest.mark.model
def test_a_run_away_text_is_read_again(engine: Any) -> None:
    """A prompt that this model is known to repeat until the cap comes out once."""
    from service.speech import prompts
    from service.speech.audio_file import read_audio

    if not prompts.available():
        pytest.skip("needs the Debian package asterisk-core-sounds-en-wav")
    (prompt,) = (prompt for prompt in prompts.prompts() if prompt.text == "Speed-dial.")
    samples = read_audio(prompt.path)
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    margin = SAMPLE_RATE_HZ // 4
    window = AudioWindow(samples[max(0, loud[0] - margin) : loud[-1] + 1 + margin])
    (transcript,) = engine.transcribe([window])
    assert as_text(transcript.words).lower() == "speed dial."
    assert transcript.guards == ("token_cap", "retried")
