"""The token numbers of a Whisper model, read from the tokenizer.json beside its weights."""

import json
from dataclasses import dataclass
from pathlib import Path

from callfsm.errors import EngineError
from service.weights.convert import read_tokens
from service.weights.errors import WeightsError


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The raw UTF-8 of each text token by its number, and the special tokens by their names."""

    text: tuple[bytes, ...]
    special: dict[str, int]

    @property
    def end_of_text(self) -> int:
        """The first number that stands for no text; timestamps are above it, too."""
        return self.special["<|endoftext|>"]

    @property
    def first_timestamp(self) -> int:
        """The number of the token for 0 s; those of all later times follow it."""
        return self.special["<|notimestamps|>"] + 1

    def prompt(self, language: str, *, multilingual: bool) -> tuple[int, ...]:
        """What a transcription starts with. Raises EngineError for what the model cannot hear."""
        start = self.special["<|startoftranscript|>"]
        if not multilingual:
            if language != "en":
                raise EngineError(f"an English-only model cannot transcribe language {language!r}")
            return (start,)
        number = self.special.get(f"<|{language}|>")
        if number is None:
            raise EngineError(f"the model knows no language {language!r}")
        return (start, number, self.special["<|transcribe|>"])


def read_vocabulary(tokenizer_file: Path) -> Vocabulary:
    """The vocabulary in `tokenizer_file`. Raises EngineError when it is none of Whisper's."""
    try:
        text = read_tokens(tokenizer_file)
        added = json.loads(tokenizer_file.read_bytes())["added_tokens"]
        vocabulary = Vocabulary(tuple(text), {entry["content"]: entry["id"] for entry in added})
        vocabulary.prompt("en", multilingual=True)
        vocabulary.text[vocabulary.end_of_text - 1]
    except WeightsError as error:
        raise EngineError(str(error)) from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise EngineError(f"{tokenizer_file} is no tokenizer of Whisper: {error}") from error
    return vocabulary
