"""docs/library.md: its code runs, in order, and mypy --strict has nothing to say of it."""

import re
import sys
from pathlib import Path

import pytest
from strict_mypy import ROOT, check

PAGE = ROOT / "docs/library.md"
BLOCKS = [
    (PAGE.read_text()[: block.start(1)].count("\n"), block[1])
    for block in re.finditer(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
]


def source() -> str:
    """The page as a module: every line of code stands where it stands in the page."""
    lines: list[str] = []
    for line, block in BLOCKS:
        lines += [""] * (line - len(lines))
        lines += block.splitlines()
    return "\n".join(lines) + "\n"


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block, in the order of the page; the assertions in them hold."""
    assert len(BLOCKS) > 12
    module = type(sys)("library_md")
    monkeypatch.setitem(sys.modules, "library_md", module)
    exec(compile(source(), str(PAGE), "exec"), module.__dict__)


def test_the_code_is_typed(tmp_path: Path) -> None:
    """A reader who copies it has no complaint of mypy --strict."""
    said = check(tmp_path, {"library_md.py": source()})
    assert said == "Success: no issues found in 1 source file\n"
