"""Overlapping windows become one text: each spoken word once, none lost, none cut."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callfsm.call.full_band import FullBandClip
from callfsm.call.merge import Merger, agreed, align, normalized
from callfsm.call.segmenter import Cut, Segmenter, Span
from callfsm.call.settings import WindowSettings
from callfsm.call.windows import Window
from callfsm.words import Word, as_text

RATE = 16_000
VOCABULARY = ("no", "yes", "the", "a", "to", "it", "not", "one", "nine", "seven", "operator")
JITTER_S = 0.1  # how good word times are said to be
UNHEARD_S = 0.1  # less of a word than this is no sound to recognise
PLAN = WindowSettings()


# ------------------------------------------------ somebody talks, a model listens
@st.composite
def spoken(draw: st.DrawFn, least: int = 1) -> tuple[Word, ...]:
    """What somebody says and when: few words, often said twice, some pauses, 0.2 to 0.6 s each."""
    words: list[Word] = []
    at_s = draw(st.integers(0, 10)) / 10
    for _ in range(draw(st.integers(least, 30))):
        repeats = 1 + draw(st.integers(0, 9)) // 7 * draw(st.integers(1, 3))
        text = draw(st.sampled_from(VOCABULARY))
        for _ in range(repeats):
            end_s = at_s + draw(st.integers(20, 60)) / 100
            words.append(Word(text, at_s, end_s))
            at_s = end_s + draw(st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.2]))
        if draw(st.integers(0, 9)) == 0:
            at_s += draw(st.integers(30, 250)) / 100
    return tuple(words)


@dataclass(frozen=True)
class Listener:
    """Cuts what is spoken into windows, as a call does, and hears each as a model would."""

    noise: Random
    plan: WindowSettings = PLAN
    looks: float = 0.0  # how likely a look is, in each frame in which one is due

    def windows(self, words: tuple[Word, ...]) -> Iterator[Window]:
        segmenter = Segmenter(self.plan)
        spans: list[Span | None] = []
        for frame in range(int(words[-1].end_s / 0.02) + 20):
            at_s = (frame + 0.5) * 0.02
            spans.append(segmenter.hear(any(w.start_s <= at_s <= w.end_s for w in words)))
            if segmenter.is_look_due(0.5) and self.noise.random() < self.looks:
                spans.append(segmenter.look())
        spans.append(segmenter.flush(Cut.END))
        found = [span for span in spans if span is not None]
        return (window_of(number, span) for number, span in enumerate(found, start=1))

    def hear(self, window: Window, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Words inside the window, times off by up to 0.1 s; a word cut by an edge is something
        else or nothing. The last word of a look is not reliable, and then not sure; where it is
        quiet after it, two looks do not get it wrong in the same way."""
        heard: list[Word] = []
        for word in words:
            inside_s = min(word.end_s, window.end_s) - max(word.start_s, window.start_s)
            is_whole = word.start_s >= window.start_s and word.end_s <= window.end_s
            if is_whole:
                heard.append(self._at(word.text, word, window, heard))
            elif inside_s >= UNHEARD_S and (text := self._piece_of(word, window)):
                heard.append(self._at(text, word, window, heard))
        if window.cut.is_look and heard and self.noise.random() < 0.3:
            last = heard.pop()
            text = "unstable" if window.cut is Cut.EAGER else f"unstable{window.number}"
            heard.append(Word(text, last.start_s, last.end_s, probability=0.5))
        return tuple(heard)

    def _piece_of(self, word: Word, window: Window) -> str:
        side = "end" if word.start_s < window.start_s else "begin"
        garbage = f"garbage{self.noise.randrange(10**6)}"
        return self.noise.choice(["", f"{side}of{word.text}", garbage])

    def _at(self, text: str, word: Word, window: Window, heard: list[Word]) -> Word:
        def about(time_s: float, earliest_s: float) -> float:
            off_s = time_s + self.noise.uniform(-JITTER_S, JITTER_S)
            return min(max(earliest_s, off_s), window.end_s)

        start_s = about(word.start_s, heard[-1].start_s if heard else window.start_s)
        return Word(text, start_s, about(word.end_s, start_s))


def window_of(number: int, span: Span) -> Window:
    clip = FullBandClip(bytes(span.end - span.start))
    start_s, fresh_s, quiet_s = (at / RATE for at in (span.start, span.fresh, span.quiet))
    return Window(number, start_s, clip, span.cut, span.overlaps, fresh_s, quiet_s, span.young)


def merged(listener: Listener, words: tuple[Word, ...]) -> str:
    """The text of the call, and on the way: nothing held is older than what is committed."""
    merger = Merger(listener.plan)
    text: list[Word] = []
    for window in listener.windows(words):
        text += merger.merge(window, listener.hear(window, words))
        if not (window.cut.in_speech or window.cut.is_look):
            assert merger.held == ()
    assert merger.failures == 0
    return as_text((*text, *merger.settle()))


NOISE = st.integers(0, 10**6).map(Random)
PLANS = st.sampled_from(
    [
        PLAN,
        WindowSettings(context_s=0.0),
        WindowSettings(window_s=3.0, stride_s=2.0),
        WindowSettings(window_s=8.0, overlap_s=2.0, stride_s=6.0),
    ]
)
# The same examples on every run: with times off by 0.2 s between two windows, some sequence of
# quick repeats is ambiguous to anybody. 24 000 random calls showed none.
unchanging = settings(max_examples=100, deadline=None, derandomize=True)


@unchanging
@given(spoken(), NOISE, PLANS)
def test_the_text_is_what_was_spoken(
    words: tuple[Word, ...], noise: Random, plan: WindowSettings
) -> None:
    """Real repeats survive, overlaps are not doubled, words cut by an edge are repaired."""
    assert merged(Listener(noise, plan), words) == as_text(words)


@unchanging
@given(spoken(), NOISE, PLANS, st.sampled_from([0.05, 0.3, 1.0]))
def test_looks_at_growing_windows_change_nothing(
    words: tuple[Word, ...], noise: Random, plan: WindowSettings, looks: float
) -> None:
    """What is committed early is never wrong: it cannot be taken back, and the text is the same."""
    assert merged(Listener(noise, plan, looks), words) == as_text(words)


@unchanging
@given(spoken(least=20), NOISE, st.sampled_from([6.0, 8.0]), st.sampled_from([0.0, 0.3]))
def test_little_context_changes_nothing(
    words: tuple[Word, ...], noise: Random, context_s: float, looks: float
) -> None:
    """As under load, where what is heard again begins amid words."""
    assert merged(Listener(noise, WindowSettings(context_s=context_s), looks), words) == as_text(
        words
    )


# ------------------------------------------------ single facts
def at(
    start_s: float, text: str, word_s: float = 0.5, *, probability: float = 1.0
) -> tuple[Word, ...]:
    """Words spoken one right after the other."""
    return tuple(
        Word(word, start_s + n * word_s, start_s + (n + 1) * word_s, probability)
        for n, word in enumerate(text.split())
    )


def window(
    start_s: float,
    end_s: float,
    cut: Cut,
    *,
    overlaps: bool = False,
    fresh_s: float | None = None,
    quiet_s: float = 0.0,
    is_young: bool = False,
) -> Window:
    clip = FullBandClip(bytes(round((end_s - start_s) * RATE)))
    fresh_s = start_s if fresh_s is None else fresh_s
    return Window(1, start_s, clip, cut, overlaps, fresh_s, quiet_s, is_young)


@pytest.fixture
def merger() -> Merger:
    return Merger(WindowSettings())


@pytest.mark.parametrize(
    ("text", "seen"),
    [("Hello,", "hello"), ("don't", "don't"), ('"Nine-one"', "nineone"), ("…", ""), ("ÉTÉ", "été")],
)
def test_alignment_sees_no_case_and_no_punctuation(text: str, seen: str) -> None:
    """A model writes the same word differently at the end of a sentence."""
    assert normalized(text) == seen


def test_a_pause_leaves_nothing_in_doubt(merger: Merger) -> None:
    """A window that ends in a pause is committed whole, at once."""
    words = at(0.3, "hello there")
    assert merger.merge(window(0.0, 1.6, Cut.PAUSE), words) == words
    assert merger.held == ()


def test_words_that_will_be_heard_again_are_held(merger: Merger) -> None:
    """A full window commits what ends before the overlap, and holds the rest."""
    words = at(0.2, "a b c d e f g h i")
    assert merger.merge(window(0.0, 5.0, Cut.FULL), words) == words[:7]
    assert merger.held == words[7:]


def test_a_word_cut_by_the_end_is_repaired(merger: Merger) -> None:
    """Right of the last word that both windows know, the later window is right."""
    merger.merge(window(0.0, 5.0, Cut.FULL), at(3.0, "we want pea", 0.66))
    new = merger.merge(
        window(4.0, 6.0, Cut.PAUSE, overlaps=True), at(3.66, "want peanuts today", 0.66)
    )
    assert as_text(new) == "want peanuts today"


def test_a_word_cut_by_the_start_is_repaired(merger: Merger) -> None:
    """Left of the last word that both windows know, the earlier window is right."""
    merger.merge(window(0.0, 5.0, Cut.FULL), at(3.5, "operator please wait"))
    again = (Word("raider", 4.0, 4.1), *at(4.0, "please wait here"))
    assert as_text(merger.merge(window(4.0, 6.0, Cut.PAUSE, overlaps=True), again)) == (
        "please wait here"
    )


@pytest.mark.parametrize("times", range(1, 7))
def test_no_no_no_is_said_as_often_as_it_was_spoken(merger: Merger, times: int) -> None:
    """A word said several times across an overlap is counted by its times, not by its text."""
    noes = at(5.0 - times * 0.2, " ".join(["no"] * times), 0.4)
    first = [word for word in noes if word.end_s <= 5.0]
    second = [word for word in noes if word.start_s >= 4.0]
    text = list(merger.merge(window(0.0, 5.0, Cut.FULL), tuple(first)))
    text += merger.merge(window(4.0, 7.0, Cut.PAUSE, overlaps=True), tuple(second))
    assert as_text(tuple(text)) == as_text(noes)


def test_windows_without_a_common_word_are_joined_by_time(merger: Merger) -> None:
    """Each window is believed in its own half of the overlap, and it is counted."""
    merger.merge(window(0.0, 5.0, Cut.FULL), at(4.0, "alpha bravo"))
    new = merger.merge(window(4.0, 6.0, Cut.PAUSE, overlaps=True), at(4.05, "x yankee zulu"))
    assert (as_text(new), merger.unaligned, merger.failures) == ("alpha yankee zulu", 1, 0)


def test_a_later_window_that_hears_nothing_takes_nothing_back(merger: Merger) -> None:
    """Words that were held are not lost because the next window was silent to the model."""
    words = at(4.0, "alpha bravo")
    merger.merge(window(0.0, 5.0, Cut.FULL), words)
    assert merger.merge(window(4.0, 6.0, Cut.STALL, overlaps=True), ()) == words
    assert merger.held == ()


def test_a_window_after_a_pause_confirms_what_is_held(merger: Merger) -> None:
    """Without overlap nothing can change the words held back."""
    held, new = at(4.2, "alpha"), at(9.0, "bravo")
    merger.merge(window(0.0, 5.0, Cut.FULL), held)
    assert merger.merge(window(8.7, 10.0, Cut.PAUSE), new) == held + new


def test_settling_commits_what_is_held_once(merger: Merger) -> None:
    """At the end, or after a silence, nothing more will be heard of the words held back."""
    held = at(4.2, "alpha")
    merger.merge(window(0.0, 5.0, Cut.FULL), held)
    assert (merger.settle(), merger.settle(), merger.held) == (held, (), ())


def test_settled_words_are_not_heard_twice(merger: Merger) -> None:
    """When speech goes on after all, its overlap repeats nothing that was settled."""
    merger.merge(window(0.0, 5.0, Cut.STALL), at(4.2, "alpha"))
    merger.settle()
    new = merger.merge(window(4.0, 6.0, Cut.PAUSE, overlaps=True), at(4.2, "alpha bravo"))
    assert as_text(new) == "bravo"


def test_a_fragment_heard_twice_is_not_a_word(merger: Merger) -> None:
    """Two windows that end in the same word agree on its fragment, and both are wrong."""
    text = list(merger.merge(window(0.0, 2.0, Cut.STALL), at(1.0, "want pea")))
    text += merger.merge(window(1.0, 2.1, Cut.STALL, overlaps=True), at(1.0, "want pea"))
    text += merger.merge(window(1.1, 3.0, Cut.PAUSE, overlaps=True), at(1.5, "peanuts today"))
    assert as_text(tuple(text)) == "want peanuts today"


# ------------------------------------------------ doubtful words
DOUBTFUL = (Word("eleven", 0.8, 1.2, probability=0.2),)


def test_a_doubtful_word_waits_for_what_follows(merger: Merger) -> None:
    """Looks commit what comes before it; the next pass, which hears more, may correct it."""
    spoken = at(0.3, "extension") + DOUBTFUL
    first = merger.merge(window(0.0, 1.6, Cut.EAGER), spoken)
    first += merger.merge(window(0.0, 1.9, Cut.EAGER), spoken)
    assert (as_text(first), merger.held) == ("extension", DOUBTFUL)
    later = window(0.0, 3.0, Cut.PAUSE)
    new = merger.merge(later, (*at(0.3, "extension"), *at(0.8, "eleventh is busy")))
    assert as_text(new) == "eleventh is busy"


@pytest.mark.parametrize(
    ("end_s", "cut"), [(1.5, Cut.PAUSE), (1.5, Cut.END), (1.5, Cut.CHUNK)], ids=str
)
def test_a_doubtful_word_is_committed_when_nothing_better_will_come(
    merger: Merger, end_s: float, cut: Cut
) -> None:
    """At a pause, at the end, and of a chunk that stands alone."""
    assert merger.merge(window(0.0, end_s, cut), DOUBTFUL) == DOUBTFUL


def test_two_looks_that_agree_on_a_doubtful_word_do_not_commit_it(merger: Merger) -> None:
    """Both heard it with the same little after it."""
    spoken = at(0.0, "extension") + DOUBTFUL + at(1.2, "is busy")
    text = merger.merge(window(0.0, 2.0, Cut.EAGER), spoken)
    text += merger.merge(window(0.0, 2.5, Cut.EAGER), spoken)
    assert (as_text(text), merger.held) == ("extension", spoken[1:])


@pytest.mark.parametrize(("in_the_end", "text"), [("goodbye", "goodbye"), ("no no no", "no no no")])
def test_a_look_that_repeats_itself_is_not_believed(
    merger: Merger, in_the_end: str, text: str
) -> None:
    """A decoder that does not stop says a word again and again: two looks can agree on that."""
    for end_s in (1.6, 1.8):
        looked = at(0.2, "no no no", 0.3)
        assert merger.merge(window(0.0, end_s, Cut.HUSH, quiet_s=0.1), looked) == ()
    assert as_text(merger.merge(window(0.0, 2.0, Cut.PAUSE), at(0.2, in_the_end, 0.3))) == text


def test_a_held_word_that_is_not_heard_again_is_kept(merger: Merger) -> None:
    """A window that begins after it cannot change it."""
    merger.merge(window(0.0, 1.5, Cut.EAGER), DOUBTFUL)
    new = merger.merge(window(1.3, 4.0, Cut.PAUSE, fresh_s=2.0), at(2.3, "is busy"))
    assert as_text(new) == "eleven is busy"


@pytest.mark.parametrize("again", ["is busy", "'leven is busy"])
def test_a_held_word_that_is_cut_in_two_is_kept(merger: Merger, again: str) -> None:
    """A window that hears a part of it may hear nothing there, or another word."""
    merger.merge(window(0.0, 4.0, Cut.FULL), at(2.7, "extension eleven"))
    *fragment, first, second = again.split()
    words = (*(Word(text, 3.5, 3.6) for text in fragment), *at(4.2, f"{first} {second}"))
    new = merger.merge(window(3.5, 6.0, Cut.PAUSE, fresh_s=4.0), words)
    assert as_text(new) == "extension eleven is busy"


def test_a_held_word_without_time_at_the_beginning_is_heard_again(merger: Merger) -> None:
    """A first look at a call may put a word at 0.0 s: the next look begins there, and not later."""
    trans = Word("Trans", 0.0, 0.0, probability=0.1)
    transfer = Word("Transfer", 0.0, 0.4, probability=0.5)
    merger.merge(window(0.0, 0.46, Cut.EAGER), (trans,))
    text = merger.merge(window(0.0, 0.74, Cut.EAGER), (transfer,))
    assert as_text(text + merger.merge(window(0.0, 1.12, Cut.PAUSE), (transfer,))) == "Transfer"


@pytest.mark.parametrize(
    ("committed", "again", "new"),
    [
        ("11", "11th is busy", "is busy"),
        ("undel", "undeleted please", "please"),
        ("log in", "login please", "please"),
        ("want", "peanuts today", "peanuts today"),
        ("press", "no no", "no no"),
    ],
)
def test_a_committed_word_understood_otherwise_is_not_new(
    merger: Merger, committed: str, again: str, new: str
) -> None:
    """The engine gives the pause after a word to the word, too, so its times say little."""
    merger.merge(window(0.0, 2.0, Cut.PAUSE), at(0.2, "extension " + committed))
    late = tuple(Word(word, 1.8 + n, 2.8 + n) for n, word in enumerate(again.split()))
    later = window(0.0, 4.9, Cut.PAUSE, fresh_s=1.9)
    assert as_text(merger.merge(later, at(0.2, "extension") + late)) == new


@pytest.mark.parametrize(
    ("again", "new"),
    [
        ("to Elsa family", "family"),  # in its place: it is the committed one
        ("to alpha Elsa family", "Elsa family"),  # none is in its place: it was missed before
    ],
)
def test_a_word_in_the_place_of_a_committed_one_is_not_new(
    merger: Merger, again: str, new: str
) -> None:
    """Whatever its letters: another pass heard all of that utterance to its end."""
    merger.merge(window(0.0, 1.8, Cut.PAUSE), at(0.2, "to alpha"))
    *before, last = again.split()
    heard = at(0.2, "to") + at(1.0, " ".join(before[1:])) + at(3.0, last)
    assert as_text(merger.merge(window(0.0, 3.9, Cut.PAUSE, fresh_s=2.7), heard)) == new


# ------------------------------------------------ looks
def test_two_looks_commit_what_they_agree_on(merger: Merger) -> None:
    """The second pass over a growing window commits the common beginning, before the pause."""
    assert merger.merge(window(0.0, 1.2, Cut.EAGER), at(0.2, "please wait")) == ()
    new = merger.merge(window(0.0, 2.2, Cut.EAGER), at(0.2, "please wait for the"))
    assert (as_text(new), as_text(merger.held)) == ("please wait", "for the")


def test_a_look_corrects_the_one_before(merger: Merger) -> None:
    """Where two looks differ the later holds, and nothing is committed from there on."""
    merger.merge(window(0.0, 1.2, Cut.EAGER), at(0.2, "please weigh"))
    new = merger.merge(window(0.0, 2.2, Cut.EAGER), at(0.2, "please wait for the"))
    assert (as_text(new), as_text(merger.held)) == ("please", "wait for the")


def test_the_last_word_of_a_look_is_never_agreed_on(merger: Merger) -> None:
    """Two passes that end in the same word may have cut it in the same way."""
    merger.merge(window(0.0, 1.2, Cut.EAGER), at(0.2, "please wai"))
    assert as_text(merger.merge(window(0.0, 1.3, Cut.EAGER), at(0.2, "please wai"))) == "please"


def test_an_unlikely_word_of_a_young_utterance_waits(merger: Merger) -> None:
    """Looks at the first 1.4 s have little context: what is not likely is for a later look."""
    begun, (unlikely,) = at(0.0, "press", probability=0.6), at(0.35, "six", probability=0.4)
    heard = (*begun, unlikely, *at(0.7, "times", probability=0.6))
    merger.merge(window(0.0, 1.2, Cut.EAGER, is_young=True), heard)
    new = merger.merge(window(0.0, 1.3, Cut.EAGER, is_young=True), heard)
    assert as_text(new) == "press"
    assert as_text(merger.merge(window(0.0, 1.5, Cut.EAGER), heard)) == "six"


def test_the_first_word_of_an_utterance_need_not_be_likely(merger: Merger) -> None:
    """As a sentence may begin there, with a capital or not, two spellings share its probability."""
    heard = (*at(0.2, "the", probability=0.4), *at(0.7, "times", probability=0.6))
    merger.merge(window(0.0, 1.2, Cut.EAGER, is_young=True), heard)
    new = merger.merge(window(0.0, 1.3, Cut.EAGER, is_young=True), heard)
    assert as_text(new) == "the"


@pytest.mark.parametrize(
    ("probability", "is_young", "end_s", "new"),
    [
        (0.9, True, 1.16, "press six"),  # the words end at 0.5 and 1 s
        (0.9, True, 1.14, "press"),
        (0.7, True, 1.16, ""),
        (0.9, False, 1.16, ""),
    ],
)
def test_a_first_word_that_is_sure_needs_one_look(
    merger: Merger, probability: float, is_young: bool, end_s: float, new: str
) -> None:
    """Once an utterance begins, words of 0.8 with 0.15 s behind them are as right heard once."""
    heard = at(0.0, "press six", probability=probability)
    look = window(0.0, end_s, Cut.EAGER, is_young=is_young)
    assert as_text(merger.merge(look, heard)) == new


def test_the_last_word_is_complete_where_it_is_quiet(merger: Merger) -> None:
    """A tenth of a second without speech: no word goes on after that."""
    merger.merge(window(0.0, 1.2, Cut.EAGER), at(0.2, "please wait"))
    new = merger.merge(window(0.0, 1.4, Cut.HUSH, quiet_s=0.1), at(0.2, "please wait"))
    assert as_text(new) == "please wait"


def test_a_first_look_commits_what_a_full_window_would(merger: Merger) -> None:
    """Looks are rare under load: one that comes late commits what has a second after it."""
    spoken = at(0.2, "please wait for the tone and")
    new = merger.merge(window(0.0, 3.2, Cut.EAGER), spoken)
    assert (as_text(new), as_text(merger.held)) == ("please wait for the", "tone and")


def test_a_second_look_commits_only_what_the_first_heard_too(merger: Merger) -> None:
    """Where two looks differ, no time after a word makes up for it."""
    merger.merge(window(0.0, 1.2, Cut.EAGER), at(0.2, "please weigh"))
    new = merger.merge(window(0.0, 3.4, Cut.EAGER), at(0.2, "please wait for the tone and"))
    assert (as_text(new), as_text(merger.held)) == ("please", "wait for the tone and")


def test_the_final_pass_adds_what_the_looks_left(merger: Merger) -> None:
    """Committed words are not repeated; the rest comes with the pause."""
    merger.merge(window(0.0, 1.2, Cut.EAGER), at(0.2, "please wait"))
    merger.merge(window(0.0, 2.2, Cut.EAGER), at(0.2, "please wait for the"))
    final = merger.merge(window(0.0, 3.2, Cut.PAUSE), at(0.2, "Please wait for the tone."))
    assert as_text(final) == "for the tone."


def test_a_repeated_word_held_is_not_taken_for_the_one_committed(merger: Merger) -> None:
    """Times drift between two looks: what is held tells which of two equal words is which."""
    merger.merge(window(0.0, 1.0, Cut.EAGER), (Word("is", 0.29, 0.54), Word("s", 0.6, 0.9)))
    second = (Word("is", 0.29, 0.54), Word("is", 0.52, 0.86), Word("it", 0.9, 1.2))
    text = list(merger.merge(window(0.0, 2.0, Cut.EAGER), second))
    last = (Word("is", 0.14, 0.38), Word("is", 0.37, 0.71), Word("it", 0.9, 1.2))
    text += merger.merge(window(0.0, 2.5, Cut.PAUSE), last)
    assert as_text(tuple(text)) == "is is it"


def test_a_final_pass_that_hears_nothing_takes_nothing_back(merger: Merger) -> None:
    """What a look heard is not lost when the model returns nothing for the whole window."""
    words = at(0.2, "please wait")
    merger.merge(window(0.0, 1.2, Cut.EAGER), words)
    assert merger.merge(window(0.0, 1.6, Cut.PAUSE), ()) == words


def test_agreement_counts_from_the_start() -> None:
    """The common beginning, and nothing after the first difference."""
    assert agreed(at(0, "a b x d"), at(0, "A, b c d")) == 2
    assert agreed((), at(0, "a")) == 0


# ------------------------------------------------ what was only just said
def test_a_look_commits_nothing_that_was_only_just_said(merger: Merger) -> None:
    """Some of what follows a word must have been heard before two looks commit it."""
    first, second = (
        tuple(replace(word, probability=0.7) for word in at(0.2, text))
        for text in ("three to re", "three to re record")
    )
    merger.merge(window(0.0, 1.2, Cut.EAGER), first)
    new = merger.merge(window(0.0, 1.45, Cut.EAGER), second)
    assert (as_text(new), as_text(merger.held)) == ("three", "to re record")


@pytest.mark.parametrize(("before", "now"), [(0.8, 0.8), (0.9, 0.79), (0.79, 0.9)])
def test_a_word_that_is_sure_twice_waits_for_less(
    merger: Merger, before: float, now: float
) -> None:
    """Where both passes give it 0.8 or more, a tenth of a second after it is enough."""
    sure, *after = at(0.2, "three to re")
    merger.merge(window(0.0, 0.7, Cut.EAGER), (replace(sure, probability=before), *after))
    new = merger.merge(window(0.0, 0.8, Cut.EAGER), (replace(sure, probability=now), *after))
    assert as_text(new) == ("three" if min(before, now) >= 0.8 else "")


# ------------------------------------------------ context
def test_context_is_heard_and_not_repeated(merger: Merger) -> None:
    """Words of the utterances before are in the window, and not in its text."""
    merger.merge(window(0.0, 1.5, Cut.PAUSE), at(0.3, "hello there"))
    words = at(0.32, "Hello, there.") + at(2.2, "there again")
    new = merger.merge(window(0.0, 3.4, Cut.PAUSE, fresh_s=1.9), words)
    assert as_text(new) == "there again"


# ------------------------------------------------ times that are no times
GARBAGE_TIMES = [
    (Word("one", 2.0, 2.5), Word("two", 1.0, 1.5)),
    (Word("one", -1000.0, -999.0), Word("two", 1.0, 1.5)),
    (Word("one", 1.0, 0.5), Word("two", 1.0, 1.5)),
    (Word("one", 1.0, 1.5), Word("two", 2.0, 30.0)),
    (Word("one", 1.0, 1.5), Word("two", float("nan"), float("nan"))),
]


@pytest.mark.parametrize("words", GARBAGE_TIMES)
@pytest.mark.parametrize("fresh_s", [0.0, 2.0])
def test_words_with_useless_times_are_forwarded_whole(
    merger: Merger, words: tuple[Word, ...], fresh_s: float
) -> None:
    """Rather twice than lost: all of it goes out, and the failure is counted."""
    assert merger.merge(window(0.0, 5.0, Cut.FULL, fresh_s=fresh_s), words) == words
    assert (merger.failures, merger.held) == (1, ())


@pytest.mark.parametrize("words", GARBAGE_TIMES)
def test_useless_times_cost_no_later_word(merger: Merger, words: tuple[Word, ...]) -> None:
    """After a failure the next windows are joined as ever: what ends in them is not lost."""
    merger.merge(window(0.0, 5.0, Cut.FULL), words)
    text = list(merger.merge(window(4.0, 9.0, Cut.FULL, overlaps=True), at(5.1, "a b c d e f g h")))
    text += merger.merge(window(8.0, 10.0, Cut.PAUSE, overlaps=True), at(8.1, "g h i"))
    assert as_text(tuple(text)) == "a b c d e f g h i"
    assert merger.failures == 1


def test_held_words_come_before_a_failure(merger: Merger) -> None:
    """The order of the text is the order of the windows."""
    held = at(4.2, "alpha")
    merger.merge(window(0.0, 5.0, Cut.FULL), held)
    bad = GARBAGE_TIMES[0]
    assert merger.merge(window(4.0, 9.0, Cut.FULL, overlaps=True), bad) == held + bad


def test_a_look_with_useless_times_is_ignored(merger: Merger) -> None:
    """All of it will be heard again, so nothing is forwarded twice."""
    assert merger.merge(window(0.0, 2.0, Cut.EAGER), GARBAGE_TIMES[0]) == ()
    words = at(0.3, "alpha bravo")
    assert merger.merge(window(0.0, 3.0, Cut.PAUSE), words) == words


# ------------------------------------------------ alignment itself
TIMED = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(1, 5)), max_size=8
).map(
    lambda raw: tuple(Word(t, s / 10, (s + d) / 10) for t, s, d in sorted(raw, key=lambda r: r[1]))
)


@settings(deadline=None)
@given(TIMED, TIMED)
def test_alignment_pairs_the_same_word_at_the_same_time(
    left: tuple[Word, ...], right: tuple[Word, ...]
) -> None:
    """Pairs are in order on both sides, of equal text, and one of their ends agrees to 0.8 s."""
    pairs = align(left, right, astray=True)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    for i, j in pairs:
        assert left[i].text == right[j].text
        a, b = left[i], right[j]
        assert min(abs(a.start_s - b.start_s), abs(a.end_s - b.end_s)) < 0.8


@settings(deadline=None)
@given(TIMED)
def test_everything_aligns_with_itself(words: tuple[Word, ...]) -> None:
    """A sequence and its copy are paired word by word."""
    assert align(words, words) == [(n, n) for n in range(len(words))]


@settings(deadline=None)
@given(TIMED, TIMED)
def test_alignment_has_no_preferred_side(left: tuple[Word, ...], right: tuple[Word, ...]) -> None:
    """How well two sequences agree does not depend on which of them is called left."""

    def score(pairs: list[tuple[int, int]], a: tuple[Word, ...], b: tuple[Word, ...]) -> float:
        return sum(
            1 - abs(a[i].start_s + a[i].end_s - b[j].start_s - b[j].end_s) / 0.8 for i, j in pairs
        )

    assert score(align(left, right), left, right) == pytest.approx(
        score(align(right, left), right, left)
    )
