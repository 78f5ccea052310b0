"""Fetches ggml files by name with pywhispercpp's own downloader, where a network allows it."""

from pathlib import Path

from pywhispercpp.constants import AVAILABLE_MODELS
from pywhispercpp.utils import download_model

from service.weights.errors import WeightsError
from service.weights.ggml_check import check_ggml

KNOWN_NAMES: tuple[str, ...] = tuple(AVAILABLE_MODELS)


def download(name: str, file: Path) -> None:
    """Download model `name`, one of KNOWN_NAMES, to `file`, which is named `ggml-<name>.bin`.

    pywhispercpp draws its own progress bar on stderr. Raises WeightsError when there is no
    connection or what arrives is not a whole model (it does not look at the HTTP status).
    """
    try:
        download_model(name, download_dir=file.parent)
        check_ggml(file)
    except (OSError, WeightsError) as error:  # requests' errors are OSErrors
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise WeightsError(f"model {name!r} cannot be downloaded ({reason})") from error
