"""Human telephone speech with reference text: the prompts of the Asterisk telephone exchange.

The Debian package `asterisk-core-sounds-en-wav` brings one voice, 8 kHz, 16 bit, about 24 minutes,
and `asterisk-core-sounds-en` its transcript. Nothing here is needed to serve calls.
"""

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from callfsm.errors import ConfigError

PACKAGES = ("asterisk-core-sounds-en-wav", "asterisk-core-sounds-en")  # speech, and transcript
SOUNDS_DIR = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TRANSCRIPT = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
NOT_SPEECH = "[<("  # the transcript's brackets: tones, silence, remarks
# The keypad as the voice reads it, and the transcript's misspellings.
AS_SPOKEN = {
    "*": "star",
    "#": "pound",
    "exclaimation": "exclamation",
    "fourtieth": "fortieth",
    "represenatives": "representatives",
    "thru": "through",
    "umute": "unmute",
    "Un-indentified": "Unidentified",
    "witheld": "withheld",
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: its name in the transcript ("digits/day-1"), its file, and what is said."""

    name: str
    path: Path
    text: str


def available() -> bool:
    """Whether the prompts and their transcript are installed."""
    return SOUNDS_DIR.is_dir() and TRANSCRIPT.is_file()


def prompts() -> list[Prompt]:
    """Every prompt that is speech and has an audio file, in the transcript's order.

    Raises ConfigError, naming the packages, when they are not installed.
    """
    if not available():
        raise ConfigError(
            f"The telephone prompts are not installed ({SOUNDS_DIR} or {TRANSCRIPT} is missing); "
            f"run `apt-get install {' '.join(PACKAGES)}`."
        )
    found = []
    for line in gzip.decompress(TRANSCRIPT.read_bytes()).decode().splitlines():
        name, colon, text = line.partition(":")
        path = SOUNDS_DIR / f"{name.strip()}.wav"
        if colon and not set(NOT_SPEECH) & set(text) and path.is_file():
            found.append(Prompt(name.strip(), path, _as_spoken(text)))
    return found


def scorable(prompt: Prompt) -> bool:
    """Whether a right transcription is spelled in one way only.

    Not so for single letters ("why" is a fair answer to "y") and for numbers read digit by digit.
    """
    return not prompt.name.startswith("letters/") and not re.search(r"\d{3}", prompt.text)


def _as_spoken(text: str) -> str:
    for written, spoken in AS_SPOKEN.items():
        text = text.replace(written, spoken)
    return " ".join(text.split())
