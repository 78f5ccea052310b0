"""How many contexts of how many threads, and how many windows in a batch, do most.

    python -m benchmarks.contexts [--engine whispercpp] [--seconds 6]

Every context is kept busy by a native thread of its own, on windows of speech cut without regard to
the words. Prints a row a choice: windows per second together, and how long one run took (median).
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference.engine import AudioWindow, Engine
from service.bench.calls import conversations
from service.engines.ctranslate2 import CTranslate2Engine
from service.engines.whispercpp import GpuSettings, WhisperCppEngine
from service.weights.resolve import ctranslate2_directory, resolve

MODEL = "tiny.en"
LENGTHS_S = (5, 10, 15)
CHOICES = ((1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1), (2, 1, 4))  # contexts, threads, batch
SPEECH_S = 200.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["ctranslate2", "whispercpp"], default="ctranslate2")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each row")
    arguments = parser.parse_args()
    [call] = conversations(1, SPEECH_S, seed=1)
    print("| window | contexts x threads | batch | windows/s | ms a run |\n|---|---|---|---|---|")
    for length_s in LENGTHS_S:
        count = int(call.duration_s) // length_s
        parts = np.split(call.samples[: count * length_s * SAMPLE_RATE_HZ], count)
        windows = [AudioWindow(part) for part in parts]
        for contexts, threads, batch in CHOICES:
            engines = [_engine(arguments.engine, threads) for _ in range(contexts)]
            if batch > engines[0].max_batch:
                continue
            runs_s, took_s = _saturated(engines, windows, batch, arguments.seconds)
            rate = len(runs_s) * batch / took_s
            ms = 1000 * statistics.median(runs_s)
            choice = f"{contexts} x {threads} | {batch}"
            print(f"| {length_s} s | {choice} | {rate:.1f} | {ms:.0f} |", flush=True)
            for engine in engines:
                engine.close()


def _engine(name: str, threads: int) -> Engine:
    make: Callable[[], Engine] = (
        (lambda: CTranslate2Engine(ctranslate2_directory(MODEL), threads=threads, device="cpu"))
        if name == "ctranslate2"
        else lambda: WhisperCppEngine(resolve(MODEL), threads=threads, gpu=GpuSettings("off"))
    )
    engine = make()
    engine.load()
    return engine


def _saturated(
    engines: Sequence[Engine], windows: Sequence[AudioWindow], batch: int, seconds: float
) -> tuple[list[float], float]:
    """How long each run took, and all of them together."""
    began_s = time.perf_counter()

    def work(number: int, engine: Engine) -> list[float]:
        runs_s: list[float] = []
        at = number * len(windows) // len(engines)
        while (started_s := time.perf_counter()) < began_s + seconds:
            engine.transcribe([windows[(at + i) % len(windows)] for i in range(batch)])
            runs_s.append(time.perf_counter() - started_s)
            at += batch
        return runs_s

    with ThreadPoolExecutor(len(engines)) as threads:
        shares = list(threads.map(work, range(len(engines)), engines))
    return [run_s for share in shares for run_s in share], time.perf_counter() - began_s


if __name__ == "__main__":
    main()
