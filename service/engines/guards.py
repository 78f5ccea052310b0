"""Tells speech from what Whisper invents: loops, text faster than anybody speaks, and noises.

A short audio context, which makes inference cheap, also makes run-away repeats more likely
(docs/engine-parameters.md), so every text passes here before anybody acts on it. Only text and
numbers come in, so both engines share these rules.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from callfsm.words import Word, as_text, shifted

MAX_NGRAM_WORDS = 12  # a loop over a longer phrase meets the token cap or MAX_WORDS_PER_S first
MIN_LOOP_WORDS = 6  # "no, no, no", "bye bye" and "seven seven seven seven" are speech
MAX_WORDS_PER_S = 7.0  # chosen, not measured: never reached by the prompts
GRACE_WORDS = 4  # a very short window may hold the ends of words cut at both edges
SHORTEST_WORD_S = 0.08  # on the average of a phrase: twelve words a second
TIMELESS_S = 0.04  # two steps of the alignment: no word is so short
TIMELESS_WORDS = 4  # in a row, in the middle of a text; one or two can be real and badly aligned
MIN_MEAN_PROBABILITY = 0.12  # the lowest right text of 295 prompts has 0.15

_ANNOTATION = re.compile(r"\[[^\]]*\]?|\([^)]*\)?|\*[^*]*\*?|[♪♩♫♬🎵🎶]+")
_LETTER_OR_DIGIT = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read in `duration_s` of audio; `capped` says that the token cap ended it, and
    `no_speech` that by the model's own judgement nobody speaks: whatever it heard is not here.

    `more_from_s`: the text ends here, and says that from this time more is to be heard.
    """

    words: tuple[Word, ...]
    duration_s: float
    capped: bool = False
    no_speech: bool = False
    more_from_s: float | None = None


def followed(first: Reading, more: Reading) -> Reading:
    """`first` and what was read from its `more_from_s` on, as one reading."""
    words = () if more.no_speech else shifted(more.words, first.more_from_s or 0.0)
    return replace(
        first, words=first.words + words, capped=first.capped or more.capped, more_from_s=None
    )


def guarded(
    first: Reading, read_again: Callable[[], Reading] | None
) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """The words to believe, and the name of each guard that acted, in order.

    A doubted `first` is read once more, with care, or dropped where it cannot be; what is still
    doubted then is dropped, unless both readings heard the same repetition. A text that ends in an
    echo is read again, too, and loses it only to a second reading that is not doubted.
    """
    words, acted, doubt = _judged(first)
    if doubt is None:
        return _without_echo(*_without_overrun_counted(words, acted), read_again)
    if read_again is None:
        return (), (*acted, doubt, "look_dropped")
    words_again, acted_again, doubt_again = _judged(read_again())
    acted = (*acted, doubt, "retried", *acted_again)
    if doubt_again is None:
        return _without_overrun_counted(words_again, acted)
    if doubt == doubt_again == "repeated_ngram" and agree(words, words_again):
        return words_again, (*acted, "agreed")
    return (), (*acted, doubt_again, "dropped")


def _without_echo(
    words: tuple[Word, ...], acted: tuple[str, ...], read_again: Callable[[], Reading] | None
) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """The words as a second reading has them, if they end in an echo and it does not.

    A look leaves the echo out: a later one hears whether it was said.
    """
    sizes = _echoes(words)
    if not sizes:
        return words, acted
    if read_again is None:
        return words[: -sizes[0]], (*acted, "echo")
    words_again, acted_again, doubt_again = _judged(read_again())
    acted = (*acted, "echo", "retried", *acted_again)
    if not words_again or doubt_again is not None:
        return words, acted
    words_again, acted = _without_overrun_counted(words_again, acted)
    if _echoes(words_again):
        return words, (*acted, "agreed")
    return words_again, acted


def _echoes(words: Sequence[Word]) -> list[int]:
    """The sizes of the phrases that end the text and stand just before that, too; shortest first.

    It can be said; but a word by itself after a pause often comes out of the decoder twice, where
    the features leave little room after it, and once with more (docs/engine-parameters.md).
    """
    texts = [_bare(word.text) for word in words]
    sizes = range(1, min(MAX_NGRAM_WORDS, len(texts) // 2) + 1)
    return [size for size in sizes if texts[-size:] == texts[-2 * size : -size]]


def _judged(reading: Reading) -> tuple[tuple[Word, ...], tuple[str, ...], str | None]:
    """What somebody may have said, the guards that took the rest, and what speaks against it."""
    words, acted = _spoken(reading)
    return words, acted, suspicion(words, reading.duration_s, capped=reading.capped)


def _spoken(reading: Reading) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """What somebody may have said in a reading, and the guards that took the rest."""
    if reading.no_speech:
        return (), ("no_speech",)
    words = without_annotations(reading.words)
    return words, () if len(words) == len(reading.words) else ("annotation",)


def _without_overrun_counted(
    words: tuple[Word, ...], acted: tuple[str, ...]
) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """The words without their overrun, which joins the guards that have `acted` if there is one."""
    kept = without_overrun(words)
    return kept, acted if len(kept) == len(words) else (*acted, "overrun")


def suspicion(words: Sequence[Word], duration_s: float, *, capped: bool = False) -> str | None:
    """The name of the first guard that doubts these words of `duration_s` of audio, or None.

    No words are not doubted: the ". . . . ." that Whisper hears in tones needs no second reading.

    The names: "token_cap", "repeated_ngram", "too_fast", "improbable".
    """
    if not words:
        return None
    if capped:
        return "token_cap"
    if is_loop([_bare(word.text) for word in words]):
        return "repeated_ngram"
    if len(words) > MAX_WORDS_PER_S * duration_s + GRACE_WORDS:
        return "too_fast"
    if mean_probability(words) < MIN_MEAN_PROBABILITY:
        return "improbable"
    return None


def is_loop(words: Sequence[str]) -> bool:
    """Whether somewhere a phrase stands three times in a row, MIN_LOOP_WORDS words or more.

    Of a single word, that is six in a row.
    """
    for size in range(1, min(MAX_NGRAM_WORDS, len(words) // 3) + 1):
        copies_needed = max(3, -(-MIN_LOOP_WORDS // size))
        matches = 0  # words in a row that equal the word `size` places before
        for here, before in zip(words[size:], words, strict=False):
            matches = matches + 1 if here == before else 0
            if matches >= size * (copies_needed - 1):
                return True
    return False


def agree(first: Sequence[Word], second: Sequence[Word]) -> bool:
    """Whether two readings of one window hold the same words, apart from case and punctuation."""
    return [_bare(word.text) for word in first] == [_bare(word.text) for word in second]


def without_overrun(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """The words without those that were decoded and not spoken.

    A decoder that does not stop where the speech does says its last phrase again, and alignment has
    hardly any time left for it: a repeated phrase goes when it is faster than anybody can speak,
    and so do two words or more at the end that take no time at all. A decoder that goes back in
    the middle says much again before it goes on: four words or more without time go anywhere.
    """
    if all(_span_s(word, word) == 0.0 for word in words):  # there are no times
        return words
    words = _without_timeless(words)
    for size in reversed(_echoes(words)):
        if _span_s(words[-size], words[-1]) <= size * SHORTEST_WORD_S:
            return words[:-size]
    timed = len(words)
    while timed and _span_s(words[timed - 1], words[timed - 1]) <= TIMELESS_S:
        timed -= 1
    return words[:timed] if len(words) - timed > 1 else words


def _without_timeless(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Without the runs of TIMELESS_WORDS or more that take no time."""
    kept: list[Word] = []
    for is_timeless, run in groupby(words, lambda word: _span_s(word, word) <= TIMELESS_S):
        part = list(run)
        if not is_timeless or len(part) < TIMELESS_WORDS:
            kept += part
    return tuple(kept)


def mean_probability(words: Sequence[Word]) -> float:
    """The mean of the words' probabilities; 0 of none."""
    return sum(word.probability for word in words) / len(words) if words else 0.0


def without_annotations(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """The words without "[BLANK_AUDIO]", "(upbeat music)", "*sighs*", "♪" and bare punctuation.

    An annotation may span words; one that is left open reaches to the end of the text.
    """
    text = as_text(words)
    kept = _ANNOTATION.sub(lambda match: "\0" * len(match[0]), text)
    result, position = [], 0
    for word in words:
        rest = kept[position : position + len(word.text)].replace("\0", "")
        position += len(word.text) + 1
        if _LETTER_OR_DIGIT.search(rest):
            result.append(replace(word, text=rest))
    return tuple(result)


def _span_s(first: Word, last: Word) -> float:
    return last.end_s - first.start_s


def _bare(text: str) -> str:
    """The word as it is compared: lower case, letters and digits only."""
    return "".join(filter(str.isalnum, text.lower()))
