"""Makes a file once, keeps it with its checksum, and makes it again when it is damaged.

Any number of processes may ask for the same file at the same moment: one makes it in a scratch
directory and renames it into place, the others wait for its lock and find it made. Nobody ever sees
half a file, and what a killed process left behind is cleared by the next.
"""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.weights.errors import WeightsError
from service.weights.ggml_check import check_ggml

log = logging.getLogger(__name__)


def cached_ggml(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, a ggml file that matches its checksum, made by `make(path)` if it was not there.

    The SHA-256 is beside it as `<target>.sha256`, in the format of `sha256sum`. A whole ggml file
    without a checksum was put there by hand: it is kept, and gets one. Beside another's checksum it
    is replaced, and that is logged: `check_ggml` cannot tell it from a damaged one. Raises
    WeightsError when the directory cannot be written, and whatever `make` raises.
    """
    if is_intact(target):
        return target
    with scratch_directory(target) as scratch:
        if not is_intact(target) and not _adopted(target, scratch):
            fresh = scratch / target.name
            make(fresh)
            check_ggml(fresh)
            if target.exists():
                log.warning("%s is replaced: damaged, or not what its checksum is of", target)
            _sign(fresh, target, scratch)
            fresh.replace(target)
    return target


def is_intact(target: Path) -> bool:
    """Whether `target` is there with a checksum that matches (hashes the file: 0.1 s for 75 MB)."""
    try:
        expected = checksum_path(target).read_text()
        return expected == _checksum_line(target, target.name)
    except (OSError, UnicodeDecodeError):
        return False


def checksum_path(target: Path) -> Path:
    """Where the checksum of `target` is kept."""
    return target.with_name(f"{target.name}.sha256")


@contextmanager
def scratch_directory(target: Path) -> Iterator[Path]:
    """An empty directory beside `target`, on the same file system, for whoever makes it.

    Held by one process (and thread) at a time; the others wait. Removed afterwards. Raises
    WeightsError when the file system refuses, within the block too.
    """
    scratch = target.with_name(f".{target.name}.making")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise WeightsError(f"model cache {target.parent} cannot be used: {error}") from error


def _adopted(target: Path, scratch: Path) -> bool:
    """Whether `target` was put there by hand and is whole; if so it now has a checksum."""
    if not target.is_file() or checksum_path(target).exists():
        return False
    try:
        check_ggml(target)
    except WeightsError:
        return False
    _sign(target, target, scratch)
    return True


def _sign(file: Path, target: Path, scratch: Path) -> None:
    """Write the checksum of `file` where that of `target` belongs.

    It goes before the file itself: a crash in between leaves a mismatch, which is made again.
    """
    written = scratch / checksum_path(target).name
    written.write_text(_checksum_line(file, target.name))
    os.replace(written, checksum_path(target))


def _checksum_line(file: Path, name: str) -> str:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return f"{digest}  {name}\n"
