"""What a call does: one function per row of the table. An event in, effects out."""

from collections.abc import Iterator

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.settings import LOAD_MEAN_S, SOON_CONTEXT_S, SPENDABLE_LOAD
from callfsm.call.windows import Window
from callfsm.fsm.table import CancelTimer, Effect, Event, Raise, SetTimer
from callfsm.words import Word, shifted

PAUSE, GRACE, HELD = "pause", "grace", "held words"  # timers


# ---------------------------------------------------------------- guards
def connecting(call: Call, _: Event) -> bool:
    return call.connecting


def idle(call: Call, _: Event) -> bool:
    return not call.connecting


def hung_up(call: Call, _: Event) -> bool:
    return call.bye


def silent_since(call: Call, _: Event) -> bool:
    """Nothing was said that could change the words held back."""
    return bool(call.merger.held) and not call.windows.has_speech


def of_this_window(
    call: Call, event: ev.InferenceStarted | ev.InferenceDone | ev.InferenceFailed
) -> bool:
    return call.window is not None and call.window.number == event.window


def may_try_again(call: Call, event: ev.InferenceFailed) -> bool:
    """A window is tried twice; a look once, since what it saw will be heard again anyway."""
    if call.window is None or call.window.cut.is_look:
        return False
    return of_this_window(call, event) and call.failures == 0


def of_this_text(call: Call, event: ev.TextAccepted) -> bool:
    return call.texts == event.number


# ---------------------------------------------------------------- registered
def connect(call: Call, _: ev.Registered) -> Iterator[Effect]:
    call.connecting = True
    yield ask.ConnectAudio()


def connected(call: Call, _: ev.AudioConnected) -> Iterator[Effect]:
    call.connecting = False
    yield ask.OpenLink()


def try_at_next_register(call: Call, _: ev.ConnectFailed) -> Iterator[Effect]:
    call.connecting = False
    yield ask.Note("connect_failed")


def never_connected(call: Call, _: Event) -> Iterator[Effect]:
    call.end_reason = ev.EndReason.NEVER_CONNECTED
    yield ask.Note("never_connected")


# ---------------------------------------------------------------- audio
def hear(call: Call, event: ev.AudioReceived) -> Iterator[Effect]:
    """Append audio, and wait for what comes next."""
    _append(call, event)
    yield from _expect_audio(call)


def hear_while_busy(call: Call, event: ev.AudioReceived) -> Iterator[Effect]:
    """The same, and have the sender wait when the buffer is full."""
    _append(call, event)
    can_grow = call.windows.can_grow
    if call.windows.is_behind and not can_grow and not call.reading_paused:
        call.reading_paused = True
        yield ask.Note("reading_paused", f"{call.windows.unheard_s:.1f} s wait for inference")
        yield from _expect_no_audio()
        yield ask.PauseReading()
    yield from _expect_audio(call)
    if can_grow:
        yield Raise(ev.CutDue())


def _append(call: Call, event: ev.AudioReceived) -> None:
    share = min(1.0, len(event.samples) / SAMPLE_RATE_HZ / LOAD_MEAN_S)
    call.mean_load += share * (event.load - call.mean_load)
    _limit_context(call)
    call.windows.append(event.samples)
    if event.chunk_s:
        call.windows.end_chunk(event.chunk_s)
    call.load, call.within_chunk = event.load, not event.chunk_s


def _limit_context(call: Call) -> None:
    settings = call.settings.windows
    context_s = settings.context_at_s(call.mean_load)
    call.windows.limit_context(context_s, settings.soon_context_s(context_s, call.cost))


def pause(call: Call, _: ev.PauseElapsed) -> Iterator[Effect]:
    call.windows.pause()
    yield from ()


def pause_while_busy(call: Call, _: ev.PauseElapsed) -> Iterator[Effect]:
    call.windows.pause()
    if call.windows.can_grow:
        yield Raise(ev.CutDue())


# ---------------------------------------------------------------- hanging up
def expect_end(call: Call, _: ev.Bye) -> Iterator[Effect]:
    call.bye = True
    if not call.reading_paused:
        yield _grace(call)


def drain(call: Call, event: Event) -> Iterator[Effect]:
    """The audio is over: from here on only what was heard is worked on."""
    match event:
        case _ if call.draining:
            pass  # the first reason is the reason
        case ev.StreamEnded(reason):
            call.end_reason = reason
        case ev.IdleElapsed():
            call.end_reason = ev.EndReason.IDLE
        case _:
            call.end_reason = ev.EndReason.BYE
    yield from _expect_no_audio()


def drain_while_busy(call: Call, event: Event) -> Iterator[Effect]:
    """The same. What is left joins the window that still waits, or takes the place of a look: looks
    wait for the windows of all other calls."""
    yield from drain(call, event)
    call.windows.end()
    if call.windows.can_grow:
        yield Raise(ev.CutDue())


def _expect_audio(call: Call) -> Iterator[Effect]:
    """Watch the clock for a pause while somebody speaks, and for the end after BYE; not while we do
    not read, since that silence is not the sender's."""
    if call.reading_paused:
        return
    if call.windows.has_speech:
        yield SetTimer(PAUSE, call.settings.windows.pause_s, ev.PauseElapsed())
    if call.bye:
        yield _grace(call)


def _expect_no_audio() -> Iterator[Effect]:
    yield CancelTimer(GRACE)
    yield CancelTimer(PAUSE)


def _grace(call: Call) -> SetTimer:
    return SetTimer(GRACE, call.settings.grace_s, ev.GraceElapsed())


# ---------------------------------------------------------------- buffering
def decide(call: Call) -> Iterator[Effect]:
    """On entering `buffering`: is a window ready, is a look ahead due, is the call over?"""
    windows, settings = call.windows, call.settings.windows
    if call.draining and not windows.has_window:
        windows.end()
    if windows.has_window:
        yield Raise(ev.CutDue())
    elif call.draining:
        yield Raise(ev.HeldWordsElapsed() if call.merger.held else ev.Drained())
    elif not call.within_chunk:
        begins_s = windows.young_from_s
        is_first = begins_s is not None and not call.merger.has_committed_since(begins_s)
        if windows.is_look_due(settings.look_step_s(call.load, is_first=is_first)):
            yield Raise(ev.CutDue())


def is_heard(call: Call, _: ev.CutDue) -> bool:
    """The next window ends with the speech that a look in the hush has heard all of."""
    hushed_from_s = call.windows.hushed_from_s
    return hushed_from_s is not None and call.merger.has_heard_to(hushed_from_s)


def settle_window(call: Call, _: ev.CutDue) -> Iterator[Effect]:
    """What the look held back is final."""
    call.windows.skip()
    yield from _read_on(call)
    yield from _merged(call.merger.settle())


def take_window(call: Call, _: ev.CutDue) -> Iterator[Effect]:
    yield from _take(call, call.windows.take())


def take_longer_window(call: Call, _: ev.CutDue) -> Iterator[Effect]:
    yield from _take(call, call.windows.grow())


def _take(call: Call, window: Window) -> Iterator[Effect]:
    call.window = window
    call.failures = 0
    yield from _read_on(call)
    yield Raise(ev.WindowTaken())


def _read_on(call: Call) -> Iterator[Effect]:
    """Let the sender go on, where there is room for its audio again."""
    if call.reading_paused and not call.windows.is_behind:
        call.reading_paused = False
        yield ask.ResumeReading()
        if not call.draining:
            yield from _expect_audio(call)


def settle_held_words(call: Call, _: ev.HeldWordsElapsed) -> Iterator[Effect]:
    yield from _forward(call, call.merger.settle())


# ---------------------------------------------------------------- inference
def transcribe(call: Call, _: ev.WindowTaken) -> Iterator[Effect]:
    if call.window is not None:
        yield ask.Transcribe(call.window, thorough=call.load <= SPENDABLE_LOAD)


def begin(call: Call, _: ev.InferenceStarted) -> Iterator[Effect]:
    yield from _let_go(call)


def _let_go(call: Call) -> Iterator[Effect]:
    """The window taken last waits for a context no more: that makes room for what comes."""
    call.windows.begin()
    yield from _read_on(call)


def deduplicate(call: Call, event: ev.InferenceDone) -> Iterator[Effect]:
    """Merge the window's words into the call's text."""
    window, merger = call.window, call.merger
    if window is None:
        return
    unaligned, failures = merger.unaligned, merger.failures
    committed = merger.merge(window, shifted(event.words, window.start_s))
    heard_s = max(window.end_s - window.start_s, SOON_CONTEXT_S)  # less takes about as long
    call.cost = event.inference_s / heard_s
    _limit_context(call)
    call.window = None
    yield from _let_go(call)
    if merger.unaligned > unaligned:
        yield ask.Note("overlap_unaligned", f"window {window.number}")
    if merger.failures > failures:
        yield ask.Note("overlap_failed", f"window {window.number} is forwarded whole")
    if merger.held and not call.draining:
        yield SetTimer(HELD, call.settings.held_words_s, ev.HeldWordsElapsed())
    yield from _merged(committed)


def _merged(committed: tuple[Word, ...]) -> Iterator[Effect]:
    yield Raise(ev.NewText(committed) if committed else ev.NothingNew())


def try_again(call: Call, event: ev.InferenceFailed) -> Iterator[Effect]:
    call.failures += 1
    yield ask.Note("inference_retried", event.error)
    yield Raise(ev.WindowTaken())


def give_up_window(call: Call, event: ev.InferenceFailed | ev.InferenceOverdue) -> Iterator[Effect]:
    window = call.window
    if window is None:
        return
    call.window = None
    yield from _let_go(call)
    why = event.error if isinstance(event, ev.InferenceFailed) else "no answer in time"
    where = f"{window.start_s:.1f} to {window.end_s:.1f} s"
    what = "look_failed" if window.cut.is_look else "window_lost"
    yield ask.Note(what, f"window {window.number} ({where}): {why}")
    yield ask.AbandonInference(window.number)
    if call.merger.held and not call.draining:  # no window is left that could confirm them
        yield SetTimer(HELD, call.settings.held_words_s, ev.HeldWordsElapsed())


# ---------------------------------------------------------------- forwarding
def forward(call: Call, event: ev.NewText) -> Iterator[Effect]:
    yield from _forward(call, event.words)


def report_not_accepted(call: Call, _: ev.AcceptOverdue) -> Iterator[Effect]:
    yield ask.Note("accept_overdue", f"text {call.texts}")


def _forward(call: Call, words: tuple[Word, ...]) -> Iterator[Effect]:
    call.texts += 1
    call.words += len(words)
    yield ask.ForwardText(call.texts, words)


# ---------------------------------------------------------------- closed
def end(call: Call) -> Iterator[Effect]:
    yield ask.EndCall(call.end_reason or ev.EndReason.NEVER_CONNECTED)
