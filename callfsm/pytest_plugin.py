"""The options that callfsm adds to pytest. Costs nothing, and imports nothing, until one is given.

    pytest --fsm-cov menu:MENU                # which rows, guard outcomes and policies were shown
    pytest --fsm-cov-fail-under=100           # the same for the tables that `fsm_cov` names, judged
    pytest --fsm-spec=docs/specs.md           # the specs as a document; nothing runs

A threshold is judged whenever it is given: put it where every spec runs (a Makefile, CI), and not
in `addopts`. Then a run of one file, or with -k, is never judged.
"""

import sys

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    tables = "tables (or machines) whose transition coverage --fsm-cov reports: MODULE:NAME"
    parser.addini("fsm_cov", tables, type="linelist")
    group = parser.getgroup("callfsm", "state machines (callfsm)")
    group.addoption(
        "--fsm-cov",
        metavar="MODULE:NAME",
        nargs="?",
        const="",
        action="append",
        help="Report which rows, guard outcomes and policy pairs of this table or machine the run "
        "showed (repeatable). Without a name: of those that the ini option fsm_cov lists.",
    )
    group.addoption(
        "--fsm-cov-fail-under",
        metavar="N",
        type=float,
        help="Report, and fail if less than N %% of any of the tables was shown. It is judged "
        "whenever it is given: leave it out where only some of the specs run.",
    )
    group.addoption(
        "--fsm-spec",
        metavar="FILE.md",
        nargs="?",
        const="",
        help="Run nothing: print the sentence of every spec, grouped by file, as Markdown; or "
        "write it to a file.",
    )
    group.addoption(
        "--fsm-spec-check",
        action="store_true",
        help="With --fsm-spec=FILE.md: write nothing, and fail if the file is out of date.",
    )


def pytest_configure(config: pytest.Config) -> None:
    options = config.option
    covers = bool(options.fsm_cov) or options.fsm_cov_fail_under is not None
    if options.fsm_spec is not None or options.fsm_spec_check:
        if covers:
            raise pytest.UsageError("--fsm-spec runs nothing, so nothing is covered: run twice")
        from callfsm.testing.pytest_document import SpecDocument

        options.dist = "no"  # of pytest-xdist: only one process collects
        document = SpecDocument(options.fsm_spec or "", check=options.fsm_spec_check)
        config.pluginmanager.register(document, "callfsm-document")
    elif covers and not options.collectonly:
        from callfsm.testing.pytest_coverage import TransitionCoverage

        if str(config.rootpath) not in sys.path:  # the user's modules, which need not be installed
            sys.path.insert(0, str(config.rootpath))
        targets = [name for name in options.fsm_cov or () if name] or config.getini("fsm_cov")
        coverage = TransitionCoverage(targets, options.fsm_cov_fail_under)
        config.pluginmanager.register(coverage, "callfsm-coverage")
