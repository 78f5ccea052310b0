"""The examples' programs run, on gevent and on real sockets."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*words: str, typed: str = "") -> list[str]:
    """The lines that an example's program prints; it must succeed."""
    command = [sys.executable, "-m", *words]
    result = subprocess.run(
        command, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


def test_phone_menu_by_keyboard() -> None:
    """Keys are typed, and the end of the input hangs up."""
    assert run("examples.phone_menu", typed="9\n1 answer\n") == [
        '  "Press 1 for sales, 2 for support."',
        "> 9",
        '  "Sorry, I did not get that."',
        '  "Press 1 for sales, 2 for support."',
        "> 1",
        "  sales rings",
        "> answer",
        "  talking to sales",
    ]
    assert run("examples.phone_menu", typed="")[1:] == []


def test_phone_menu_by_script() -> None:
    """A scripted caller who stops hangs up."""
    assert run("examples.phone_menu", "1")[-1] == "  sales rings"


def test_reconnecting_client() -> None:
    """Every request is answered, in order, across a server that was away."""
    lines = run("examples.reconnecting_client")
    assert [line for line in lines if not line.startswith("  ")] == [
        "ONE",
        "the server goes away",
        "the server comes back",
        "TWO THREE FOUR",
    ]
    assert lines.count("  connecting + Lost -> backing_off") >= 2
    assert lines[-1].endswith("+ Close -> closed")
