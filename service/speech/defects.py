"""What a word error rate hides: words written twice, lost at cuts, lost at the end."""

from bisect import bisect_left
from collections.abc import Sequence

import jiwer

from service.speech.latency import TimedWord

TAIL_S = 2.0  # the end of a call, where words are lost when nobody waits for them
CUT_S = 0.6  # a word that ends so near to a cut may have been cut in two
REPEAT_WORDS = 8  # the longest phrase looked for


def duplicated_words(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words of `heard` that are one too many, and repeat the words just before or just after.

    Both sides are normalised words. One too many is what the alignment with `said` inserts, so a
    word that somebody did say twice is no duplicate; which of two equal words is the one too many
    is for the alignment to choose.
    """
    if not said or not heard:
        return 0
    aligned = jiwer.process_words(" ".join(said), " ".join(heard))
    repeated: set[int] = set()
    for chunk in aligned.alignments[0]:
        if chunk.type == "insert":
            first, end = chunk.hyp_start_idx, chunk.hyp_end_idx
            for length in range(1, min(REPEAT_WORDS, end - first) + 1):
                for start in range(first, end - length + 1):
                    if _is_repeat(heard, start, length):
                        repeated.update(range(start, start + length))
    return len(repeated)


def missing_words(spoken: Sequence[TimedWord], heard: Sequence[str]) -> list[TimedWord]:
    """The spoken words that nothing in `heard` stands for, not even a wrong word."""
    if not spoken or not heard:
        return list(spoken)
    said = " ".join(word.text for word in spoken)
    aligned = jiwer.process_words(said, " ".join(heard))
    return [
        word
        for chunk in aligned.alignments[0]
        if chunk.type == "delete"
        for word in spoken[chunk.ref_start_idx : chunk.ref_end_idx]
    ]


def in_the_tail(words: Sequence[TimedWord], end_s: float) -> int:
    """How many of `words` end in the last 2 s of speech, which ends at `end_s`."""
    return sum(word.end_s > end_s - TAIL_S for word in words)


def at_cuts(words: Sequence[TimedWord], cuts_s: Sequence[float]) -> int:
    """How many of `words` end within 0.6 s of one of `cuts_s`."""
    cuts = sorted(cuts_s)
    count = 0
    for word in words:
        after = bisect_left(cuts, word.end_s)
        near = cuts[max(0, after - 1) : after + 1]
        count += any(abs(cut_s - word.end_s) <= CUT_S for cut_s in near)
    return count


def _is_repeat(words: Sequence[str], start: int, length: int) -> bool:
    phrase = words[start : start + length]
    before = words[max(0, start - length) : start]
    after = words[start + length : start + 2 * length]
    return phrase in (before, after)
