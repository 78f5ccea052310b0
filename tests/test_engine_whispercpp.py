"""The whisper.cpp engine: right words, right times, nothing invented, nothing leaked, no crash."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_checks import errors_when_aborted
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import EngineError
from callfsm.inference.engine import AudioWindow, Transcript
from callfsm.words import Word, as_text
from service.engines.context import Context, ContextOptions, Decoded
from service.engines.decoding import (
    FULL_CONTEXT,
    Decoding,
    audio_context,
    first_pass,
    padded,
    second_pass,
    token_cap,
)
from service.engines.fake import ScriptedEngine
from service.engines.ggml_model import alignment_heads, read_hyper_parameters
from service.engines.guards import (
    Reading,
    agree,
    guarded,
    is_loop,
    suspicion,
    without_annotations,
    without_overrun,
)
from service.engines.tokens import MAX_WORD_S, Token, words_of
from service.engines.whispercpp import GpuSettings, WhisperCppEngine
from service.speech import prompts
from service.speech.audio_file import read_audio
from service.speech.corpus import QUIET
from service.weights.errors import WeightsError
from service.weights.ggml_writer import HyperParameters, write_head, write_tensor
from service.weights.resolve import resolve

TINY_EN = HyperParameters(51_864, 1500, 384, 6, 4, 448, 384, 6, 4, 80)
SOUND = AudioWindow(np.full(2 * SAMPLE_RATE_HZ, 0.1, np.float32))


# --- audio context, token cap, padding -----------------------------------------------------------


@pytest.mark.parametrize("duration_s", [0.1, 1.0, 5.0, 7.3, 9.9, 29.9, 31.0])
def test_context_covers_the_audio_in_whole_steps(duration_s: float) -> None:
    """The context has room for the audio and a margin, and a size that is safe to use."""
    for flash, step in ((False, 64), (True, 256)):
        context = audio_context(duration_s, flash=flash)
        assert context == FULL_CONTEXT or context % step == 0
        assert context == FULL_CONTEXT or context >= 50 * duration_s + 64
        careful = second_pass(duration_s, flash=flash).audio_context
        assert careful == FULL_CONTEXT or careful % step == 0
        assert careful == FULL_CONTEXT or careful >= context + 256


def test_a_longer_window_may_hold_more_tokens() -> None:
    """The token cap grows with the audio, and the fastest speech stays below it."""
    assert token_cap(1.0) < token_cap(5.0)
    assert token_cap(5.0) > 5.0 * 7


def test_padding_keeps_the_audio_and_its_type() -> None:
    """A window too short for whisper.cpp gets silence behind it; a longer one stays as it is."""
    short, long = np.full(160, 0.5, np.float32), np.full(40_000, 0.5, np.float32)
    assert len(padded(short)) == SAMPLE_RATE_HZ
    assert np.array_equal(padded(short)[:160], short)
    assert not padded(short)[160:].any()
    assert np.array_equal(padded(long[::2]), long[::2])
    assert padded(long[::2]).flags.c_contiguous


# --- tokens to words -----------------------------------------------------------------------------


def token(text: str | bytes, end_s: float | None = None, probability: float = 0.9) -> Token:
    return Token(text.encode() if isinstance(text, str) else text, probability, end_s)


def test_a_space_begins_a_word_and_anything_else_continues_it() -> None:
    """Word pieces and punctuation join the word they follow."""
    tokens = [token(" un"), token("avail"), token("able"), token(","), token(" I"), token("'m")]
    assert [word.text for word in words_of(tokens, 5.0)] == ["unavailable,", "I'm"]


def test_letters_split_over_tokens_are_joined_before_decoding() -> None:
    """An é whose two bytes are two tokens is one letter; stray bytes vanish."""
    tokens = [token(" caf"), token(b"\xc3"), token(b"\xa9"), token(b" \xff")]
    assert [word.text for word in words_of(tokens, 5.0)] == ["café"]


def test_word_times_follow_each_other_inside_the_window() -> None:
    """A word starts where the one before ends, ends at its last letter, and stays in the window."""
    tokens = [token(" one", 0.5), token(",", 1.4), token(" two", 1.9), token(" three", 9.0)]
    one, two, three = words_of(tokens, 4.0)
    assert (one.start_s, one.end_s) == (0.0, 0.5)
    assert (two.start_s, two.end_s) == pytest.approx((1.9 - MAX_WORD_S, 1.9))
    assert (three.start_s, three.end_s) == pytest.approx((4.0 - MAX_WORD_S, 4.0))


def test_times_that_run_backwards_are_straightened() -> None:
    """A word that the alignment puts before its predecessor, or nowhere, keeps the order."""
    words = words_of([token(" a", 2.0), token(" b", 1.0), token(" c", None)], 5.0)
    assert [word.end_s for word in words] == [2.0, 2.0, 2.0]
    assert all(word.start_s <= word.end_s for word in words)


def test_a_word_is_as_sure_as_its_least_sure_token() -> None:
    """The probability of a word is the lowest of its tokens."""
    (word,) = words_of([token(" con", 1.0, 0.9), token("ference", 1.2, 0.4)], 2.0)
    assert word.probability == 0.4


# --- guards --------------------------------------------------------------------------------------


def words(text: str, probability: float = 0.9) -> tuple[Word, ...]:
    return tuple(Word(t, 0.1 * i, 0.1 * i + 0.1, probability) for i, t in enumerate(text.split()))


@pytest.mark.parametrize(
    "text",
    [
        "ask not to ask not to ask not to ask",
        "no no no no no no",
        "well then thank you thank you thank you and bye",
        "one two three four five six seven " * 3,
    ],
)
def test_a_phrase_over_and_over_is_a_loop(text: str) -> None:
    """Three copies of a phrase in a row, six of a word, are what a decoder does when it is lost."""
    assert is_loop(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no no no",
        "seven seven seven seven",
        "bye bye bye bye",
        "press one for sales press two for support press three for help",
        "to be or not to be",
    ],
)
def test_genuine_repetition_is_no_loop(text: str) -> None:
    """People say things two or three times, and spell out numbers."""
    assert not is_loop(text.split())


def test_each_doubt_has_its_name() -> None:
    """Token cap, loop, impossible speed and improbable words are told apart."""
    assert suspicion(words("hello there"), 1.0) is None
    assert suspicion((), 5.0, capped=True) is None
    assert suspicion(words("hello"), 1.0, capped=True) == "token_cap"
    assert suspicion(words("no, No no. NO no no"), 5.0) == "repeated_ngram"
    assert suspicion(words("a b c d e f g h i j k l m n"), 1.0) == "too_fast"
    assert suspicion(words("thank you", probability=0.1), 2.0) == "improbable"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("[BLANK_AUDIO]", ""),
        ("hello (upbeat music) there", "hello there"),
        ("♪ la la ♪", "la la"),
        ("*sighs* yes.", "yes."),
        ("(keyboard clicking", ""),
        ("- Really?", "Really?"),
        ("call 555-1234 [beep]", "call 555-1234"),
    ],
)
def test_noises_put_in_words_are_dropped(text: str, kept: str) -> None:
    """Annotations go, whatever they span; what was said stays as it is."""
    assert as_text(without_annotations(words(text))) == kept


def test_readings_agree_whatever_their_punctuation() -> None:
    """Case and punctuation do not make a difference, words do."""
    assert agree(words("No, no!"), words("no no"))
    assert not agree(words("no no"), words("no no no"))


# --- which model a file holds --------------------------------------------------------------------


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A ggml file with the head of tiny.en and no weights."""
    path = tmp_path / "ggml-tiny.en.bin"
    with path.open("wb") as file:
        write_head(file, TINY_EN, np.zeros((80, 201), np.float32), [b"a", b"b"])
    return path


def sizes(vocabulary: int, audio_layers: int, text_layers: int, mels: int = 80) -> HyperParameters:
    return HyperParameters(vocabulary, 1500, 384, 6, audio_layers, 448, 384, 6, text_layers, mels)


@pytest.mark.parametrize(
    ("model", "name", "heads"),
    [
        (sizes(51_864, 4, 4), "x", "TINY_EN"),
        (sizes(51_865, 6, 6), "x", "BASE"),
        (sizes(51_865, 32, 32), "ggml-large-v1.bin", "LARGE_V1"),
        (sizes(51_865, 32, 32), "ggml-large-v2.bin", "LARGE_V2"),
        (sizes(51_866, 32, 32, 128), "x", "LARGE_V3"),
        (sizes(51_866, 32, 4, 128), "x", "LARGE_V3_TURBO"),
        (sizes(51_864, 12, 2), "distil", None),
        (sizes(51_865, 32, 2), "distil", None),
        (sizes(51_865, 5, 5), "x", None),
    ],
)
def test_alignment_heads_of_published_models(
    model: HyperParameters, name: str, heads: str | None
) -> None:
    """The sizes tell the published models apart; for others there are no known heads."""
    assert alignment_heads(model, name) == heads


def test_sizes_are_read_from_the_file(model_file: Path) -> None:
    """What was written is read back."""
    assert read_hyper_parameters(model_file) == TINY_EN


# --- the engine around a fake context ------------------------------------------------------------


FIRST_TIMESTAMP = 50_363


class FakeContext:
    """A context that gives out texts; it knows what was asked of it."""

    def __init__(self, texts: list[str], *, on_gpu: bool = False) -> None:
        self.texts = texts
        self.on_gpu = on_gpu
        self.asked: list[Decoding] = []
        self.heard_s: list[float] = []
        self.freed = False

    def decode(
        self,
        samples: NDArray[np.float32],
        decoding: Decoding,
        aborted: Callable[[], bool],
    ) -> Decoded:
        self.asked.append(decoding)
        text = self.texts.pop(0) if self.texts else ""
        self.heard_s.append(len(samples) / SAMPLE_RATE_HZ)
        if text == "<fails>":
            raise EngineError("whisper.cpp failed to transcribe: status -6")
        words, breaks_off, at_s = text.partition(" breaks off at ")
        end = FIRST_TIMESTAMP + round(50 * float(at_s or 0.0))
        return Decoded(
            tuple(Token(f" {t}".encode(), 0.9, None) for t in words.split()),
            text == "<capped>",
            (1, 2, end, end) if breaks_off else (1, 2, FIRST_TIMESTAMP),
            FIRST_TIMESTAMP,
        )

    def free(self) -> None:
        self.freed = True


def engine_of(
    model_file: Path, *texts: str, full_context: bool = False
) -> tuple[WhisperCppEngine, FakeContext]:
    """A loaded engine whose passes after the warm-up give `texts`."""
    context = FakeContext(["", *texts])
    engine = WhisperCppEngine(
        model_file,
        gpu=GpuSettings("off"),
        open_context=lambda path, options: context,
        full_context=full_context,
    )
    engine.load()
    context.asked.clear()
    context.heard_s.clear()
    return engine, context


def test_a_plausible_text_takes_one_pass(model_file: Path) -> None:
    """The cheap pass is enough when no guard objects."""
    engine, context = engine_of(model_file, "hello there")
    (transcript,) = engine.transcribe([SOUND])
    assert as_text(transcript.words) == "hello there"
    assert transcript.guards == ()
    assert context.asked == [first_pass(2.0, flash=False)]


def test_a_doubted_text_is_read_again_with_more_context(model_file: Path) -> None:
    """The second reading wins, and the counters learn of it."""
    engine, context = engine_of(model_file, "go to go to go to go to", "go to sleep")
    (transcript,) = engine.transcribe([SOUND])
    assert as_text(transcript.words) == "go to sleep"
    assert transcript.guards == ("repeated_ngram", "retried")
    assert context.asked == [first_pass(2.0, flash=False), second_pass(2.0, flash=False)]


def test_a_text_that_breaks_off_is_read_on(model_file: Path) -> None:
    """By the same kind of pass, from the time it names, until half a second is left."""
    engine, context = engine_of(
        model_file, "one two breaks off at 0.8", "three breaks off at 0.9", "never heard"
    )
    (transcript,) = engine.transcribe([SOUND])
    assert as_text(transcript.words) == "one two three"
    assert context.heard_s == [2.0, pytest.approx(1.2)]
    assert context.asked == [first_pass(2.0, flash=False), first_pass(1.2, flash=False)]


def test_a_doubted_text_is_read_on_in_its_second_reading(model_file: Path) -> None:
    """What is left of the window gets the careful pass, too."""
    engine, context = engine_of(
        model_file, "go to go to go to go to", "go breaks off at 0.8", "to sleep"
    )
    (transcript,) = engine.transcribe([SOUND])
    assert as_text(transcript.words) == "go to sleep"
    assert context.asked[1:] == [second_pass(2.0, flash=False), second_pass(1.2, flash=False)]


def test_a_look_in_doubt_is_not_read_again(model_file: Path) -> None:
    """Another look follows before a second reading would be done."""
    engine, context = engine_of(model_file, "go to go to go to go to", "go to sleep")
    (transcript,) = engine.transcribe([AudioWindow(SOUND.samples, is_look=True)])
    assert (transcript.words, transcript.guards) == ((), ("repeated_ngram", "look_dropped"))
    assert len(context.asked) == 1


def test_a_text_doubted_twice_is_dropped(model_file: Path) -> None:
    """Nothing is better than an invention; the report names both doubts."""
    engine, _ = engine_of(model_file, "<capped>", "no no no no no no no")
    (transcript,) = engine.transcribe([SOUND])
    assert transcript.words == ()
    assert transcript.guards == ("token_cap", "retried", "repeated_ngram", "dropped")


def test_a_repetition_that_both_passes_hear_is_kept(model_file: Path) -> None:
    """Somebody may say "no" six times."""
    engine, _ = engine_of(model_file, "no no no no no no", "No, no, no, no, no, no.")
    (transcript,) = engine.transcribe([SOUND])
    assert len(transcript.words) == 6
    assert transcript.guards == ("repeated_ngram", "retried", "agreed")


def test_silence_is_not_inferred(model_file: Path) -> None:
    """Whisper hears words in digital silence, so it does not get to hear it."""
    engine, context = engine_of(model_file, "you")
    faint = np.full(SAMPLE_RATE_HZ, 0.0005, np.float32)
    for samples in (np.zeros(0, np.float32), np.zeros(SAMPLE_RATE_HZ, np.float32), faint):
        (transcript,) = engine.transcribe([AudioWindow(samples)])
        assert (transcript.words, transcript.guards) == ((), ("silence",))
    assert not context.asked


def test_the_baseline_uses_the_whole_context_and_no_guard(model_file: Path) -> None:
    """`full_context` does what the service in the field does."""
    engine, context = engine_of(model_file, "go to go to go to go to", full_context=True)
    (transcript,) = engine.transcribe([SOUND])
    assert len(transcript.words) == 8
    assert [decoding.audio_context for decoding in context.asked] == [FULL_CONTEXT]


def test_a_failed_inference_is_an_engine_error(model_file: Path) -> None:
    """The worker hears of it and can throw the engine away."""
    engine, _ = engine_of(model_file, "<fails>")
    with pytest.raises(EngineError, match="status -6"):
        engine.transcribe([SOUND])


def test_abort_when_idle_does_nothing(model_file: Path) -> None:
    """The next window is transcribed as if nobody had called."""
    engine, _ = engine_of(model_file, "hello")
    engine.abort()
    assert as_text(engine.transcribe([SOUND])[0].words) == "hello"


def test_close_frees_the_memory_once(model_file: Path) -> None:
    """A closed engine refuses to work and can be closed again."""
    engine, context = engine_of(model_file)
    engine.close()
    engine.close()
    assert context.freed
    with pytest.raises(EngineError, match="not loaded"):
        engine.transcribe([SOUND])


# --- GPU -----------------------------------------------------------------------------------------


class Gpu:
    """Opens contexts as a machine with or without a working GPU would."""

    def __init__(self, *, present: bool = True, fails: str = "", warm_up_fails: bool = False):
        self.present, self.fails, self.warm_up_fails = present, fails, warm_up_fails
        self.opened: list[ContextOptions] = []

    def __call__(self, path: Path, options: ContextOptions) -> Context:
        self.opened.append(options)
        if options.gpu and self.fails:
            raise EngineError(self.fails)
        texts = ["<fails>"] if options.gpu and self.warm_up_fails else []
        return FakeContext(texts, on_gpu=options.gpu and self.present)


def test_a_gpu_is_used_with_flash_attention_and_without_dtw(model_file: Path) -> None:
    """On a GPU flash attention pays, and it excludes DTW times."""
    gpu = Gpu()
    WhisperCppEngine(model_file, gpu=GpuSettings(device=1), open_context=gpu).load()
    (options,) = gpu.opened
    assert (options.gpu, options.gpu_device) == (True, 1)
    assert options.flash_attention
    assert options.alignment_heads is None


def test_without_a_gpu_the_cpu_aligns_words(
    model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`auto` takes the CPU, DTW times and no flash attention, and says nothing."""
    gpu = Gpu(present=False)
    WhisperCppEngine(model_file, open_context=gpu).load()
    assert not gpu.opened[-1].gpu
    assert not gpu.opened[-1].flash_attention
    assert gpu.opened[-1].alignment_heads == "TINY_EN"
    assert not caplog.records


@pytest.mark.parametrize("broken", [Gpu(fails="out of memory"), Gpu(warm_up_fails=True)])
def test_a_gpu_that_fails_leaves_one_warning_and_a_working_engine(
    model_file: Path, caplog: pytest.LogCaptureFixture, broken: Gpu
) -> None:
    """Two workers meet the same broken GPU: both run on the CPU, the operator reads it once."""
    for _ in range(2):
        engine = WhisperCppEngine(model_file, gpu=GpuSettings("on"), open_context=broken)
        engine.load()
        assert len(engine.transcribe([SOUND])) == 1
    assert not broken.opened[-1].gpu
    (warning,) = caplog.records
    assert "the CPU computes" in warning.message


def test_flash_attention_can_be_chosen_on_a_cpu(model_file: Path) -> None:
    """An override wins over the rule, and keeps to the context sizes that are safe with it."""
    gpu = Gpu()
    engine = WhisperCppEngine(
        model_file, gpu=GpuSettings("off", flash_attention=True), open_context=gpu
    )
    engine.load()
    assert gpu.opened[0].flash_attention
    assert gpu.opened[0].alignment_heads is None


# --- files that are no model ---------------------------------------------------------------------


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """The operator reads which file it is."""
    with pytest.raises(EngineError, match=r"absent\.bin"):
        WhisperCppEngine(tmp_path / "absent.bin").load()


@pytest.mark.parametrize("content", [b"", b"not a model at all" * 100])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    """whisper.cpp would crash the process on it."""
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"bad\.bin is not a whole ggml Whisper model"):
        WhisperCppEngine(path).load()


def test_what_the_library_cannot_load_is_an_error_not_a_crash(model_file: Path) -> None:
    """A file in order with foreign weights: the library's handle must not be used."""
    with model_file.open("ab") as file:
        write_tensor(file, "foreign", np.zeros(4, np.float32))
    with pytest.raises(EngineError, match="cannot load"):
        WhisperCppEngine(model_file, gpu=GpuSettings("off")).load()


# --- the scripted engine -------------------------------------------------------------------------


def test_the_scripted_engine_follows_its_script() -> None:
    """Texts become words over the window, transcripts pass, errors are raised, then silence."""
    ready = Transcript(words("as given"), 0.2, ("retried",))
    engine = ScriptedEngine(["one two", ready, EngineError("broken")], max_batch=2)
    first, second = engine.transcribe([SOUND, SOUND])
    assert [(word.text, word.end_s) for word in first.words] == [("one", 1.0), ("two", 2.0)]
    assert second is ready
    with pytest.raises(EngineError, match="broken"):
        engine.transcribe([SOUND])
    assert engine.transcribe([SOUND])[0].words == ()
    assert len(engine.heard) == 4


@pytest.mark.parametrize("finish", ["release", "abort"])
def test_the_scripted_engine_blocks_until_told(finish: str) -> None:
    """A held inference goes on when released and fails when aborted."""
    engine, outcome = ScriptedEngine(["hello"]), []

    def infer() -> None:
        try:
            outcome.append(as_text(engine.transcribe([SOUND])[0].words))
        except EngineError as error:
            outcome.append(str(error))

    engine.hold()
    thread = threading.Thread(target=infer)
    thread.start()
    assert engine.wait_until_running()
    assert not outcome
    getattr(engine, finish)()
    thread.join(5)
    assert outcome == ["hello" if finish == "release" else "aborted"]


def test_the_scripted_engine_can_fail_to_load() -> None:
    """Workers that cannot start are a case to specify too."""
    with pytest.raises(EngineError, match="no weights"):
        ScriptedEngine(load_error=EngineError("no weights")).load()


# --- the real model on real speech ---------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Iterator[WhisperCppEngine]:
    """Whisper tiny.en on the CPU."""
    if not prompts.available():
        pytest.skip("needs the Debian package asterisk-core-sounds-en-wav")
    try:
        path = resolve("tiny.en")
    except WeightsError as error:
        pytest.skip(str(error))
    engine = WhisperCppEngine(path, gpu=GpuSettings("off"))
    engine.load()
    yield engine
    engine.close()


def spoken(*names: str, gap_s: float = 0.1) -> NDArray[np.float32]:
    """The recorded prompts of these names, one after the other."""
    by_name = {prompt.name: prompt.path for prompt in prompts.prompts()}
    gap = np.zeros(round(gap_s * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate([part for name in names for part in (read_audio(by_name[name]), gap)])


@pytest.mark.model
def test_a_sentence_comes_out_right(engine: WhisperCppEngine) -> None:
    """Words, punctuation and case as the model prints them, inside the window's time."""
    window = AudioWindow(spoken("vm-goodbye"))
    (transcript,) = engine.transcribe([window])
    assert as_text(transcript.words).lower().rstrip(".!") == "goodbye"
    assert transcript.guards == ()
    assert transcript.inference_s > 0
    assert all(0 <= w.start_s <= w.end_s <= window.duration_s for w in transcript.words)


@pytest.mark.model
def test_word_ends_are_where_the_words_end(engine: WhisperCppEngine) -> None:
    """Spoken numbers end where their recordings end: 0.3 s at most, 0.2 s on average."""
    recordings = [spoken(f"digits/{n}", gap_s=0.15) for n in (7, 3, 9, 4, 6, 8)]
    ends_s, before = [], 0
    for recording in recordings:
        ends_s.append((before + np.flatnonzero(np.abs(recording) > QUIET)[-1]) / SAMPLE_RATE_HZ)
        before += len(recording)
    (transcript,) = engine.transcribe([AudioWindow(np.concatenate(recordings))])
    assert len(transcript.words) == len(ends_s)
    errors_s = [abs(w.end_s - e) for w, e in zip(transcript.words, ends_s, strict=True)]
    assert max(errors_s) < 0.3
    assert np.mean(errors_s) < 0.2


@pytest.mark.model
def test_no_word_of_one_call_reaches_another(engine: WhisperCppEngine) -> None:
    """A window reads the same first thing, and after other audio through the same context."""
    windows = [AudioWindow(spoken(name)) for name in ("vm-goodbye", "vm-INBOX", "conf-getpin")]
    alone = []
    for window in windows:
        engine.load()
        alone.append(engine.transcribe([window])[0].words)
    others = AudioWindow(spoken("vm-tempgreetactive"))
    for window, expected in zip(windows, alone, strict=True):
        engine.transcribe([others])
        assert engine.transcribe([window])[0].words == expected


@pytest.mark.model
def test_silence_and_noise_give_no_words(engine: WhisperCppEngine) -> None:
    """What Whisper says about silence and hiss ("Thank you.", "[BLANK_AUDIO]") is not forwarded."""
    rng = np.random.default_rng(1)
    for rms in (0.0, 0.0005, 0.01):
        noise = rng.normal(0.0, rms, 3 * SAMPLE_RATE_HZ).astype(np.float32)
        (transcript,) = engine.transcribe([AudioWindow(noise)])
        assert transcript.words == ()


@pytest.mark.model
def test_abort_ends_a_running_inference(engine: WhisperCppEngine) -> None:
    """A batch of a minute's work raises soon after; loaded again, the engine works."""
    window = AudioWindow(spoken("conf-getpin"))
    assert errors_when_aborted(engine, [window] * 200) == ["aborted"]
    engine.load()
    assert engine.transcribe([window])[0].words


def test_no_cap_is_beyond_where_a_decoder_stops_by_itself() -> None:
    """whisper.cpp after 220 tokens: nobody would know that the text ran away."""
    assert first_pass(30.0, flash=False).max_tokens == token_cap(31.0) < 220


@pytest.mark.model
def test_a_text_that_breaks_off_near_the_end_of_its_window_ends_no_process(
    engine: WhisperCppEngine,
) -> None:
    """Of what was left there the library once made an assertion that fails, one window in 3 000."""
    if not prompts.available():
        pytest.skip("needs the Debian package asterisk-core-sounds-en-wav")
    program = (
        "import sys; from pathlib import Path\n"
        "from callfsm.inference.engine import AudioWindow\n"
        "from service.bench.calls import conversations\n"
        "from service.engines.whispercpp import GpuSettings, WhisperCppEngine\n"
        "engine = WhisperCppEngine(Path(sys.argv[1]), gpu=GpuSettings('off'))\n"
        "engine.load()\n"
        "said = conversations(3, 65.0, seed=5)[2].samples[round(60.7652 * 16_000) :]\n"
        "engine.transcribe([AudioWindow(said[: round(2.2458 * 16_000)])])\n"
    )
    done = _run(program, engine.model_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.model
def test_the_interpreter_exits_cleanly_with_a_loaded_engine(engine: WhisperCppEngine) -> None:
    """The library's log callback must not outlive Python; nothing is written to stderr either."""
    program = (
        "import sys; from pathlib import Path\n"
        "from service.engines.whispercpp import GpuSettings, WhisperCppEngine\n"
        "engine = WhisperCppEngine(Path(sys.argv[1]), gpu=GpuSettings('off'))\n"
        "engine.load()\n"
    )
    done = _run(program, engine.model_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _run(program: str, model_path: Path) -> "subprocess.CompletedProcess[str]":
    """A process of its own, which a native library can end."""
    return subprocess.run(
        [sys.executable, "-c", program, str(model_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def timed(text: str, ends: list[float]) -> tuple[Word, ...]:
    """The words of `text`, each from the end of the word before to its own."""
    starts = [0.0, *ends]
    return tuple(
        Word(word, start, end) for word, start, end in zip(text.split(), starts, ends, strict=False)
    )


@pytest.mark.parametrize(
    ("text", "ends", "kept"),
    [
        ("it was paused. It was paused.", [0.4, 0.8, 1.5, 1.6, 1.6, 1.6], 3),
        ("press star now. Press star now.", [0.4, 0.8, 1.3, 1.3, 1.3, 1.42], 3),
        ("hello thousand thousand", [0.5, 1.2, 1.2], 2),
        ("bye bye", [0.3, 0.5], 2),
        ("to lock thank you", [0.5, 1.0, 1.0, 1.0], 2),
        ("the conference", [0.5, 0.5], 2),
        ("no no no", [0.4, 0.8, 1.2], 3),
    ],
)
def test_words_without_time_after_the_speech_go(text: str, ends: list[float], kept: int) -> None:
    """What a decoder says after the speech takes no time, and goes; one late word may be real."""
    words = timed(text, ends)
    assert without_overrun(words) == words[:kept]


def test_words_without_time_in_the_middle_go_in_fours() -> None:
    """A decoder that goes back says much again in no time; one, two or three words can be real."""
    for said_again, kept in ((3, "press one to go press one to now"), (4, "press one to go now")):
        again = timed("press one to go press one to go now", [0.3, 0.6, 0.8, 1.2, *[1.2] * 4, 1.6])
        words = (*again[:4], *again[4 : 4 + said_again], again[-1])
        assert as_text(without_overrun(words)) == kept


def test_a_dropped_overrun_is_reported() -> None:
    """The guard that drops an overrun is named, so that it is counted; nothing is read again."""
    reading = Reading(timed("is paused is paused", [0.4, 1.0, 1.0, 1.0]), 1.2)
    words, guards = guarded(reading, lambda: pytest.fail("read again"))
    assert (as_text(words), guards) == ("is paused", ("overrun",))


@pytest.mark.parametrize(
    ("first", "second", "heard", "acted"),
    [
        ("choice transfer transfer", "choice transfer", "choice transfer", ()),
        ("choice transfer transfer", "in valid choice", "in valid choice", ()),
        ("bye bye", "Bye, bye.", "bye bye", ("agreed",)),
        ("no no no", "no no", "no no no", ("agreed",)),
        ("bye bye", "", "bye bye", ()),
        ("bye bye", "bye " * 20, "bye bye", ()),
        ("press one press one", "press one", "press one", ()),
    ],
)
def test_an_echo_stays_unless_a_second_reading_is_sure(
    first: str, second: str, heard: str, acted: tuple[str, ...]
) -> None:
    """A text that says its last words twice is read again: what both say twice was said twice."""
    kept, guards = guarded(Reading(words(first), 5.0), lambda: Reading(words(second), 5.0))
    assert (as_text(kept), guards) == (heard, ("echo", "retried", *acted))


def test_a_look_leaves_an_echo_to_the_next() -> None:
    """It is not read again: another look at the same speech follows at once."""
    kept, guards = guarded(Reading(words("choice transfer transfer"), 5.0), None)
    assert (as_text(kept), guards) == ("choice transfer", ("echo",))


def test_words_said_again_later_are_no_echo() -> None:
    """Only what ends the text, and follows itself at once."""
    for text in ("no no not now", "one to one", "seven seven four", "hello"):
        kept, guards = guarded(Reading(words(text), 5.0), lambda: pytest.fail("read again"))
        assert (as_text(kept), guards) == (text, ())


def test_what_a_second_reading_loses_is_reported_too() -> None:
    """By the model's judgement nobody speaks, or it ran past the speech again: both are counted."""
    loop = Reading(words("no " * 6), 5.0)
    nobody = Reading(words("thank you"), 5.0, no_speech=True)
    assert guarded(loop, lambda: nobody) == ((), ("repeated_ngram", "retried", "no_speech"))
    overrun = Reading(timed("is paused is paused", [0.4, 1.0, 1.0, 1.0]), 1.2)
    heard, guards = guarded(loop, lambda: overrun)
    assert (as_text(heard), guards) == ("is paused", ("repeated_ngram", "retried", "overrun"))


def test_noises_put_in_words_are_reported() -> None:
    """The guard that drops them is named; a noise beside speech takes nothing else with it."""
    heard, guards = guarded(
        Reading(words("hello (music) there"), 2.0), lambda: pytest.fail("again")
    )
    assert (as_text(heard), guards) == ("hello there", ("annotation",))
