"""Speech material and scoring: what the demo plays, and how its text is judged."""

import gzip
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callfsm.errors import ConfigError
from service.speech import corpus, prompts, voice
from service.speech.audio_file import read_audio
from service.speech.corpus import SpokenCall, continuous, demo_calls, prompt_calls, write_f32_dir
from service.speech.scripts import PROMPT_SCRIPTS, SENTENCES
from service.speech.telephone import mu_law_round_trip, telephone
from service.speech.wer import WordErrors, normalize, word_errors

MAKEFILE = Path(__file__).parents[1] / "Makefile"
SPOKEN_WORD_S = 0.25


def tone(hz: float, seconds: float = 0.5, rate_hz: int = 16_000) -> NDArray[np.float32]:
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * hz * at_s)).astype(np.float32)


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.fixture
def tone_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A voice that needs no model: a tone as long as the sentence has words."""
    monkeypatch.setattr(
        corpus, "synthesize", lambda text: tone(1_000, SPOKEN_WORD_S * len(text.split()))
    )


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small prompt package: three prompts, a letter, a tone, and a text without audio."""
    sounds, transcript = tmp_path / "sounds", tmp_path / "core.txt.gz"
    (sounds / "letters").mkdir(parents=True)
    for name in ("hello", "pound", "folder", "letters/y", "beep"):
        soundfile.write(sounds / f"{name}.wav", tone(500, 0.5, 8_000), 8_000)
    transcript.write_bytes(
        gzip.compress(
            b"; a comment\n\nhello: Hello: who is  calling?\npound: press # thru *\n"
            b"folder: first folder\nletters/y: y\nbeep: [a beep]\nlost: no audio\n"
        )
    )
    monkeypatch.setattr(prompts, "SOUNDS_DIR", sounds)
    monkeypatch.setattr(prompts, "TRANSCRIPT", transcript)
    return tmp_path


class TestReadAudio:
    @pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
    def test_any_format_and_rate_becomes_mono_16_khz(self, tmp_path: Path, suffix: str) -> None:
        """A stereo file at 44.1 kHz is read as one channel at 16 kHz, as long and as loud."""
        path = tmp_path / f"tone.{suffix}"
        stereo = np.column_stack([tone(440, 1, 44_100)] * 2)
        soundfile.write(path, stereo, 44_100)
        samples = read_audio(path)
        assert samples.dtype == np.float32
        assert samples.shape == (16_000,)
        assert rms(samples) == pytest.approx(rms(tone(440, 1)), rel=0.02)

    def test_channels_are_averaged(self, tmp_path: Path) -> None:
        """Opposite channels cancel."""
        soundfile.write(tmp_path / "a.wav", np.column_stack([tone(440), -tone(440)]), 16_000)
        assert rms(read_audio(tmp_path / "a.wav")) < 1e-4

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        """A path that is no file is an operator's mistake, told in one sentence."""
        with pytest.raises(ConfigError, match=r"absent\.wav is not a file"):
            read_audio(tmp_path / "absent.wav")

    def test_an_unreadable_file_is_named(self, tmp_path: Path) -> None:
        """A file that is not audio is refused by name."""
        (tmp_path / "notes.wav").write_text("not a sound")
        with pytest.raises(ConfigError, match=r"notes\.wav cannot be read as audio"):
            read_audio(tmp_path / "notes.wav")

    def test_an_empty_recording_is_refused(self, tmp_path: Path) -> None:
        """A file with no sample is refused by name."""
        soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 16_000)
        with pytest.raises(ConfigError, match=r"empty\.wav holds no audio"):
            read_audio(tmp_path / "empty.wav")


class TestTelephone:
    @pytest.mark.parametrize("hz", [400, 1_000, 3_000])
    def test_the_voice_band_passes(self, hz: int) -> None:
        """A tone in the voice band comes out as loud as it went in."""
        assert rms(telephone(tone(hz))) == pytest.approx(rms(tone(hz)), rel=0.05)

    @pytest.mark.parametrize("hz", [60, 150, 3_700, 6_000])
    def test_the_rest_is_stopped(self, hz: int) -> None:
        """A tone outside the voice band is at least 30 dB down."""
        assert rms(telephone(tone(hz))) < rms(tone(hz)) / 30

    @pytest.mark.parametrize("length", [0, 1, 15_999, 16_000])
    def test_length_is_kept(self, length: int) -> None:
        """The line neither adds nor loses a sample, whatever the length."""
        heard = telephone(tone(1_000, 1)[:length])
        assert heard.shape == (length,)
        assert heard.dtype == np.float32

    def test_the_line_adds_no_delay(self) -> None:
        """A click comes out where it went in, so reference times stay right."""
        click = np.zeros(8_000, np.float32)
        click[4_000] = 1.0
        assert abs(int(np.argmax(np.abs(telephone(click)))) - 4_000) <= 1

    def test_silence_stays_silence(self) -> None:
        """Digital silence passes as digital silence."""
        assert not telephone(np.zeros(1_600, np.float32)).any()

    def test_mu_law_has_255_levels(self) -> None:
        """Every 16-bit sample lands on one of G.711's 255 different values, both signs alike."""
        every = np.arange(-32_767, 32_768).astype(np.float32) / np.float32(32_768)
        heard = mu_law_round_trip(every)
        assert len(np.unique(heard)) == 255
        np.testing.assert_array_equal(heard, -heard[::-1])

    def test_mu_law_is_idempotent(self) -> None:
        """A second trip changes nothing: decoded values are code points."""
        once = mu_law_round_trip(tone(1_000))
        np.testing.assert_array_equal(mu_law_round_trip(once), once)

    def test_mu_law_largest_value(self) -> None:
        """G.711's outermost decoded value is 32 124 in 16-bit steps."""
        assert mu_law_round_trip(np.ones(1, np.float32))[0] * 32_768 == 32_124


class TestPrompts:
    def test_only_speech_with_audio_is_listed(self, installed: Path) -> None:
        """Comments, tones and texts without a file are not prompts; the order is kept."""
        found = prompts.prompts()
        assert [prompt.name for prompt in found] == ["hello", "pound", "folder", "letters/y"]
        assert all(prompt.path.is_file() for prompt in found)

    def test_texts_are_what_is_said(self, installed: Path) -> None:
        """Symbols are spelled as read out, misspellings corrected, a colon in a text survives."""
        texts = {prompt.name: prompt.text for prompt in prompts.prompts()}
        assert texts["pound"] == "press pound through star"
        assert texts["hello"] == "Hello: who is calling?"

    def test_missing_packages_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without the packages nothing is available, and the error says what to install."""
        monkeypatch.setattr(prompts, "SOUNDS_DIR", tmp_path / "none")
        assert not prompts.available()
        with pytest.raises(ConfigError, match=" ".join(prompts.PACKAGES)):
            prompts.prompts()

    def test_make_speech_installs_each_package(self) -> None:
        """Debian only recommends the transcript to those who install the speech."""
        recipe = re.search(r"^speech:.*\n\t(.*)", MAKEFILE.read_text(), re.MULTILINE)
        assert recipe is not None
        packages = recipe[1].removeprefix("$(call debian,").split(",")[0].split()
        assert packages == list(prompts.PACKAGES)

    @pytest.mark.skipif(not prompts.available(), reason="telephone prompts not installed")
    def test_installed_package_matches_its_transcript(self) -> None:
        """More than 500 prompts, over 20 minutes, and the demo's are whole sentences among them."""
        by_name = {prompt.name: prompt for prompt in prompts.prompts()}
        assert len(by_name) > 500
        assert sum(soundfile.info(p.path).duration for p in by_name.values()) > 20 * 60
        for name in (name for script in PROMPT_SCRIPTS for name in script):
            assert len(by_name[name].text.split()) >= 5, name


class TestCalls:
    def check_phrases(self, call: SpokenCall, pauses_s: tuple[float, float]) -> None:
        """Phrases cover the call but for pauses of digital silence within the limits."""
        assert call.phrases[0].start_s == 0
        assert call.phrases[-1].end_s == pytest.approx(call.duration_s)
        for before, after in zip(call.phrases, call.phrases[1:], strict=False):
            low, high = pauses_s
            assert low - 1e-3 <= after.start_s - before.end_s <= high + 1e-3
            pause = call.samples[round(before.end_s * 16_000) : round(after.start_s * 16_000)]
            assert not pause.any()

    def test_synthetic_demo_calls(self, tone_voice: None) -> None:
        """Each call opens its own script, is just long enough, and its text is its phrases."""
        calls = demo_calls(3, 10.0, synthetic=True)
        for script, call in zip(SENTENCES, calls, strict=False):
            assert call.text == " ".join(script[: len(call.phrases)])
            assert call.phrases[-1].start_s < 10.0 <= call.duration_s
            self.check_phrases(call, (0.3, 0.9))

    def test_calls_are_repeatable(self, tone_voice: None) -> None:
        """The same seed gives the same samples, another seed other pauses."""
        first, again = (demo_calls(1, 5.0, synthetic=True, seed=7)[0] for _ in range(2))
        other = demo_calls(1, 5.0, synthetic=True, seed=8)[0]
        np.testing.assert_array_equal(first.samples, again.samples)
        assert first.phrases != other.phrases

    def test_a_long_call_goes_on_with_the_next_script(self, tone_voice: None) -> None:
        """A call longer than its script takes the scripts in turn, and round again."""
        lines = [line for script in SENTENCES for line in script]
        call = demo_calls(1, 250.0, synthetic=True)[0]
        said = [phrase.text for phrase in call.phrases]
        assert len(said) > len(lines)
        assert said == (lines * 2)[: len(said)]

    def test_noise_fills_the_pauses(self, tone_voice: None) -> None:
        """Line noise has the loudness asked for."""
        call = demo_calls(1, 10.0, synthetic=True, noise_rms=0.001)[0]
        first, second = call.phrases[:2]
        pause = call.samples[round(first.end_s * 16_000) : round(second.start_s * 16_000)]
        assert rms(pause) == pytest.approx(0.001, rel=0.1)

    def test_without_prompts_the_voice_speaks(
        self, tone_voice: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where no prompts are installed the demo falls back to the synthetic voice."""
        monkeypatch.setattr(prompts, "SOUNDS_DIR", tmp_path / "none")
        assert demo_calls(1, 1.0)[0].text == SENTENCES[0][0]

    def test_an_incomplete_prompt_package_is_told(self, installed: Path) -> None:
        """A demo prompt that is not there is named."""
        with pytest.raises(ConfigError, match="have no 'conf-waitforleader'"):
            demo_calls(1)

    def test_prompt_calls_use_every_prompt_before_repeating(self, installed: Path) -> None:
        """Calls are filled from a shuffle of the scorable prompts, then from another."""
        calls = prompt_calls(total_s=4.0, call_s=1.0, seed=3)
        said = [phrase.text for call in calls for phrase in call.phrases]
        scorable = {"Hello: who is calling?", "press pound through star", "first folder"}
        assert set(said[:3]) == set(said[3:6]) == scorable
        assert sum(call.duration_s for call in calls) >= 4.0
        for call in calls:
            self.check_phrases(call, (0.2, 0.9))

    def test_continuous_drops_the_pauses(self, tone_voice: None) -> None:
        """The same words without the pauses; what is spoken is not shortened."""
        call = demo_calls(1, 10.0, synthetic=True)[0]
        unbroken = continuous(call)
        spoken_s = sum(phrase.end_s - phrase.start_s for phrase in call.phrases)
        assert unbroken.text == call.text
        assert unbroken.duration_s == pytest.approx(spoken_s, abs=0.01 * len(call.phrases))

    def test_f32_files_hold_the_call(self, tone_voice: None, tmp_path: Path) -> None:
        """K.f32 is the samples as float32 little endian, K.txt the reference text."""
        calls = demo_calls(2, 2.0, synthetic=True)
        write_f32_dir(calls, tmp_path / "calls")
        for number, call in enumerate(calls, 1):
            raw = np.fromfile(tmp_path / f"calls/{number}.f32", "<f4")
            np.testing.assert_array_equal(raw, call.samples)
            assert (tmp_path / f"calls/{number}.txt").read_text().strip() == call.text


class TestVoice:
    def test_a_missing_voice_names_the_extra(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without Piper the error says what to install."""

        def not_installed(name: str) -> str:
            raise PackageNotFoundError(name)

        monkeypatch.setattr(voice, "version", not_installed)
        with pytest.raises(ConfigError, match=r"callfsm\[voice\]"):
            voice.synthesize("Hello.", tmp_path)

    def test_speech_is_kept_on_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A text is synthesized once; another text, or another version of the voice, anew."""
        spoken: list[str] = []

        def speak(text: str) -> NDArray[np.float32]:
            spoken.append(text)
            return tone(500)

        monkeypatch.setattr(voice, "_speak", speak)
        monkeypatch.setattr(voice, "version", lambda package: "1")
        first, again = (voice.synthesize("one", tmp_path) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        voice.synthesize("two", tmp_path)
        monkeypatch.setattr(voice, "version", lambda package: "2")
        voice.synthesize("one", tmp_path)
        assert spoken == ["one", "two", "one"]

    @pytest.mark.model
    def test_the_synthetic_voice_speaks(self, tmp_path: Path) -> None:
        """Piper speaks a sentence at a natural rate, the same samples every time."""
        pytest.importorskip("piper")
        sentence = "It worked well at first, but now it stops in the middle of every wash."
        first = voice.synthesize(sentence, tmp_path / "a")
        again = voice.synthesize(sentence, tmp_path / "b")
        np.testing.assert_array_equal(first, again)
        assert 2.0 < len(first) / 16_000 < 8.0
        assert rms(first) > 0.02
        assert np.abs(first).max() <= 1.0


class TestWordErrors:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("Don't — re-enter, I/O!", "dont re enter i o"),
            ("OK, press 0 or 20.", "okay press zero or twenty"),
            ("the 10th of 42nd, 30th and 70", "the tenth of forty second thirtieth and seventy"),
            ("Voice-mail, touch tone, mailbox", "voicemail touchtone mailbox"),
            ("1234 snake_case …", "1234 snakecase"),
            ("", ""),
        ],
    )
    def test_one_spelling(self, text: str, words: str) -> None:
        """Case, punctuation, small numbers and compounds do not count as errors."""
        assert normalize(text) == words.split()

    def test_each_kind_of_error_is_counted(self) -> None:
        """One word changed, one lost, one too many."""
        errors = word_errors("please hold the line now", "please told line now then")
        assert errors == WordErrors(hits=3, substitutions=1, deletions=1, insertions=1)
        assert errors.wer == pytest.approx(3 / 5)

    def test_pooled_rate_weighs_by_words(self) -> None:
        """The rate of a sum is errors over words of all texts, not a mean of rates."""
        pooled = sum(
            [word_errors("a b c d e f g h", "a b c d e f g h"), word_errors("a b", "x y")],
            WordErrors(),
        )
        assert pooled.wer == pytest.approx(2 / 10)

    def test_silence(self) -> None:
        """Nothing said and nothing heard is perfect; words out of nothing are infinitely wrong."""
        assert word_errors("", "...").wer == 0
        assert word_errors("", "thank you").wer == float("inf")
        assert word_errors("thank you", "") == WordErrors(deletions=2)
