"""The calls that benchmarks play: recorded prompts where they are installed, else the voice."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, inf
from typing import TypeVar

import numpy as np

from callfsm.audio import SAMPLE_RATE_HZ
from service.peers.chunking import FRAME_SAMPLES, cut
from service.speech import prompts
from service.speech.corpus import (
    SpokenCall,
    demo_calls,
    prompt_calls_of,
    prompt_seconds,
)
from service.speech.noise import Samples, babble, mixed, white_noise

T = TypeVar("T")

CALL_S = (60.0, 180.0)
SYNTHETIC_CALL_S = 60.0
CONVERSATION_PAUSE_S = (0.9, 2.8)  # so that senders with a detector send about 60 % of the time
NOISES = ("babble 20 dB", "babble 10 dB", "line noise 20 dB", "line noise 10 dB")
BABBLE_SEED = 1_000  # other prompts, in another order, than those of the calls


def speech(total_s: float, seed: int, *, synthetic: bool = False) -> list[SpokenCall]:
    """Calls of one to three minutes, `total_s` together; all that is recorded for inf.

    Less than a minute is one call.
    """
    if synthetic or not prompts.available():
        total_s = total_s if total_s < inf else 10 * SYNTHETIC_CALL_S
        call_s = min(SYNTHETIC_CALL_S, total_s)
        return demo_calls(max(1, round(total_s / call_s)), call_s, synthetic=True, seed=seed)
    rng = np.random.default_rng(seed)
    if total_s == inf:
        total_s = prompt_seconds()
    lengths_s: list[float] = []
    while (left_s := total_s - sum(lengths_s)) > 0:
        lengths_s.append(min(left_s, float(rng.uniform(*CALL_S))))
    if len(lengths_s) > 1 and lengths_s[-1] < CALL_S[0]:
        lengths_s[-2:] = [sum(lengths_s[-2:])]
    return prompt_calls_of(lengths_s, seed)


def long_call(seconds: float, seed: int, *, synthetic: bool) -> SpokenCall:
    """One call that lasts so long."""
    if synthetic or not prompts.available():
        return demo_calls(1, seconds, synthetic=True, seed=seed)[0]
    return prompt_calls_of([seconds], seed)[0]


def conversations(count: int, seconds: float, seed: int) -> list[SpokenCall]:
    """`count` different calls with about 60 % of speech, as somebody talks who also listens."""
    if not prompts.available():
        return demo_calls(count, seconds, synthetic=True, seed=seed, pause_s=CONVERSATION_PAUSE_S)
    return prompt_calls_of([seconds] * count, seed, pause_s=CONVERSATION_PAUSE_S)


def copies(calls: Sequence[T], count: int) -> list[T]:
    """`count` calls, or what is known of them: these again and again."""
    return [calls[index % len(calls)] for index in range(count)]


def five_second_windows(count: int, seed: int) -> list[Samples]:
    """Windows of 5 s of speech, one after the other."""
    size = 5 * SAMPLE_RATE_HZ
    together = np.concatenate(
        [call.samples for call in conversations(ceil(count / 12), 65.0, seed)]
    )
    return [together[i * size : (i + 1) * size] for i in range(count)]


def noisy(call: SpokenCall, noise: str) -> SpokenCall:
    """The call with one of NOISES over all of it."""
    kind, snr_db, _ = noise.rsplit(" ", 2)
    seconds = call.duration_s + 1.0
    if kind == "babble":
        voices = [other.samples for other in speech(60.0, BABBLE_SEED)]
        under = babble(voices, seconds)
    else:
        under = white_noise(seconds)
    samples = mixed(call.samples, under, float(snr_db))
    return replace(call, name=f"{call.name}, {noise}", samples=samples)


def voice_activity(call: SpokenCall) -> float:
    """The share of the call's time that senders with a speech detector would send."""
    sent = sum(piece.end - piece.begin for piece in cut(call.samples, "chunks"))
    return sent / max(FRAME_SAMPLES, len(call.samples))
