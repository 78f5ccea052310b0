"""What the benchmarks make of what they measured; no model and no server runs here."""

import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from gevent import subprocess
from typer.testing import CliRunner

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.events import AudioReceived, InferenceDone, TextAccepted
from callfsm.call.settings import CallSettings
from callfsm.errors import CallfsmError
from callfsm.inference.engine import AudioWindow
from callfsm.record.log import Header, Log, RecordedTurn
from service.bench.accuracy import CLEAN, CONTINUOUS, Accuracy, minutes_as_s
from service.bench.bars import Bar, mean, percentile, sooner_percent, times_as_much
from service.bench.capacity import Probe
from service.bench.contention import recommended, wait_figures
from service.bench.lags import cuts_s, processing_lags_s
from service.bench.latency import drift
from service.bench.memory import Memory
from service.bench.overhead import Overhead, Round, windows_of
from service.bench.overload import Overload
from service.bench.pool_run import PoolRun, PoolUnderTest, Turnaround
from service.bench.search import largest
from service.bench.sides import Side, chunked_side
from service.bench.ways import BASELINE, BASELINE_CHUNKS, STREAM_FRAMES, Server
from service.cli.main import app
from service.engine_choice import EngineChoice
from service.engines.fake import ScriptedEngine
from service.peers.caller import CallerSettings, CallFailedError
from service.peers.ports import free_base_port
from service.speech.corpus import Phrase, SpokenCall
from service.speech.defects import at_cuts, duplicated_words, in_the_tail, missing_words
from service.speech.latency import (
    Arrival,
    HeardWord,
    RememberingEngine,
    TimedWord,
    heard_words,
    utterances,
)
from service.speech.wer import WordErrors
from service.trial.play import CallResult, Played, Trial, look
from service.trial.server_process import ServerProcess

SECOND = np.full(SAMPLE_RATE_HZ, 0.1, np.float32)
QUIET_SECOND = np.zeros(SAMPLE_RATE_HZ, np.float32)


def spoken(*words: tuple[str, float]) -> list[TimedWord]:
    return [TimedWord(text, end_s) for text, end_s in words]


class TestBars:
    @pytest.mark.parametrize(
        ("bar", "verdict"),
        [
            (Bar("a", 1.3, 1.3, "s"), "met"),
            (Bar("a", 1.5, 1.3, "s"), "missed by 0.2 s"),
            (Bar("a", 60.0, 60.0, "%", at_least=True), "met"),
            (Bar("a", 41.0, 60.0, "%", at_least=True), "missed by 19 %"),
            (Bar("a", None, 60.0, "%", at_least=True), "not measured"),
        ],
    )
    def test_a_figure_meets_its_bar_or_misses_it_by_so_much(self, bar: Bar, verdict: str) -> None:
        """At the bar is met; what was not measured is not met."""
        assert bar.verdict == verdict
        assert bar.is_met is (verdict == "met")

    def test_sooner_is_a_share_of_the_baseline(self) -> None:
        """From 4 s to 1 s is 75 % sooner; later is negative; nothing is made of nothing."""
        assert sooner_percent(4.0, 1.0) == 75.0
        assert sooner_percent(1.0, 1.5) == -50.0
        assert sooner_percent(0.0, 1.0) is None
        assert sooner_percent(4.0, None) is None
        assert times_as_much(2.0, 9.0) == 4.5

    def test_percentiles_leave_out_what_is_not_known(self) -> None:
        """One value is its own percentile; none has none."""
        assert percentile(50, [3.0, None, 1.0]) == 2.0
        assert percentile(95, [2.0, None]) == 2.0
        assert percentile(95, [None]) is None
        assert mean([]) is None


class TestHeardWords:
    def test_a_word_has_the_time_and_number_of_its_text(self) -> None:
        """Misheard words are marked, missing words are left out."""
        said = spoken(("please", 1.0), ("hold", 1.5), ("the", 2.0), ("line", 2.5))
        arrivals = [Arrival("Please", 1.8), Arrival("told line.", 3.0)]
        first, misheard, last = heard_words(said, arrivals)
        assert first == HeardWord(1.0, 1.8, 0, True)
        assert (misheard.text, misheard.right) == (1, False)
        assert last == HeardWord(2.5, 3.0, 1, True)
        assert last.latency_s == 0.5

    def test_no_text_is_no_words(self) -> None:
        """Neither silence nor a deaf server is an error."""
        assert heard_words([], [Arrival("yes", 1.0)]) == []
        assert heard_words(spoken(("yes", 1.0)), []) == []

    def test_the_same_audio_is_timed_once(self) -> None:
        """The engine is asked once, however many ways are compared."""
        engine = ScriptedEngine(["hello"])
        remembering = RememberingEngine(engine)
        first, again = (remembering.transcribe([AudioWindow(SECOND)]) for _ in range(2))
        assert first == again
        assert len(engine.heard) == 1


class TestUtterances:
    def test_each_pause_begins_one(self) -> None:
        """Its onset is that of the sound; its texts are those that hold its words."""
        samples = np.concatenate([QUIET_SECOND, SECOND, QUIET_SECOND, SECOND])
        call = SpokenCall("a", samples, (Phrase(0.5, 2.0, "one"), Phrase(2.5, 4.0, "two three")))
        heard = [
            HeardWord(1.8, 2.6, 0, True),
            HeardWord(3.4, 4.1, 1, True),
            HeardWord(4.0, 5.5, 2, True),
        ]
        first, second = utterances(call, heard)
        assert (first.onset_s, first.end_s) == (1.0, 2.0)
        assert first.first_text_s == first.final_text_s + 1.0 == pytest.approx(1.6)
        assert (second.onset_s, second.end_s) == (3.0, 4.0)
        assert second.first_text_s == pytest.approx(1.1)
        assert second.final_text_s == pytest.approx(1.5)

    def test_phrases_without_a_pause_are_one(self) -> None:
        """What nobody wrote down has no times."""
        call = SpokenCall("a", np.tile(SECOND, 2), (Phrase(0, 1, "one"), Phrase(1, 2, "two")))
        [only] = utterances(call, [])
        assert (only.onset_s, only.end_s) == (0.0, 2.0)
        assert only.first_text_s is None
        assert only.final_text_s is None


class TestDefects:
    @pytest.mark.parametrize(
        ("heard", "doubled"),
        [
            ("please hold the line now", 0),
            ("please hold hold the line now", 1),
            ("please hold the line hold the line now", 3),
            ("please hold the the line line now", 2),
            ("please kindly hold the line now", 0),
            ("please hold the line now thank you", 0),
            ("", 0),
        ],
    )
    def test_a_repeat_that_nobody_said_is_doubled(self, heard: str, doubled: int) -> None:
        """Words or phrases; other words too many are no repeats."""
        assert duplicated_words(["please", "hold", "the", "line", "now"], heard.split()) == doubled

    def test_a_repeat_that_somebody_said_is_not(self) -> None:
        """Said twice and written twice is right."""
        words = ["no", "no", "that", "is", "very", "very", "good"]
        assert duplicated_words(words, words) == 0

    def test_missing_words_are_those_that_nothing_stands_for(self) -> None:
        """A wrong word is a substitution; near cuts and at the end the missing are counted."""
        said = spoken(("please", 1.0), ("hold", 4.0), ("the", 4.4), ("line", 9.0))
        assert missing_words(said, ["please", "told", "line"])[0].text in {"hold", "the"}
        lost = missing_words(said, ["please", "hold"])
        assert [word.text for word in lost] == ["the", "line"]
        assert in_the_tail(lost, end_s=9.0) == 1
        assert at_cuts(lost, [5.0]) == 1
        assert at_cuts(lost, [2.0, 5.2]) == 0
        assert at_cuts(lost, []) == 0
        assert missing_words(said, []) == said


def turn(at_s: float, event: object, *effects: dict[str, object]) -> RecordedTurn:
    return RecordedTurn(at_s, event, "", effects, "inferring", "")  # type: ignore[arg-type]


def transcribe(number: int, samples: int, cut: str, start_s: float = 0.0) -> dict[str, object]:
    window = {
        "number": number,
        "start_s": start_s,
        "audio": {"samples": samples},
        "cut": {"Cut": cut},
    }
    return {"Transcribe": {"window": {"Window": window}}}


def log_of(*turns: RecordedTurn) -> Log:
    return Log(Header(1, "2026-01-01T00:00:00Z", CallSettings(), False), turns, False)


TEXT: dict[str, object] = {"ForwardText": {}}


class TestLags:
    def test_a_text_waited_from_the_request_for_its_window(self) -> None:
        """What silence confirms later was not held up by computing."""
        log = log_of(
            turn(1.0, AudioReceived(SECOND), transcribe(1, 16_000, "EAGER")),
            turn(1.4, InferenceDone(1, ()), TEXT),
            turn(1.5, TextAccepted(1), TEXT),
            turn(2.0, AudioReceived(SECOND), TEXT),
        )
        assert processing_lags_s(log) == pytest.approx([0.4, 0.5, 0.0])

    def test_a_window_that_waits_for_the_one_before_waits_for_computing(self) -> None:
        """It counts from the arrival of its last sample, not from when it was asked for."""
        log = log_of(
            turn(1.0, AudioReceived(SECOND), transcribe(1, 16_000, "FULL")),
            turn(2.0, AudioReceived(SECOND)),
            turn(3.0, AudioReceived(SECOND)),
            turn(5.0, InferenceDone(1, ()), TEXT, transcribe(2, 16_000, "FULL", 1.0)),
            turn(6.0, InferenceDone(2, ()), TEXT),
        )
        assert processing_lags_s(log) == pytest.approx([4.0, 4.0])

    def test_cuts_are_read_from_the_log(self) -> None:
        """A look ahead is a window and no cut."""
        log = log_of(
            turn(1.0, AudioReceived(SECOND), transcribe(1, 16_000, "EAGER")),
            turn(2.0, AudioReceived(SECOND), transcribe(2, 24_000, "PAUSE", 0.5)),
        )
        assert cuts_s(log) == [2.0]


class TestDrift:
    def test_a_call_that_grows_slower_is_told_from_noise(self) -> None:
        """Minute 10 is compared with minute 1, and with what chance can do."""
        heard = [HeardWord(s, s + 1.0 + 0.1 * (s % 2), 0, True) for s in range(1, 660)]
        same = drift(heard)
        assert same["late_minute"] == 10
        assert abs(same["later_by_s"]) <= same["noise_s"]
        slower = drift([HeardWord(w.end_s, w.at_s + w.end_s / 600, 0, True) for w in heard])
        assert slower["later_by_s"] == pytest.approx(0.9, abs=0.02)
        assert slower["later_by_s"] > slower["noise_s"]


class TestSearch:
    @pytest.mark.parametrize("start", [1, 4, 16, 200])
    @pytest.mark.parametrize("limit", [0, 1, 3, 7, 19, 47, 128, 500])
    def test_the_largest_load_is_found_from_any_start(self, start: int, limit: int) -> None:
        """Exactly below 20, to a tenth above, at most what was allowed, and no load twice."""
        tried: list[int] = []

        def bears(load: int) -> bool:
            tried.append(load)
            return load <= limit

        found = largest(bears, start, 128)
        true = min(limit, 128)
        assert true - true // 10 <= found <= true if true >= 20 else found == true
        assert len(tried) == len(set(tried)) <= 12
        assert all(1 <= load <= 128 for load in tried)


class TestCapacity:
    def test_a_number_of_calls_is_borne_within_all_limits(self) -> None:
        """4 s of latency, 1.5 points of errors more than alone, nothing lost."""
        assert Probe(8, 2.0, 4.0, 0.055).is_borne(wer_alone=0.04)
        assert not Probe(8, 2.0, 4.1, 0.04).is_borne(wer_alone=0.04)
        assert not Probe(8, 2.0, 3.0, 0.056).is_borne(wer_alone=0.04)
        assert not Probe(8, 2.0, 3.0, 0.04, problems=("a",)).is_borne(wer_alone=0.04)
        assert not Probe(8, problems=("too late",)).is_borne(wer_alone=0.04)

    def test_the_same_calls_alone_are_the_measure(self) -> None:
        """Three calls of which the first is there twice are measured by two of it and one other."""
        alone = Probe(1, errors=[WordErrors(hits=8, deletions=2), WordErrors(hits=10)])
        assert alone.wer_of(2) == 0.1
        assert alone.wer_of(3) == pytest.approx(4 / 30)
        assert "errors" not in alone.figures()

    def test_a_probe_says_why_it_failed(self) -> None:
        """A problem first, then the figures."""
        assert Probe(8, problems=("too late",)).verdict(0.04) == "too late"
        assert Probe(8, 2.0, 3.0, 0.04).verdict(0.04) == "borne"
        assert Probe(8, 2.0, 4.1, 0.04).verdict(0.04).startswith("too many: p95 4.1 s")


class TestWays:
    def test_an_engine_is_handed_to_the_server_only_when_it_was_chosen(self) -> None:
        """The baseline keeps the field's engine, whatever it is compared with."""
        assert STREAM_FRAMES.options(Server()) == ("--model", "tiny.en")
        chosen = Server("base.en", "ctranslate2")
        assert STREAM_FRAMES.options(chosen) == ("--model", "base.en", "--engine", "ctranslate2")
        assert BASELINE_CHUNKS.options(chosen) == ("--model", "base.en", *BASELINE)

    def test_the_baseline_is_one_context_of_whole_chunks(self) -> None:
        """In this process as in the server."""
        assert Server().settings(baseline=True).mode == "chunk"
        assert Server().choice(baseline=True).contexts == 1
        assert Server().settings().mode == "stream"


class TestTrial:
    def test_a_call_that_the_server_shows_no_more_is_closed(self) -> None:
        """Only the last few closed calls are shown; with many calls, some are never seen closed."""
        server = Mock()
        states: dict[int, str] = {}
        for shown in ([(1, "inferring"), (2, "buffering")], [(2, "buffering")]):
            server.calls.return_value = [{"call_id": i, "state": state} for i, state in shown]
            look(server, states, lambda snapshot: None)
        assert states == {1: "closed", 2: "buffering"}

    def test_a_call_that_crashed_is_a_problem(self) -> None:
        """It is closed like the others, but the server has counted it."""
        assert Played([], {"callfsm_calls_crashed_total": 0.0}, 0.0, 0.0).problems == []
        [problem] = Played([], {"callfsm_calls_crashed_total": 1.0}, 0.0, 0.0).problems
        assert "fault" in problem

    def test_a_window_that_was_lost_is_a_problem(self) -> None:
        """The texts at LLaMA and in the database agree, and lack the same words."""
        counts = {"callfsm_notes_total[window_lost]": 2.0}
        assert Played([], counts, 0.0, 0.0).problems == ["2 windows were lost"]


class TestMemory:
    def test_a_call_costs_the_growth_shared_by_those_that_are_more(self) -> None:
        """In kB of 1000 bytes; what it holds is shared by all."""
        memory = Memory(564, 45_120_000, 500, 15.0, 300_000_000, 355_000_000, 120_000_000)
        assert (memory.held_kb, memory.call_kb) == (80.0, 110.0)
        assert [bar.is_met for bar in memory.bars()] == [True, False]


def talked(
    call_id: int, *words: tuple[float, float], begun_s: float = 1000.0, duration_s: float = 180.0
) -> CallResult:
    """A call whose words (when spoken, how late) were all understood."""
    heard = [HeardWord(end_s, end_s + late_s, 0, right=True) for end_s, late_s in words]
    result = CallResult(call_id, "a", "a", "a", "closed", WordErrors(), 0.0, [], heard, [])
    return replace(result, begun_s=begun_s, duration_s=duration_s)


def test_a_call_that_is_never_let_in_is_told_where_that_may_be(tmp_path: Path) -> None:
    """It has no report; in any other trial it is a failure."""
    call = SpokenCall("call", np.zeros(16_000, np.float32), ())
    settings = CallerSettings(
        registration_port=9,  # nobody is there
        audio_base_port=free_base_port(1),
        connect_timeout_s=0.01,
    )
    assert Trial(tmp_path, 1, may_refuse=True)._lane(0, [call], settings) == []
    with pytest.raises(CallFailedError, match="got no connection"):
        Trial(tmp_path, 1)._lane(0, [call], settings)


class TestOverload:
    crowd = talked(2, (10.0, 9.0), (90.0, 99.0), begun_s=1020.0, duration_s=120.0)

    def test_lateness_is_told_by_when_words_were_spoken(self) -> None:
        """Of the calls that are there all the time; the ten seconds after it count not."""
        steady = talked(1, (5.0, 1.0), (30.0, 6.0), (130.0, 8.0), (145.0, 9.0), (160.0, 1.2))
        result = Overload(1, 120.0, Played([steady, self.crowd], {}, 0.0, 0.0))
        parts = result.periods().values()
        assert [part["p95_s"] for part in parts] == [1.0, 6.0, 8.0, 1.2, pytest.approx(94.5)]
        assert all(bar.is_met for bar in result.bars())

    def test_it_must_be_over_soon(self) -> None:
        """Words still late ten seconds after it, a lost window, an open call, and one that was
        turned away without a word are told."""
        open_call = replace(talked(1, (5.0, 1.0), (160.0, 1.6)), state="inferring")
        counts = {
            "callfsm_notes_total[window_lost]": 1.0,
            "callfsm_calls_refused_total[late]": 1.0,
        }
        played = Played([open_call, self.crowd], counts, 0.0, 0.0, refused=(3, 4))
        result = Overload(1, 120.0, played)
        assert not any(bar.is_met for bar in result.bars())

    def test_it_is_over_when_the_last_who_was_let_in_has_spoken(self) -> None:
        """Who comes in later speaks as long as the others."""
        late = replace(self.crowd, call_id=3, begun_s=1029.0, refused_s=9.0)
        steady = talked(1, (155.0, 9.0), (160.0, 1.0))
        counts = {"callfsm_calls_refused_total[late]": 2.0}
        played = Played([steady, self.crowd, late], counts, 0.0, 0.0, refused=(4,))
        result = Overload(1, 120.0, played)
        assert result.over_s == 149.0
        figures = result.figures()
        names = ("calls", "let_in_at_once", "let_in_later", "never_let_in", "refused")
        assert [figures[name] for name in names] == [4, 2, 1, 1, {"late": 2.0}]
        assert figures["periods"]["from 10 s after"]["p95_s"] == 1.0


def test_a_server_that_died_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Its log is gone with the trial's directory, so the error has the end of it."""
    log = tmp_path / "server.log"
    log.write_text("INFO ready\nGGML_ASSERT failed\n")
    server = ServerProcess(tmp_path / "whisper_talk.db", 9001, 8083, log)
    server._process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    server._process.wait()
    server._http = ("127.0.0.1", free_base_port(1))
    with pytest.raises(CallfsmError, match=r"exit code 3; its last words: .*GGML_ASSERT failed"):
        server.metrics()


class TestOverhead:
    def test_the_same_windows_are_cut_again(self) -> None:
        """From where and to where is in the log; looks ahead are windows, too."""
        samples = np.arange(3 * SAMPLE_RATE_HZ, dtype=np.float32)
        call = SpokenCall("a", samples, (Phrase(0, 3, "one"),))
        log = (
            "DEBUG   service.session: call 1: window 1 (eager, 0.00 to 1.00 s): one\n"
            "INFO    service.session: call 1: one\n"
            "DEBUG   service.session: call 1: window 2 (pause, 0.50 to 2.00 s): one two\n"
        )
        first, second = windows_of([call], log)
        assert (first.is_look, second.is_look) == (True, False)
        np.testing.assert_array_equal(first.samples, samples[:16_000])
        np.testing.assert_array_equal(second.samples, samples[8_000:32_000])

    def test_a_ratio_just_above_the_bar_misses_it(self) -> None:
        """It is not rounded to the bar."""
        machine = {"events_through_mailbox_per_s": 70_000.0}
        ratio, events = Overhead(2, [Round(17, 13.15, 11.92)], machine).bars()
        assert (ratio.is_met, events.is_met) == (False, True)

    def test_the_median_of_the_rounds_counts(self) -> None:
        """One round with other work beside it says nothing."""
        rounds = [Round(9, 10.8, 10.0), Round(9, 15.0, 10.0), Round(9, 10.5, 10.0)]
        ratio, _ = Overhead(2, rounds, {"events_through_mailbox_per_s": 70_000.0}).bars()
        assert ratio.value == 1.08


class TestAccuracy:
    def test_the_stream_is_held_against_each_whole_file(self) -> None:
        """By what it errs more; where speech never pauses the bar is lower."""
        figures = {"wer": 0.05, "duplicated_percent": 0.1, "missing_in_last_2_s": 0}
        sides = {"callfsm": figures, "whole file, a": figures | {"wer": 0.036}}
        result = Accuracy({}, {CLEAN: sides, CONTINUOUS: sides}, {"hum": "", "busy": "Thank you."})
        verdicts = {bar.name: bar.verdict for bar in result.bars()}
        assert verdicts["clean: WER above whole file, a"] == "missed by 0.4 points"
        assert verdicts["continuous: WER above whole file, a"] == "met"
        assert verdicts["clean: words doubled"] == "met"
        assert verdicts["sounds that gave text nobody said"] == "missed by 1"

    def test_no_minutes_stand_for_everything(self) -> None:
        """Everything has no length beforehand."""
        assert (minutes_as_s(0), minutes_as_s(2)) == (inf, 120.0)


class TestSides:
    def test_a_side_counts_what_went_wrong(self) -> None:
        """Errors are against the reference, missing words against an offline pass."""
        call = SpokenCall("a", np.tile(SECOND, 4), (Phrase(0, 4, "please hold the line"),))
        timing = RememberingEngine(ScriptedEngine(["please hold the line"]))
        side = Side("a", ["please hold hold the"], cuts_s=[[2.0, 4.0]])
        figures = side.figures([call], timing)
        assert figures["wer"] == 0.5
        assert figures["duplicated_words"] == 1
        assert figures["missing_in_last_2_s"] == figures["missing_at_cuts"] == 1

    def test_each_chunk_is_transcribed_by_itself(self) -> None:
        """Silence between them is not heard, and texts are joined."""
        call = SpokenCall("a", QUIET_SECOND, (Phrase(0, 1, ""),))
        assert chunked_side("a", [call], ScriptedEngine(["nobody"])).texts == [""]


class TestContention:
    def test_the_rule_recommends_a_pool_from_a_fifth_of_waiting(self) -> None:
        """Below 20 % one context is enough."""
        assert recommended(0.19) == "serial"
        assert recommended(0.20) == "pool"

    def test_shares_are_of_the_time_from_request_to_text(self) -> None:
        """The pooled share weighs by time; percentiles count windows."""
        run = PoolRun([Turnaround(1.0, 1.0), Turnaround(4.0, 1.0)], seconds=4.0)
        assert run.windows_per_s == 0.5
        assert run.wait_share == pytest.approx(3 / 5)
        figures = wait_figures(run)
        assert figures["wait_share_max"] == 0.75
        assert figures["wait_max_s"] == 3.0

    def test_windows_of_several_callers_wait_for_one_context(self) -> None:
        """Through the real inference actor, with an engine that says nothing."""
        with PoolUnderTest(EngineChoice("scripted", ScriptedEngine), 1) as pool:
            run = pool.saturated(2, 0.05, [SECOND])
        assert len(run.turnarounds) >= 2


@pytest.mark.parametrize(
    "command",
    ["accuracy", "capacity", "contention", "latency", "memory", "overhead", "overload"],
)
def test_every_bench_says_what_it_does(command: str) -> None:
    """`--help` works without a model, and offers JSON."""
    result = CliRunner().invoke(app, ["bench", command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "--json" in result.output
