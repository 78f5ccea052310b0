"""How many contexts fit."""

from pathlib import Path

import pytest

from service.context_count import available_memory, contexts_that_fit, size_of

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("cores", "weights_bytes", "available_bytes", "contexts"),
    [
        (2, 75_000_000, 8 * GB, 2),
        (64, 75_000_000, 1 * GB, 5),
        (8, 3 * GB, 8 * GB, 2),
        (8, 3 * GB, 1 * GB, 1),
        (8, 3 * GB, None, 8),
    ],
)
def test_as_many_as_fit(
    cores: int, weights_bytes: int, available_bytes: int | None, contexts: int
) -> None:
    """One a core, fewer where memory is short, and one in any case."""
    assert contexts_that_fit(cores, weights_bytes, available_bytes) == contexts


def test_what_the_machine_has(tmp_path: Path) -> None:
    """The kernel's own estimate, page cache that it can drop included."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 5 kB\n")
    assert available_memory(meminfo, tmp_path / "none") == 5 * 1024


def test_what_a_container_may_have(tmp_path: Path) -> None:
    """A container's limit counts where it is lower than what the machine has."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable: 1000 kB\n")
    (tmp_path / "memory.max").write_text("300000\n")
    (tmp_path / "memory.current").write_text("200000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 50000\n")
    assert available_memory(meminfo, tmp_path) == 150_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(meminfo, tmp_path) == 1_024_000


def test_where_nobody_says(tmp_path: Path) -> None:
    """Elsewhere half of the machine's memory is taken as available."""
    available = available_memory(tmp_path / "none", tmp_path / "none")
    assert available is not None
    assert available > 100_000_000


def test_size_of_weights(tmp_path: Path) -> None:
    """Of a file, or of all files of a directory."""
    (tmp_path / "model.bin").write_bytes(bytes(70))
    (tmp_path / "config.json").write_bytes(bytes(7))
    assert (size_of(tmp_path / "model.bin"), size_of(tmp_path)) == (70, 77)
