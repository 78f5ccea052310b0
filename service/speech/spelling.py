"""One spelling for words that are written in several ways, so that only mistakes count as errors.

Numbers: a recogniser is free to write "seventy" or "70", "tenth" or "10th". Compounds: the
reference texts themselves write both "voicemail" and "voice mail".
"""

import re

ONES = (  # noqa: SIM905
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
ORDINAL_ONES = (  # noqa: SIM905
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
SAME_WORDS = {
    "can not": "cannot",
    "file name": "filename",
    "mail box": "mailbox",
    "ok": "okay",
    "touch tone": "touchtone",
    "voice mail": "voicemail",
}
_SAME_WORDS_PATTERN = re.compile(rf"\b({'|'.join(SAME_WORDS)})\b")


def one_spelling(text: str) -> str:
    """`text` with 0-99 and 0th-99th as words and compounds joined.

    `text` is lower case and without punctuation.
    """
    text = re.sub(r"\b(\d{1,2})(st|nd|rd|th)?\b", _number_in_words, text)
    return _SAME_WORDS_PATTERN.sub(lambda match: SAME_WORDS[match[0]], text)


def _number_in_words(match: re.Match[str]) -> str:
    tens, ones = divmod(int(match[1]), 10)
    ordinal = match[2] is not None
    small = ORDINAL_ONES if ordinal else ONES
    if tens < 2:
        return small[10 * tens + ones]
    if ones:
        return f"{TENS[tens - 2]} {small[ones]}"
    return TENS[tens - 2].removesuffix("y") + "ieth" if ordinal else TENS[tens - 2]
