"""How many contexts a machine can hold: as many as it has cores, if they fit into its memory."""

import os
from pathlib import Path

CONTEXT_BYTES = 100_000_000  # buffers of a context, beside its weights (FACTS)
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def contexts_that_fit(cores: int, weights_bytes: int, available_bytes: int | None) -> int:
    """One a core, and never more than fit into what is available (None: nobody knows); 1 at least.

    Each context has its own copy of the weights.
    """
    if available_bytes is None:
        return cores
    return max(1, min(cores, available_bytes // (weights_bytes + CONTEXT_BYTES)))


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes that this process can still have, in its container too; None where nobody says."""
    limits = [_free_in_container(cgroup), _available(meminfo)]
    known = [limit for limit in limits if limit is not None]
    if known:
        return min(known)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError):
        return None


def size_of(weights: Path) -> int:
    """Bytes of a weights file, or of everything in a directory of them."""
    files = weights.iterdir() if weights.is_dir() else [weights]
    return sum(file.stat().st_size for file in files if file.is_file())


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    kilobytes = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((1024 * int(each) for each in kilobytes), None)


def _free_in_container(cgroup: Path) -> int | None:
    """Of cgroup v2; "max" is no limit. Page cache that the kernel can drop counts as free."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        statistics = (cgroup / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return None
    cached = int(statistics[statistics.index("inactive_file") + 1])
    return max(0, limit - used + cached)
