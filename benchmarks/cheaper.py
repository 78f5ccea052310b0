"""What makes inference cheaper on this CPU: weights, builds, batches, prompts, threads.

    python -m benchmarks.cheaper weights [--other-build DIR]
    python -m benchmarks.cheaper batches
    python -m benchmarks.cheaper prompts
    python -m benchmarks.cheaper pool

Each prints a table of ways that take turns (`benchmarks.turns`) at the same windows: whole phrases,
as long as what the service sends. `DIR` holds another build of pywhispercpp (`pip install --target
DIR`), which runs in a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from benchmarks.engine_parameters import Piece
from benchmarks.sent_windows import LENGTHS_S, SEED, SPEECH_S, windows_of
from benchmarks.turns import Heard, Way, alone, show, take_turns, together
from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import Engine
from service.bench.calls import speech
from service.engines.context import ContextOptions
from service.engines.ctranslate2 import CTranslate2Engine
from service.engines.ctranslate2_model import Generated, NativeModel, Search
from service.engines.decoding import Decoding
from service.engines.vocabulary import read_vocabulary
from service.engines.whispercpp import GpuSettings, NativeContext, WhisperCppEngine
from service.weights.quantise import FORMATS
from service.weights.resolve import ctranslate2_directory, resolve

MODEL = "tiny.en"
WEIGHTS = (MODEL, *(f"{MODEL}-{name}" for name in FORMATS))  # of whisper.cpp
TYPES = ("int8", "int8_float32", "int16", "float32")  # of CTranslate2, what it offers on a CPU
SHORT_S = (1.0, 1.4, 1.7, 2.0)
LONG_S = 10.0
BATCHES = (1, 2, 4, 8, 16)
PROMPTS = (0, 16, 64, 200)  # tokens; Whisper takes 223
POOLS = ((1, 1), (1, 2), (2, 1), (2, 2))  # contexts, threads


class Typed(NativeModel):
    """A model that computes in another type than the engine's int8."""

    def __init__(self, compute_type: str, directory: Path, *where: Any) -> None:
        super().__init__(directory, *where)
        self._whisper = ctranslate2.models.Whisper(
            str(directory), device="cpu", compute_type=compute_type, intra_threads=1
        )


class Prompted(NativeModel):
    """A model whose texts follow these tokens of an earlier one."""

    def __init__(self, before: tuple[int, ...], *where: Any) -> None:
        super().__init__(*where)
        self._before = before

    def generate(self, encoded: Any, prompt: Sequence[int], search: Search) -> list[Generated]:
        # The library may count the prompt, too: room for both.
        needed = -(-(search.max_tokens + len(self._before) + len(prompt)) // 2)
        room = replace(search, max_tokens=max(search.max_tokens, needed))
        return super().generate(encoded, (*self._before, *prompt), room)


class PromptedContext(NativeContext):
    """The same for whisper.cpp, which takes the text itself."""

    def __init__(self, before: str, path: Path, options: ContextOptions) -> None:
        super().__init__(path, options)
        self._before = before

    def _parameters(self, decoding: Decoding) -> Any:
        parameters = super()._parameters(decoding)
        parameters.initial_prompt = self._before
        return parameters


def weights_table(arguments: argparse.Namespace) -> None:
    """Types of weights, of both engines, and another build of pywhispercpp."""
    pieces = windows_of(LENGTHS_S, arguments.windows)
    ways = {f"whisper.cpp {name}": alone(whisper_cpp(name), pieces) for name in WEIGHTS}
    if arguments.other_build:
        for name in WEIGHTS:
            ways[f"the other build, {name}"] = elsewhere(
                arguments.other_build, name, arguments.windows
            )
    for compute_type in TYPES:
        engine = ctranslate(open_model=partial(Typed, compute_type))
        ways[f"CTranslate2 {compute_type}"] = alone(engine, pieces)
    _compare(ways, pieces, arguments.repeats, f"whisper.cpp {MODEL}")


def batches_table(arguments: argparse.Namespace) -> None:
    """How many windows of one length CTranslate2 is given at once."""
    engine = ctranslate()
    engine.max_batch = max(BATCHES)
    count = arguments.windows - arguments.windows % max(BATCHES)
    size = round(LONG_S * SAMPLE_RATE_HZ)
    long = [
        Piece(piece.text, np.pad(piece.samples, (0, size - len(piece.samples))))
        for piece in windows_of([LONG_S], count)
    ]
    for pieces in (windows_of(SHORT_S, count), long):
        ways = {f"batch of {size}": alone(engine, pieces, size) for size in BATCHES}
        _compare(ways, pieces, arguments.repeats, "batch of 1")


def prompts_table(arguments: argparse.Namespace) -> None:
    """How many tokens of earlier text come before a window's own, in both engines."""
    pieces = windows_of(LENGTHS_S, arguments.windows)
    ways = {}
    for length in PROMPTS:
        text, tokens = _earlier(length)
        cpp = whisper_cpp(open_context=partial(PromptedContext, text))
        ct2 = ctranslate(open_model=partial(Prompted, tokens))
        ways[f"whisper.cpp, {length}"] = alone(cpp, pieces)
        ways[f"CTranslate2, {length}"] = alone(ct2, pieces)
    _compare(ways, pieces, arguments.repeats, f"whisper.cpp, {PROMPTS[0]}")


def pool_table(arguments: argparse.Namespace) -> None:
    """Contexts and their threads, all busy: a thousand by the wall's ms is windows a second."""
    pieces = windows_of(LENGTHS_S, arguments.windows)
    ways = {
        f"{name}, {contexts} x {threads}": together(
            [make(threads=threads) for _ in range(contexts)], pieces
        )
        for name, make in (("whisper.cpp", whisper_cpp), ("CTranslate2", ctranslate))
        for contexts, threads in POOLS
    }
    _compare(ways, pieces, arguments.repeats, "whisper.cpp, 1 x 1")


def whisper_cpp(name: str = MODEL, **options: Any) -> Engine:
    engine = WhisperCppEngine(resolve(name), gpu=GpuSettings("off"), **options)
    engine.load()
    return engine


def ctranslate(**options: Any) -> CTranslate2Engine:
    engine = CTranslate2Engine(ctranslate2_directory(MODEL), device="cpu", **options)
    engine.load()
    return engine


def elsewhere(build: Path, name: str, count: int) -> Way:
    """whisper.cpp of another build, in a process of its own that hears the same windows."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cheaper", "answer", name, "--windows", str(count)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(build), *filter(None, sys.path)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    questions, answers = process.stdin, process.stdout
    assert questions
    assert answers

    def hear(numbers: Sequence[int]) -> Heard:
        print(json.dumps(list(numbers)), file=questions, flush=True)
        cpu_s, wall_s, texts = json.loads(answers.readline())
        return cpu_s, wall_s, texts

    return Way(hear)


def answer(name: str, count: int) -> None:
    """Be that process: a line of window numbers in, a line of what was heard out."""
    way = alone(whisper_cpp(name), windows_of(LENGTHS_S, count))
    for line in sys.stdin:
        print(json.dumps(way.hear(json.loads(line))), flush=True)


def _earlier(length: int) -> tuple[str, tuple[int, ...]]:
    """So many tokens of what other calls say, each a word: as text and as numbers."""
    vocabulary = read_vocabulary(ctranslate2_directory(MODEL) / "tokenizer.json")
    numbers = {token: number for number, token in enumerate(vocabulary.text)}
    said = " ".join(call.text.lower() for call in speech(SPEECH_S, SEED + 1)).split()
    words = [word for word in said if f" {word}".encode() in numbers][:length]
    before = [vocabulary.special["<|startofprev|>"]] if words else []
    return " ".join(words), (*before, *(numbers[f" {word}".encode()] for word in words))


def _compare(ways: Mapping[str, Way], pieces: Sequence[Piece], repeats: int, default: str) -> None:
    lengths_s = [piece.duration_s for piece in pieces]
    print(
        f"\n{len(pieces)} windows of {min(lengths_s):.1f} to {max(lengths_s):.1f} s, "
        f"{np.mean(lengths_s):.1f} s on the average\n"
    )
    show(take_turns(ways, pieces, repeats), default)


TABLES = {
    "weights": weights_table,
    "batches": batches_table,
    "prompts": prompts_table,
    "pool": pool_table,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=[*TABLES, "answer"])
    parser.add_argument("name", nargs="?", default=MODEL, help="of the weights, for answer")
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--other-build", type=Path)
    arguments = parser.parse_args()
    if arguments.table == "answer":
        answer(arguments.name, arguments.windows)
    else:
        TABLES[arguments.table](arguments)
