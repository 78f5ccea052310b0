"""The pytest plugin, in runs of pytest inside pytest: coverage, xdist, the document, the trace."""

from pathlib import Path

import pytest

from callfsm.testing.pytest_coverage import LISTED

pytest_plugins = ["pytester"]

TURNSTILE = Path(__file__).parents[1] / "specs" / "fsm" / "turnstile.py"
LOCKED = '''
"""locked: a coin is wanted."""

from callfsm.testing import given
from turnstile import Coin, Maintain, Push, TooLate, Turnstile, turnstile_machine
import pytest


def test_coins():
    """A coin of 50 cents opens it, and another comes back."""
    given(turnstile_machine, Turnstile()).when(Coin(50)).then("open")
    given(turnstile_machine, Turnstile()).when(Coin(10))


@pytest.mark.parametrize("event", [Push(), Maintain(), TooLate()], ids=["push", "repair", "late"])
def test_nothing_else_opens_it(event):
    """Nothing but a coin
    opens it.

    And this is no part of the sentence.
    """
    given(turnstile_machine, Turnstile()).when(event)
'''
OPEN = """
from callfsm.testing import given, simulate
from turnstile import Coin, Maintain, Push, TooLate, Turnstile, turnstile_machine


def test_one_person_may_pass():
    for event in (Coin(50), Push(), Maintain(), TooLate()):
        given(turnstile_machine, Turnstile(), "open").when(event)
"""
COMPLETE = "turnstile: 4 of 4 rows, 2 of 2 guard outcomes, 5 of 5 policy pairs"
HALF = "turnstile: 2 of 4 rows, 2 of 2 guard outcomes, 3 of 5 policy pairs"
MISSING = [
    "  open + Push: the row 'open + Push -> locked' is never taken",
    "  open + TooLate: the row 'open + TooLate -> locked' is never taken",
    "  open + Coin: never left to the policy postpone",
    "  open + Maintain: never left to the policy postpone",
]
TOO_LOW = "FAIL turnstile: 63.6 % shown, 100 % is asked for"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A stranger's project: a table in a module, and specs of its two states in two files."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")  # 0.5 s a run
    pytester.makepyfile(turnstile=TURNSTILE.read_text(), test_locked=LOCKED, test_open=OPEN)
    return pytester


# ---------------------------------------------------------------- coverage
@pytest.mark.parametrize("name", ["TURNSTILE", "turnstile_machine"])
def test_complete(project: pytest.Pytester, name: str) -> None:
    """A table or its machine may be named; what the specs showed of it is counted."""
    result = project.runpytest("--fsm-cov", f"turnstile:{name}", "--fsm-cov-fail-under=100")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*= transition coverage =*", COMPLETE])
    result.stdout.no_fnmatch_line("FAIL*")


def test_missing(project: pytest.Pytester) -> None:
    """What was not shown is listed, and fails the run when it falls below the threshold."""
    result = project.runpytest("test_locked.py", "--fsm-cov=turnstile:TURNSTILE")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([HALF, *MISSING], consecutive=True)
    asked = ("test_locked.py", "--fsm-cov=turnstile:TURNSTILE", "--fsm-cov-fail-under")
    result = project.runpytest(*asked, "100")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([HALF, *MISSING, TOO_LOW], consecutive=True)
    assert project.runpytest(*asked, "63.6").ret == pytest.ExitCode.OK


def test_each_table_is_judged_alone(project: pytest.Pytester) -> None:
    """One table that is complete does not make up for another."""
    project.makepyfile(
        other=TURNSTILE.read_text().replace('name="turnstile"', 'name="other"'),
        test_other="import other, callfsm.testing as t\ndef test_nothing(): pass",
    )
    two = ("--fsm-cov=turnstile:TURNSTILE", "--fsm-cov=other:TURNSTILE")
    result = project.runpytest(*two, "--fsm-cov-fail-under=51")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([COMPLETE, "other: 0 of 4 rows*", f"  ... {11 - LISTED} more (-v)"])
    result.stdout.fnmatch_lines(["FAIL other: 0.0 % shown, 51 % is asked for"])
    result = project.runpytest(*two, "-v")
    result.stdout.no_fnmatch_line("*more (-v)*")


def test_from_the_ini_file(project: pytest.Pytester) -> None:
    """The ini file names the tables; a run reports them when it is asked to, and only then."""
    project.makeini("[pytest]\nfsm_cov = turnstile:TURNSTILE")
    for option in ("--fsm-cov", "--fsm-cov-fail-under=100"):
        project.runpytest(option).stdout.fnmatch_lines([COMPLETE])
    for partial in (["test_locked.py"], ["-k", "coins"], []):
        result = project.runpytest(*partial)
        assert result.ret == pytest.ExitCode.OK
        result.stdout.no_fnmatch_line("*transition coverage*")


def test_a_failed_spec_stays_the_reason(project: pytest.Pytester) -> None:
    """A run whose specs fail fails because of them, and still reports."""
    project.makepyfile(test_open="def test_wrong(): assert False")
    result = project.runpytest("--fsm-cov=turnstile:TURNSTILE", "--fsm-cov-fail-under=1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([HALF])


def test_only_what_runs_is_counted(project: pytest.Pytester) -> None:
    """Steps made while modules are imported show nothing; --collect-only reports nothing."""
    project.makepyfile(test_open=OPEN.replace("def test_one_person_may_pass():\n", "if True:\n"))
    project.runpytest("--fsm-cov=turnstile:TURNSTILE").stdout.fnmatch_lines([HALF])
    result = project.runpytest("--fsm-cov=turnstile:TURNSTILE", "--collect-only")
    result.stdout.no_fnmatch_line("*transition coverage*")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("turnstile", "*'turnstile' names no table; write MODULE:NAME"),
        ("turnstiles:TURNSTILE", "*No module named 'turnstiles'"),
        ("turnstile:GATE", "*has no attribute 'GATE'"),
        ("turnstile:Coin", "*is a type, neither Table nor Machine"),
        ("tables:TURNSTILE", "*no machine in tables runs this table; name the machine instead"),
    ],
)
def test_wrong_targets(project: pytest.Pytester, target: str, message: str) -> None:
    """What cannot be watched is refused before anything runs, and the message says why."""
    project.makepyfile(tables="from turnstile import TURNSTILE")
    result = project.runpytest(f"--fsm-cov={target}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --fsm-cov '{target}'*", message][1:])


def test_coverage_of_nothing(pytester: pytest.Pytester) -> None:
    """A threshold without a table is a mistake in the command, not a success."""
    result = pytester.runpytest("--fsm-cov-fail-under=100")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: transition coverage of what?*"])


@pytest.mark.parametrize(
    "files", [("test_locked.py", "test_open.py"), ("test_locked.py",)], ids=str
)
def test_xdist(project: pytest.Pytester, files: tuple[str, ...]) -> None:
    """Two workers show together what one process shows, complete or not."""
    asked = (*files, "--fsm-cov=turnstile:TURNSTILE", "--fsm-cov-fail-under=100")
    result = project.runpytest_subprocess(*asked, "-n", "2")
    if len(files) == 2:
        assert result.ret == pytest.ExitCode.OK
        result.stdout.fnmatch_lines(["2 workers*", COMPLETE])
    else:
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([HALF, *MISSING, TOO_LOW], consecutive=True)


# ---------------------------------------------------------------- the document
SENTENCES = """\
## top level

### locked: a coin is wanted

- A coin of 50 cents opens it, and another comes back.
- Nothing but a coin opens it. (push, repair, late)

### test_open

- one person may pass
"""


def test_document_on_the_terminal(project: pytest.Pytester) -> None:
    """The specs as sentences, by file; a spec without one is told by its name. Nothing runs."""
    project.makepyfile(test_open=OPEN + "    assert False")
    result = project.runpytest("--fsm-spec")
    assert result.ret == pytest.ExitCode.OK
    assert SENTENCES in str(result.stdout)


def test_document_in_a_file(project: pytest.Pytester) -> None:
    """The document is written to a file, and a change of a spec makes that file out of date."""
    asked = ("--fsm-spec=docs/specs.md", "test_locked.py", "test_open.py")
    assert project.runpytest(*asked, "--fsm-spec-check").ret == pytest.ExitCode.TESTS_FAILED
    assert project.runpytest(*asked).ret == pytest.ExitCode.OK
    file = project.path / "docs" / "specs.md"
    assert file.read_text().endswith(SENTENCES)
    assert project.runpytest(*asked, "--fsm-spec-check").ret == pytest.ExitCode.OK
    project.makepyfile(test_open=OPEN.replace("may_pass", "passes"))
    result = project.runpytest(*asked, "--fsm-spec-check")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    again = "`pytest --fsm-spec=docs/specs.md test_locked.py test_open.py *`"
    result.stdout.fnmatch_lines([f"docs/specs.md is out of date; write it with {again}"])
    assert file.read_text().endswith(SENTENCES)


def test_document_with_xdist(project: pytest.Pytester) -> None:
    """Options for xdist that a project always gives do not matter to the document."""
    result = project.runpytest_subprocess("-n", "2", "--fsm-spec")
    assert SENTENCES in str(result.stdout)


def test_document_of_broken_specs(project: pytest.Pytester) -> None:
    """Where a file cannot be imported nothing is written, and pytest says why."""
    project.makepyfile(test_open="import nowhere")
    result = project.runpytest("--fsm-spec=specs.md")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not (project.path / "specs.md").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--fsm-spec", "test_open.py"],
        ["--fsm-spec-check"],
        ["--fsm-spec=specs.md", "--fsm-cov-fail-under=100"],
    ],
    ids=str,
)
def test_document_refuses(project: pytest.Pytester, options: list[str]) -> None:
    """A spec is not overwritten by its own document, and a check needs a file."""
    assert project.runpytest(*options).ret == pytest.ExitCode.USAGE_ERROR
    assert (project.path / "test_open.py").read_text().strip() == OPEN.strip()


# ---------------------------------------------------------------- what a failure tells
def test_failure_tells_the_trace(project: pytest.Pytester) -> None:
    """A spec that fails shows what happened as sentences, and no line of callfsm's own."""
    project.makepyfile(
        test_open=OPEN + "\n\ndef test_wrong():\n"
        "    open = simulate(turnstile_machine, Turnstile()).after(Coin(10), Coin(50), Coin(20))\n"
        "    open.advance(11).then('open')\n"
    )
    result = project.runpytest("test_open.py")
    result.stdout.fnmatch_lines(
        [
            ">       open.advance(11).then('open')",
            "E       AssertionError: turnstile: expected state 'open', found 'locked'",
            "E           it started in locked",
            "E           in locked, Coin(cents=10) came: stayed in locked,"
            " asked for Return(cents=10)",
            "E           in locked, Coin(cents=50) came: went to open",
            "E           in open, Coin(cents=20) came: it was postponed",
            "E         > 11 s passed",
            "E         > in open, TooLate came: went to locked",
            "E         > in locked, Coin(cents=20) came: stayed in locked,"
            " asked for Return(cents=20)",
        ],
    )
    result.stdout.no_fnmatch_line("*scenario.py*")


# ---------------------------------------------------------------- other people's runs
def test_costs_nothing_until_asked(pytester: pytest.Pytester) -> None:
    """In a project that asks for nothing the plugin imports neither numpy nor any machine."""
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            ours = {name for name in sys.modules if name.startswith("callfsm")}
            assert ours == {"callfsm", "callfsm.pytest_plugin"}
            assert not {"numpy", "transitions", "gevent"} & set(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
