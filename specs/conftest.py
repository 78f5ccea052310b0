"""Frozen time for every spec that needs it, and the coverage of our three tables.

A run of all specs fails when a row, a guard outcome or a policy pair of a table was not shown.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from freezegun import freeze_time

from callfsm.call.table import call_machine
from callfsm.fsm.coverage import Coverage
from callfsm.inference.table import inference_machine
from callfsm.link.table import link_machine
from callfsm.runtimes.simulated import SimulatedRuntime

HERE = Path(__file__).parent
COVERAGES = [Coverage(machine) for machine in (call_machine, inference_machine, link_machine)]
PARTIAL = pytest.StashKey[bool]()  # whether only some of the specs run


@pytest.fixture
def runtime() -> Iterator[SimulatedRuntime]:
    """A simulated runtime whose clock is the frozen `time.monotonic`."""
    with freeze_time("2026-01-01 12:00:00") as frozen:
        yield SimulatedRuntime(clock=time.monotonic, tick=frozen.tick)


@pytest.fixture(autouse=True)
def _coverage() -> Iterator[None]:
    with ExitStack() as stack:
        for coverage in COVERAGES:
            stack.enter_context(coverage.watching())
        yield


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.config.stash[PARTIAL] = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Only a run of every spec can be complete."""
    collected = {item.path for item in session.items}
    picked_by_name = any("::" in argument for argument in session.config.args)
    if picked_by_name or not collected.issuperset(HERE.rglob("test_*.py")):
        session.config.stash[PARTIAL] = True


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    incomplete = any(coverage.missing for coverage in COVERAGES)
    if incomplete and _is_whole(session.config) and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    if not _is_whole(config):
        return
    terminalreporter.section("transition coverage")
    for coverage in COVERAGES:
        terminalreporter.write_line(str(coverage), red=bool(coverage.missing))
        for fact in coverage.missing:
            terminalreporter.write_line(f"  {fact}", red=True)


def _is_whole(config: pytest.Config) -> bool:
    return not (config.stash.get(PARTIAL, False) or config.option.collectonly)
