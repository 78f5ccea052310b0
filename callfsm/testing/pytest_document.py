"""The specs as a document: one section a file, one sentence a spec. Nothing runs for it."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

HEAD = """\
# Specs

Every spec as a sentence, by folder and file: the specs' own docstrings, written by
`pytest --fsm-spec`. What is in parentheses are the cases that one sentence holds for."""


class SpecDocument:
    """The hooks of a run that only reads. `file` is where to write; "" prints on the terminal."""

    def __init__(self, file: str, *, check: bool) -> None:
        if check and not file:
            raise pytest.UsageError("--fsm-spec-check checks the file of --fsm-spec=FILE.md")
        if file and not file.endswith(".md"):
            raise pytest.UsageError(f"--fsm-spec writes Markdown; '{file}' does not end in .md")
        self._file = Path(file) if file else None
        self._check = check
        self._stale = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """In place of running: write. Where collecting failed, leave it to pytest to say so."""
        if session.testsfailed:
            return None
        text = document(session.items, session.config.rootpath)
        if self._file is None:
            session.config.get_terminal_writer().write(f"\n{text}")
        elif self._check:
            self._stale = not self._file.exists() or self._file.read_text("utf-8") != text
        else:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(text, encoding="utf-8", newline="\n")
        return True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._stale:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        if self._stale:
            words = [word for word in config.invocation_params.args if word != "--fsm-spec-check"]
            again = shlex.join(["pytest", *words])
            terminalreporter.write_line(f"{self._file} is out of date; write it with `{again}`")


def document(items: Iterable[pytest.Item], root: Path) -> str:
    """Markdown: a heading per folder, one per file (its docstring), one line per spec."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    parts, folder = [HEAD], None
    for path, specs in files.items():
        if path.parent != folder:
            folder = path.parent
            name = folder.relative_to(root).as_posix()
            parts.append(f"## {'top level' if name == '.' else name}")
        parts.append(f"### {_title(specs[0], path)}")
        parts.append("\n".join(f"- {line}" for line in _sentences(specs)))
    return "\n\n".join(parts) + "\n"


def _title(item: pytest.Item, path: Path) -> str:
    module = item.getparent(pytest.Module)
    doc = module.obj.__doc__ if module is not None else None
    return _first_paragraph(doc).rstrip(".") or path.stem


def _sentences(specs: Iterable[pytest.Item]) -> Iterator[str]:
    cases: dict[tuple[str, str], list[str]] = {}
    for item in specs:
        function = getattr(item, "function", None)
        name = getattr(item, "originalname", item.name)
        words = name.removeprefix("test_").replace("_", " ")
        sentence = _first_paragraph(function.__doc__ if function else None) or words
        called = cases.setdefault((item.nodeid.partition("[")[0], sentence), [])
        if hasattr(item, "callspec"):
            called.append(item.callspec.id)
    for (_, sentence), ids in cases.items():
        yield f"{sentence} ({', '.join(ids)})" if ids else sentence


def _first_paragraph(doc: str | None) -> str:
    return " ".join((doc or "").strip().partition("\n\n")[0].split())
