"""Where windows end: frames go in, spans come out, nothing else matters."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callfsm.call.segmenter import ONSET_FRAMES, TAIL_FRAMES, Cut, Segmenter, Span
from callfsm.call.settings import WindowSettings
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES

DEFAULT = WindowSettings(context_s=0.0)
LEAD_IN = 15  # frames: 0.3 s
PAUSE = 15
WINDOW = 250
OVERLAP = 50

RUNS = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 40)), max_size=8)


def heard(segmenter: Segmenter, speech: int = 0, silence: int = 0) -> list[Span]:
    """The spans that end while so many frames of speech and then of silence are heard."""
    flags = [True] * speech + [False] * silence
    return [span for flag in flags if (span := segmenter.hear(flag)) is not None]


def span(
    start: int,
    end: int,
    cut: Cut,
    overlaps: bool = False,
    *,
    fresh: int | None = None,
    quiet: int | None = None,
    young: bool = False,
) -> Span:
    """A span given in frames, without context unless `fresh` is given; a pause is quiet."""
    fresh = start if fresh is None else fresh
    quiet = TAIL_FRAMES if quiet is None and cut is Cut.PAUSE else quiet or 0
    start, end, fresh, quiet = (frame * FRAME_SAMPLES for frame in (start, end, fresh, quiet))
    return Span(start, end, cut, overlaps, fresh, quiet, young)


def unseen_s(segmenter: Segmenter) -> float:
    """The longest step between looks at which one is due."""
    steps_s = [frames * FRAME_S for frames in range(300)]
    return max((step_s for step_s in steps_s if segmenter.is_look_due(step_s)), default=0.0)


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(DEFAULT)


def test_silence_makes_no_span(segmenter: Segmenter) -> None:
    """An hour of silence is never inferred, and none of it is kept for long."""
    assert heard(segmenter, silence=180_000) == []
    assert (segmenter.has_speech, segmenter.flush(Cut.END)) == (False, None)
    assert segmenter.keeps_from == (180_000 - LEAD_IN - ONSET_FRAMES) * FRAME_SAMPLES
    assert segmenter.waits_from == segmenter.keeps_from


def test_a_click_is_no_speech(segmenter: Segmenter) -> None:
    """Less than 60 ms of sound, again and again, makes no span."""
    for _ in range(100):
        assert heard(segmenter, ONSET_FRAMES - 1, 5) == []
    assert not segmenter.has_speech


def test_speech_begins_with_its_lead_in(segmenter: Segmenter) -> None:
    """A span starts 0.3 s before the first speech, so that no onset is lost."""
    heard(segmenter, silence=100)
    assert heard(segmenter, 40, PAUSE) == [span(100 - LEAD_IN, 140 + TAIL_FRAMES, Cut.PAUSE)]


def test_the_first_word_of_a_call_needs_no_lead_in(segmenter: Segmenter) -> None:
    """Speech from the first frame on starts at the first frame."""
    assert heard(segmenter, 40, PAUSE) == [span(0, 40 + TAIL_FRAMES, Cut.PAUSE)]


def test_a_pause_is_cut_when_it_is_long_enough(segmenter: Segmenter) -> None:
    """0.28 s of silence is a breath; 0.3 s is a pause."""
    assert heard(segmenter, 40, PAUSE - 1) == []
    assert heard(segmenter, 40, PAUSE) == [span(0, 94 + TAIL_FRAMES, Cut.PAUSE)]


def test_a_full_window_is_cut_in_speech_and_overlaps_the_next(segmenter: Segmenter) -> None:
    """5 s windows every 4 s, each with the last second of the one before."""
    assert heard(segmenter, 700) == [
        span(0, WINDOW, Cut.FULL),
        span(WINDOW - OVERLAP, 450, Cut.FULL, overlaps=True),
        span(400, 650, Cut.FULL, overlaps=True),
    ]
    assert segmenter.flush(Cut.END) == span(600, 700, Cut.END, overlaps=True)


def test_no_lead_in_reaches_into_the_window_before(segmenter: Segmenter) -> None:
    """After a pause the next span has only the silence that the one before left over."""
    heard(segmenter, 40, PAUSE)
    heard(segmenter, 0, 2)
    assert heard(segmenter, 40, PAUSE) == [span(50, 97 + TAIL_FRAMES, Cut.PAUSE)]


def test_after_a_full_window_silence_makes_no_window(segmenter: Segmenter) -> None:
    """The overlap alone holds nothing new: it is not inferred again."""
    assert heard(segmenter, WINDOW, 100) == [span(0, WINDOW, Cut.FULL)]
    assert segmenter.flush(Cut.END) is None


def test_a_stall_in_speech_overlaps_what_comes_after(segmenter: Segmenter) -> None:
    """When audio stops in mid-word the next span hears the last second again."""
    heard(segmenter, 100)
    assert segmenter.flush(Cut.STALL) == span(0, 100, Cut.STALL)
    assert not segmenter.has_speech
    heard(segmenter, 20)
    assert segmenter.flush(Cut.END) == span(50, 120, Cut.END, overlaps=True)


def test_a_stall_of_short_speech_hears_all_of_it_again(segmenter: Segmenter) -> None:
    """A span shorter than the overlap starts where it started."""
    heard(segmenter, 30)
    assert segmenter.flush(Cut.STALL) == span(0, 30, Cut.STALL)
    heard(segmenter, 10)
    assert segmenter.flush(Cut.END) == span(0, 40, Cut.END, overlaps=True)


def test_flushing_twice_cuts_once(segmenter: Segmenter) -> None:
    """What is cut is cut: without new speech there is no second span."""
    heard(segmenter, 100)
    for cut in Cut:
        if cut.in_speech:
            segmenter.flush(cut)
            assert segmenter.flush(cut) is None


def test_a_look_cuts_nothing(segmenter: Segmenter) -> None:
    """Looking at growing speech gives it so far, and the window grows on."""
    heard(segmenter, 100)
    assert segmenter.look() == span(0, 100, Cut.EAGER)
    heard(segmenter, 50)
    assert segmenter.look() == span(0, 150, Cut.EAGER)
    assert heard(segmenter, 100) == [span(0, WINDOW, Cut.FULL)]


def test_a_look_in_a_hush_tells_how_long_it_has_been_quiet(segmenter: Segmenter) -> None:
    """After a tenth of a second of silence, not yet a pause, it may be all of the speech."""
    heard(segmenter, 100, 4)
    assert segmenter.look() == span(0, 104, Cut.EAGER, quiet=4)
    heard(segmenter, 0, 1)
    assert segmenter.look() == span(0, 105, Cut.HUSH, quiet=5)


def test_a_look_in_a_hush_is_not_young() -> None:
    """It hears all of the context: it may be the last one."""
    segmenter = Segmenter(WindowSettings(context_s=15.0, context_busy_s=6.0))
    heard(segmenter, 200, 15)
    heard(segmenter, 100, 15)
    heard(segmenter, 40, 5)
    assert segmenter.look() == span(0, 375, Cut.HUSH, fresh=325, quiet=5)


def test_new_speech_counts_from_the_last_look_or_cut(segmenter: Segmenter) -> None:
    """The seconds that a look would show for the first time."""
    assert not segmenter.is_look_due(0.0)
    heard(segmenter, 60)
    assert unseen_s(segmenter) == pytest.approx(1.0)
    segmenter.look()
    heard(segmenter, 25)
    assert unseen_s(segmenter) == pytest.approx(0.5)
    heard(segmenter, WINDOW - 85 + 10)
    assert unseen_s(segmenter) == pytest.approx(0.2)


def test_one_look_in_a_hush_is_due(segmenter: Segmenter) -> None:
    """However little is new, and where looks are rare; but not where there are none."""
    heard(segmenter, 60)
    segmenter.look()
    heard(segmenter, 2, 5)
    assert segmenter.is_look_due(10.0)
    assert not segmenter.is_look_due(inf)
    segmenter.look()
    heard(segmenter, 0, 3)
    assert not segmenter.is_look_due(0.0)


def test_no_look_is_due_before_a_hush(segmenter: Segmenter) -> None:
    """It would be in the way of the look in the hush."""
    heard(segmenter, 60, 4)
    assert not segmenter.is_look_due(0.0)


def test_where_somebody_waits_for_the_words_there_is_less_context() -> None:
    """For those before a pause, and of a look; for those of a full window, which go on, less."""
    segmenter = Segmenter(WindowSettings(context_s=15.0))
    heard(segmenter, 200, 15)
    heard(segmenter, 100, 15)
    segmenter.limit_context(15.0, 6.0)
    heard(segmenter, 100)
    assert segmenter.look() == span(210, 430, Cut.EAGER, fresh=325)
    assert heard(segmenter, 60, 15) == [span(210, 500, Cut.PAUSE, fresh=325)]
    assert heard(segmenter, 260) == [span(0, 750, Cut.FULL, fresh=500)]


def test_a_fifth_of_a_second_by_itself_is_no_use() -> None:
    """Without context 0.2 s are not worth a look; what was said 6 s ago is none for a look."""
    segmenter = Segmenter(WindowSettings(context_s=15.0, context_busy_s=6.0))
    for silence, new_s in ((0, 0.0), (30, 0.16), (300, 0.0)):
        heard(segmenter, 0, silence)
        heard(segmenter, 8)
        assert unseen_s(segmenter) == pytest.approx(new_s)
        heard(segmenter, 42, PAUSE)


def test_nothing_to_look_at_in_silence(segmenter: Segmenter) -> None:
    """Without speech there is no look."""
    heard(segmenter, 0, 100)
    assert segmenter.look() is None


# ------------------------------------------------ context
def test_a_short_utterance_is_heard_with_those_before_it() -> None:
    """What was said in the last seconds leads in; `fresh` tells where the new begins."""
    segmenter = Segmenter(WindowSettings(context_s=6.0))
    assert heard(segmenter, 50, 30) == [span(0, 60, Cut.PAUSE)]
    assert heard(segmenter, 50, 30) == [span(0, 140, Cut.PAUSE, fresh=65)]
    assert heard(segmenter, 50, 30) == [span(0, 220, Cut.PAUSE, fresh=145)]


def test_context_is_whole_utterances_within_its_length() -> None:
    """No window with context is longer than the context's length, and it begins in a pause."""
    segmenter = Segmenter(WindowSettings(context_s=6.0))
    heard(segmenter, 150, 15)
    heard(segmenter, 100, 15)
    assert heard(segmenter, 100, 15) == [span(160, 390, Cut.PAUSE, fresh=275)]


def test_context_ends_with_time() -> None:
    """Who speaks again after a long silence is heard alone, and the old audio is let go."""
    segmenter = Segmenter(WindowSettings(context_s=6.0))
    heard(segmenter, 50, 300)
    assert segmenter.keeps_from == segmenter.waits_from
    assert heard(segmenter, 50, 15) == [span(335, 410, Cut.PAUSE)]


def test_the_window_before_is_context_of_an_overlapping_one() -> None:
    """In unbroken speech as well, a window is heard after the one before, if both are not long."""
    segmenter = Segmenter(WindowSettings(context_s=6.5))
    heard(segmenter, 20, 15)
    assert heard(segmenter, 300, 15) == [
        span(0, 280, Cut.FULL, fresh=30),
        span(30, 345, Cut.PAUSE, overlaps=True, fresh=230),
    ]


def test_a_look_at_a_young_utterance_has_little_context() -> None:
    """Its first words are wanted soon: looks hear 6 s in all, until there are 1.4 s of it."""
    segmenter = Segmenter(WindowSettings(context_s=15.0, context_busy_s=6.0))
    heard(segmenter, 200, 15)
    heard(segmenter, 100, 15)
    heard(segmenter, 60)
    assert segmenter.look() == span(210, 390, Cut.EAGER, fresh=325, young=True)
    heard(segmenter, 10)
    assert segmenter.look() == span(0, 400, Cut.EAGER, fresh=325)
    assert heard(segmenter, 0, 15) == [span(0, 410, Cut.PAUSE, fresh=325)]


@settings(deadline=None)
@given(RUNS, st.sampled_from([0.0, 2.0, 6.0]))
def test_context_changes_no_cut(runs: list[tuple[int, int]], context_s: float) -> None:
    """With context or without, the same windows end at the same places, and begin no later."""
    with_context, without = Segmenter(WindowSettings(context_s=context_s)), Segmenter(DEFAULT)
    for speech, silence in runs:
        spans, plain = heard(with_context, speech, silence), heard(without, speech, silence)
        assert [replace(s, start=s.fresh) for s in spans] == plain
        for s in spans:
            assert s.start <= s.fresh
            assert s.start == s.fresh or s.end - s.start <= context_s * 16_000


# ------------------------------------------------ any speech
@settings(deadline=None)
@given(RUNS)
@example([(236, 15), (5, 1)])
def test_spans_are_in_order_and_not_too_long(runs: list[tuple[int, int]]) -> None:
    """No span is empty, none is longer than a window, ends grow; only an overlap repeats speech.

    (In the example a window is full during a pause: a little of the pause leads in the next one.)
    """
    segmenter = Segmenter(DEFAULT)
    spans = [s for speech, silence in runs for s in heard(segmenter, speech, silence)]
    if (last := segmenter.flush(Cut.END)) is not None:
        spans.append(last)
    window, overlap = WINDOW * FRAME_SAMPLES, OVERLAP * FRAME_SAMPLES
    assert all(0 < s.end - s.start <= window for s in spans)
    for before, after in pairwise(spans):
        assert before.end < after.end
        if after.overlaps:
            assert before.cut.in_speech
            assert after.start == before.end - overlap
        else:
            assert after.start >= before.end - (PAUSE - TAIL_FRAMES) * FRAME_SAMPLES


@settings(deadline=None)
@given(RUNS, st.sampled_from([0.0, 6.0]))
def test_what_a_span_needs_is_kept(runs: list[tuple[int, int]], context_s: float) -> None:
    """No span starts before what `keeps_from` promised to need a frame earlier."""
    segmenter = Segmenter(WindowSettings(context_s=context_s))
    for speech, silence in runs:
        for flag in [True] * speech + [False] * silence:
            keeps_from = segmenter.keeps_from
            found = segmenter.hear(flag)
            assert found is None or found.start >= keeps_from
            assert keeps_from <= segmenter.keeps_from <= segmenter.waits_from
