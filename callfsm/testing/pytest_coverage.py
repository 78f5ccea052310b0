"""Transition coverage of a pytest run: watched, gathered from xdist's workers, reported, judged."""

import pkgutil
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from callfsm.errors import CallfsmError
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import Table
from callfsm.testing.coverage import Coverage

LISTED = 10  # facts missing of one table; -v lists all of them
OUTPUT = "callfsm_shown"  # what a worker found, by target: its key in xdist's `workeroutput`


class TransitionCoverage:
    """The hooks of one run. `fail_under` is in percent of each table; None judges nothing."""

    def __init__(self, targets: list[str], fail_under: float | None) -> None:
        if not targets:
            raise pytest.UsageError(
                "transition coverage of what? write --fsm-cov MODULE:NAME, or list tables in the"
                " ini option fsm_cov"
            )
        self._targets = targets
        self._fail_under = fail_under
        self._coverages: dict[str, Coverage] = {}

    def pytest_sessionstart(self) -> None:
        """Find the machines, before any worker starts and any time is spent."""
        self._coverages = {target: Coverage(machine_of(target)) for target in self._targets}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        with ExitStack() as stack:
            for coverage in self._coverages.values():
                stack.enter_context(coverage.watching())
            result = yield
        worker_output = getattr(session.config, "workeroutput", None)
        if worker_output is not None:
            found = {target: each.shown_numbers for target, each in self._coverages.items()}
            worker_output[OUTPUT] = found
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended; a crashed one has shown nothing."""
        for target, numbers in getattr(node, "workeroutput", {}).get(OUTPUT, {}).items():
            self._coverages[target].add_numbers(numbers)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and any(self._too_low(session.config)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        terminalreporter.section("transition coverage")
        for coverage in self._coverages.values():
            missing = coverage.missing
            terminalreporter.write_line(str(coverage), red=bool(missing))
            listed = missing if config.option.verbose > 0 else missing[:LISTED]
            for fact in listed:
                terminalreporter.write_line(f"  {fact}", red=True)
            if len(listed) < len(missing):
                terminalreporter.write_line(f"  ... {len(missing) - len(listed)} more (-v)")
        for coverage in self._too_low(config):
            terminalreporter.write_line(
                f"FAIL {coverage.name}: {coverage.percent:.1f} % shown,"
                f" {self._fail_under:g} % is asked for",
                red=True,
                bold=True,
            )

    def _too_low(self, config: pytest.Config) -> Iterator[Coverage]:
        """The tables below the threshold. Workers see only a part, so they do not judge."""
        if self._fail_under is None or hasattr(config, "workerinput"):
            return
        for coverage in self._coverages.values():
            if coverage.percent < self._fail_under:
                yield coverage


def machine_of(target: str) -> Machine[Any]:
    """The machine MODULE:NAME, or the one in that module that runs the table of this name.

    Raises UsageError, with what to write instead.
    """
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise pytest.UsageError(f"--fsm-cov '{target}' names no table; write MODULE:NAME")
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError, CallfsmError) as error:
        raise pytest.UsageError(f"--fsm-cov '{target}': {error}") from error
    if isinstance(found, Machine):
        return found
    if not isinstance(found, Table):
        kind = type(found).__name__
        raise pytest.UsageError(f"--fsm-cov '{target}' is a {kind}, neither Table nor Machine")
    for each in vars(sys.modules[module]).values():
        if isinstance(each, Machine) and each.table is found:
            return each
    raise pytest.UsageError(
        f"--fsm-cov '{target}': no machine in {module} runs this table; name the machine instead"
    )
