"""deduping: the window's words are merged into the text; left in the turn that entered it."""

from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.effects import ForwardText, Note
from callfsm.call.events import EndReason
from callfsm.call.handlers import HELD
from callfsm.call.settings import WindowSettings
from callfsm.call.table import call_machine
from callfsm.fsm.table import Event, Policy, SetTimer
from callfsm.testing import Scenario, given
from callfsm.words import Word
from specs.call.scenes import (
    STALE_ACCEPT,
    STALE_FAILURE,
    STALE_RESULT,
    TEXT_1,
    TWELVE,
    a_call,
    buffering,
    chunk,
    done,
    forwarded,
    heard,
    inferring,
    quiet,
    words,
)
from specs.policies import every_other_event

HOLD = SetTimer(HELD, 1.0, ev.HeldWordsElapsed())
HEARS_ALL = WindowSettings(context_busy_s=15.0)  # its second window hears the first again


def second_window(windows: WindowSettings | None = None) -> Scenario[Call]:
    """Two full windows of a sentence; the second, 4 to 9 s, is with the inference actor."""
    return buffering(windows).after(heard(5.0), done(1, TWELVE), ev.TextAccepted(1), heard(4.0))


def test_new_text() -> None:
    """New words are forwarded as the call's next text."""
    call = given(call_machine, a_call(), "deduping").when(ev.NewText(words("hello")))
    call.then("forwarding", ForwardText(1, words("hello")))


def test_nothing_new() -> None:
    """A window that adds no word leaves the call listening."""
    given(call_machine, a_call(), "deduping").when(ev.NothingNew()).then("buffering")


def test_never_rests_here() -> None:
    """A call passes this state within one turn."""
    assert [str(step) for step in inferring().when(TEXT_1).steps] == [
        "inferring + InferenceDone -> deduping",
        "deduping + NewText -> forwarding",
    ]


def test_words_in_the_overlap_are_held() -> None:
    """Of a window cut in mid-speech the words of its last second are held back."""
    call = buffering().after(heard(5.0)).when(done(1, TWELVE))
    call.then("forwarding", HOLD, ForwardText)
    assert forwarded(call) == "one two three four five six seven eight nine ten"


def test_next_window_repairs_held_words() -> None:
    """A word cut by the edge of a window is repaired by the next one, and none comes twice."""
    call = second_window(HEARS_ALL).when(done(2, "eleven twelve thirteen", 4.0))
    assert forwarded(call) == "eleven twelve thirteen"


def test_real_repetitions_survive() -> None:
    """A word that was said three times is forwarded three times."""
    call = buffering(HEARS_ALL).after(heard(5.0)).when(done(1, "no no no", 3.6))
    assert forwarded(call) == "no"
    call.after(ev.TextAccepted(1), heard(4.0)).when(done(2, "no no", 4.0))
    assert forwarded(call) == "no no"


def test_window_that_says_nothing() -> None:
    """Held words that a window without a word does not reach are right as they are: no later one
    will hear them whole."""
    call = buffering(WindowSettings(context_s=0.0)).after(chunk(1.0, 0.0), done(1, "one two", 0.2))
    call.after(ev.TextAccepted(1), quiet(0.3), chunk(0.6, 0.0))
    call.when(done(2, ""))
    assert forwarded(call) == "one two"


def test_overlap_without_a_common_word() -> None:
    """When the overlap has no word in common, the windows are joined by time, and it is noted."""
    no_context = WindowSettings(context_s=0.0)
    call = second_window(no_context).when(done(2, "something else", 0.6))
    call.then("forwarding", Note("overlap_unaligned", "window 2"), ForwardText)
    assert forwarded(call) == "eleven something else"


def test_useless_word_times() -> None:
    """When the word times are no use, the full text is forwarded, and it is noted."""
    jumbled = (Word("what", 3.0, 3.4), Word("now", 1.0, 1.4))
    call = second_window().when(ev.InferenceDone(2, jumbled))
    call.then("forwarding", Note("overlap_failed", "window 2 is forwarded whole"), ForwardText)
    assert forwarded(call) == "eleven twel what now"


def test_context_is_not_forwarded_again() -> None:
    """Of a window that was heard with context only the new words are forwarded."""
    call = inferring().after(TEXT_1, ev.TextAccepted(1), chunk(1.0))
    call.when(done(2, "hello there good bye", 0.2))
    assert forwarded(call) == "good bye"


def test_doubtful_words_wait_for_what_follows() -> None:
    """A doubtful word is held back while speech goes on, and so is what comes after it."""
    spoken = (*words("hello"), Word("there", 0.5, 0.9, probability=0.2))
    call = buffering().after(heard(2.0, load=0.0)).when(ev.InferenceDone(1, spoken))
    call.then("forwarding", HOLD, ForwardText(1, words("hello")))


def test_doubtful_words_at_a_pause() -> None:
    """At a pause a doubtful word is forwarded: the speaker may be waiting for an answer."""
    doubtful = (Word("there", 0.5, 0.9, probability=0.2),)
    call = inferring().when(ev.InferenceDone(1, doubtful))
    call.then("forwarding", ForwardText(1, doubtful))


def test_look_ahead_holds_its_words() -> None:
    """The first look at a growing window forwards nothing: its words may change."""
    call = buffering().after(heard(1.5, load=0.0)).when(done(1, "one two", 0.2))
    call.then("buffering", HOLD)


def test_first_words_of_an_utterance() -> None:
    """A look at the first 1.4 s forwards what it is sure of, but for what was just said."""
    call = buffering().after(heard(0.9, load=0.0)).when(done(1, "one two"))
    call.then("forwarding", HOLD, ForwardText(1, words("one")))


def test_two_looks_that_agree() -> None:
    """Words that two looks at a growing window agree on are forwarded."""
    look = done(1, "one two", 0.2)
    call = buffering().after(heard(1.5, load=0.0), look, heard(1.0, load=0.0))
    call.when(done(2, "one two three", 0.2))
    assert forwarded(call) == "one two"


@every_other_event(
    rejected=[
        ev.Registered(),
        ev.AudioConnected(),
        ev.ConnectFailed(),
        heard(0.02),
        ev.Bye(),
        ev.StreamEnded(EndReason.END_OF_STREAM),
        STALE_RESULT,
        ev.InferenceStarted(1),
        STALE_FAILURE,
        STALE_ACCEPT,
        ev.GiveUp(),
        ev.PauseElapsed(),
        ev.HeldWordsElapsed(),
        ev.GraceElapsed(),
        ev.IdleElapsed(),
        ev.InferenceOverdue(),
        ev.AcceptOverdue(),
        ev.CutDue(),
        ev.WindowTaken(),
        ev.Drained(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """Nothing from the mailbox can come between an answer and what is made of it."""
    given(call_machine, a_call(), "deduping").when(event).then_policy(policy)
