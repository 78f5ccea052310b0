"""`callfsm serve` that cannot start: exit code 2 and one sentence on stderr, no traceback."""

import re
import subprocess
import sys
from pathlib import Path

import gevent
import pytest
from gevent import socket
from server_fixture import PATIENCE_S, serving
from typer.testing import CliRunner

from service import engine_choice, serve
from service.cli.main import app
from service.engine_choice import EngineChoice
from service.engines.fake import ScriptedEngine
from service.peers.ports import free_base_port
from service.server import Server
from service.settings import Settings
from service.store.store import Store


def refused(*options: str) -> str:
    """The one line that `callfsm serve` ends with."""
    with gevent.Timeout(PATIENCE_S):  # should it start after all
        result = CliRunner().invoke(app, ["serve", "--udp-port", "0", *options])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any model name will do: what is tested comes before the model is loaded."""
    monkeypatch.setattr(engine_choice, "resolve", Path)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "whisper_talk.db"


def test_an_unknown_model_is_told_with_what_to_do(database: Path) -> None:
    """The name that nobody knows stands in the sentence."""
    line = refused("--database", str(database), "--model", "no-such-model")
    assert line.startswith("callfsm: ")
    assert "no-such-model" in line


def test_a_database_that_is_none_is_told(database: Path) -> None:
    """A file that is not SQLite is named, and left as it was."""
    database.write_text("Dear diary, " * 100)
    line = refused("--database", str(database))
    assert line == (
        f"callfsm: {database} is not a SQLite database; give another path or move it away"
    )
    assert database.read_text().startswith("Dear diary")


@pytest.mark.parametrize("place", ["folder", "folder/none/talk.db"])
def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path, place: str) -> None:
    """A directory, or a file in a directory that is not there."""
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / place) in refused("--database", str(tmp_path / place))


@pytest.mark.usefixtures("without_weights")
def test_a_udp_port_in_use_is_told(database: Path) -> None:
    """The address and the reason stand in the sentence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        line = refused("--database", str(database), "--model", "any", "--udp-port", str(port))
    assert line == f"callfsm: cannot listen on UDP 127.0.0.1:{port}: Address already in use"


@pytest.mark.usefixtures("without_weights")
def test_an_http_port_in_use_is_told(database: Path) -> None:
    """The web port is taken before the model is loaded."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused("--database", str(database), "--model", "any", "--http-port", port)
    assert line == f"callfsm: cannot listen on TCP 127.0.0.1:{port}: Address already in use"


@pytest.mark.usefixtures("without_weights")
def test_an_http_port_that_a_call_would_have_is_warned_of(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That call's audio could never be heard; the server goes on for all others."""
    base_port = free_base_port(1)
    ports = ["--audio-base-port", str(base_port), "--http-port", str(base_port + 1)]
    refused("--database", str(database), "--model", "any", *ports)
    assert f"HTTP port {base_port + 1} is the audio port of call 1" in caplog.messages


def test_a_fault_that_ends_the_server_is_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches the process sees by the exit code that it did not end on request."""

    class Faulty(Server):
        def run(self) -> None:
            self._inference_failed()
            super().run()

    choice = EngineChoice("fake", lambda: ScriptedEngine([]))
    monkeypatch.setattr(serve, "choose_engine", lambda *_: choice)
    monkeypatch.setattr(serve, "Server", Faulty)
    with gevent.Timeout(PATIENCE_S):
        result = CliRunner().invoke(app, ["serve", "--udp-port", "0", "--database", str(database)])
    assert result.exit_code == 2
    assert "a fault ended the inference actor" in result.stderr
    store = Store(database)
    assert store.read_config("whisper_service_status") == "error"
    store.close(PATIENCE_S)


def test_a_server_that_cannot_start_leaves_the_status_of_the_one_that_runs(tmp_path: Path) -> None:
    """A second server with a mistake in its options, on the first one's port and database."""
    with serving(tmp_path) as house:
        database, port = str(house.settings.database), str(house.udp_port)
        refused("--database", database, "--udp-port", port, "--model", "no-such-model")
        assert house.server.store.read_config("whisper_service_status") == "running"
    store = Store(tmp_path / "whisper_talk.db")
    refused("--database", database, "--udp-port", port, "--model", "no-such-model")
    assert store.read_config("whisper_service_status") == "error"
    store.close(PATIENCE_S)


@pytest.mark.usefixtures("without_weights")
def test_a_host_that_is_not_ours_is_told(database: Path) -> None:
    """An address that this machine does not have."""
    options = ["--database", str(database), "--model", "any", "--host", "192.0.2.1"]
    assert "cannot listen on UDP 192.0.2.1:0" in refused(*options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--overlap-s", "3", "--stride-s", "2"], "overlap is 3.0 s; it must be 0 to half"),
        (["--stride-s", "3"], "stride is 3.0 s; it must be window - overlap = 4 s"),
        (["--contexts", "none"], "option contexts 'none'"),
        (["--mode", "fast"], "option mode 'fast'"),
        (["--config", "no-such-file.toml"], "cannot read no-such-file.toml"),
        (["--log-level", "loud"], "option log_level 'loud'"),
    ],
)
def test_options_that_cannot_be_used_are_told(
    database: Path, options: list[str], sentence: str
) -> None:
    """Before anything is opened: not even a database is made."""
    assert sentence in refused("--database", str(database), *options)
    assert not database.exists()


def test_a_damaged_model_is_told_without_a_traceback(database: Path, tmp_path: Path) -> None:
    """A process given a file that is no model: exit 2, one line on stderr, nothing on stdout."""
    model = tmp_path / "damaged.bin"
    model.write_bytes(b"not ggml" * 1000)
    command = [sys.executable, "-m", "service", "--database", str(database), "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert str(model) in line


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["serve", "-h"]])
def test_help_is_given(arguments: list[str]) -> None:
    """`--help` exits 0 and says what there is."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert ("serve" if arguments[0] != "serve" else "UDP port of REGISTER and BYE") in result.stdout


def test_every_setting_is_an_option_of_serve() -> None:
    """What a TOML file can set, the command line can, by the same name."""
    text = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).stdout
    options = set(re.findall(r"--([a-z-]+)", text)) - {"config", "help"}
    options -= {name for name in options if name.startswith("no-")} | {"full-band"}
    assert {name.replace("-", "_") for name in options} == set(Settings.model_fields)
