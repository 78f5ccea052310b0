"""The tutorial cannot rot: its code is run, its output compared, its files are the example's."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "phone_menu"
BLOCK = re.compile(r"^```(\w+)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (phone_menu/\w+\.py)(, continued)?\n")
COMMAND = re.compile(r"^\$ (.*)\n?((?:(?!\$ ).*\n?)*)", re.MULTILINE)  # and the output below it
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str]]:
    """The language and the text of every block, in order."""
    return BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())


def write(folder: Path, code: str) -> None:
    """Write a block to the file that its first line names, or at the end of it."""
    name = FILE.match(code)
    assert name is not None, f"this block names no file: {code[:60]}"
    file, text = folder / name[1], code[name.end() :]
    before = f"{file.read_text()}\n\n" if name[2] else ""
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{before}{text}\n")


def run(folder: Path, command: str) -> str:
    """What a shell prints, with this environment's commands first on its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return result.stdout


def test_every_block_does_what_it_says(blocks: list[tuple[str, str]], tmp_path: Path) -> None:
    """From an empty folder on, every block is written or run, and prints what the page shows."""
    for language, text in blocks:
        if language == "python":
            write(tmp_path, text)
            continue
        assert language == "console"
        for command, wanted in COMMAND.findall(text):
            found = run(tmp_path, command)
            assert doctest.OutputChecker().check_output(wanted, found, LIKE), (
                f"$ {command}\n{found}\n--- instead of ---\n{wanted}"
            )
    for file in EXAMPLE.glob("*.py"):
        written = (tmp_path / "phone_menu" / file.name).read_text()
        assert written == file.read_text().replace("examples.phone_menu", "phone_menu"), file
    for file in (EXAMPLE / "diagrams").iterdir():
        assert (tmp_path / "diagrams" / file.name).read_text() == file.read_text(), file


def test_the_comparison_can_fail(blocks: list[tuple[str, str]]) -> None:
    """Each command's output is compared with something, except where it prints nothing."""
    commands = [c for lang, text in blocks if lang == "console" for c in COMMAND.findall(text)]
    silent = [command for command, wanted in commands if not wanted.strip(" .\n")]
    assert silent == ["rm phone_menu/test_wrong.py"]
    assert len(commands) == 9


def test_the_table_is_short() -> None:
    """The whole table of five states, imports included, takes less than sixty lines."""
    lines = (EXAMPLE / "menu.py").read_text().splitlines()
    assert sum('State("' in line for line in lines) == 5
    assert len(lines) < 60
