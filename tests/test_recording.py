"""The server's recording: files on disk, what is lost when the disk fails, and `callfsm replay`."""

import json
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from server_fixture import PATIENCE_S, eventually, said, serving, speech
from typer.testing import CliRunner

from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.settings import CallSettings
from callfsm.errors import ConfigError
from callfsm.record.log import Log, read_log
from callfsm.record.replay import replay
from service import recording
from service.cli.main import app
from service.metrics import Metrics
from service.recording import Recording
from service.settings import load_settings
from specs.audio import LoudIsSpeech


def read(path: Path) -> Log:
    with path.open() as file:
        return read_log(file)


def the_log(directory: Path) -> Path:
    [path] = directory.iterdir()
    return path


class Recorder:
    """A Recording with one call, to which events happen."""

    def __init__(self, directory: Path, **options: int) -> None:
        self.metrics = Metrics()
        self.recording = Recording(
            directory, audio=False, now_s=lambda: 0.0, metrics=self.metrics, **options
        )
        self.settings = CallSettings()

    def call(self, call_id: int = 7) -> Callable[[int], None]:
        """A new call; what is returned makes so many REGISTERs arrive."""
        recorder = self.recording.call(call_id, self.settings, LoudIsSpeech())
        call = Call(call_id, self.settings, recorder.detector)
        recorder.machine.start(call)

        def register(times: int) -> None:
            for _ in range(times):
                recorder.machine.handle(call, ev.Registered())

        return register

    @property
    def lost(self) -> float:
        return self.metrics.registry.get_sample_value("callfsm_recording_lost_total") or 0.0


# ---------------------------------------------------------------- the server
@pytest.mark.parametrize("audio", [False, True])
def test_a_served_call_replays(tmp_path: Path, audio: bool) -> None:
    """A call over the real protocol is recorded, and its log replays to the end."""
    logs = tmp_path / "logs"
    with serving(tmp_path, record=logs, record_audio=audio) as house:
        caller = house.caller(3, speech(3, 40))
        caller.run()
        house.expect(3, said(3, 40))
    log = read(the_log(logs))
    assert (log.header.call, log.header.audio, log.is_whole) == (3, audio, True)
    assert replay(log) is None


def test_every_call_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Two calls of one id, and one of another, are three logs, for the owner's eyes only."""
    logs = tmp_path / "logs"
    recorder = Recorder(logs)
    for call_id in (1, 2, 1):
        recorder.call(call_id)(3)
    recorder.recording.close()
    paths = sorted(logs.iterdir())
    assert [read(path).header.call for path in paths] == [1, 2, 1]
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-call-\d\.jsonl", path.name) for path in paths)
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o600] * 3
    assert stat.S_IMODE(logs.stat().st_mode) == 0o700


def test_a_log_grows_while_the_call_goes_on(tmp_path: Path) -> None:
    """A server that is killed has lost no more than the last moment."""
    recorder = Recorder(tmp_path)
    register = recorder.call()
    register(1)
    eventually(lambda: len(list(tmp_path.iterdir())) == 1, "a log")
    assert len(read(the_log(tmp_path)).turns) == 2
    register(1)
    eventually(lambda: len(read(the_log(tmp_path)).turns) == 3, "the next turn")
    recorder.recording.close()


# ---------------------------------------------------------------- a disk that fails
def test_a_slow_disk_does_not_block_and_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the disk hangs turns go on; beyond the bound the log ends, counted and told."""
    may_write = threading.Event()
    append = recording._append

    def hang(texts: Any) -> Any:
        may_write.wait(PATIENCE_S)
        return append(texts)

    monkeypatch.setattr(recording, "_append", hang)
    recorder = Recorder(tmp_path, waiting_bytes=4000)
    register = recorder.call()
    gevent.sleep(0.01)
    register(100)
    assert recorder.lost > 50
    [record] = caplog.records
    assert "call 7" in record.getMessage()
    assert "does not keep up" in record.getMessage()
    may_write.set()
    recorder.recording.close()
    log = read(the_log(tmp_path))
    assert 2 < len(log.turns) < 50
    assert replay(log) is None


def test_a_disk_that_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A log that cannot be written is told once; what is lost is counted, and nothing crashes."""
    recorder = Recorder(tmp_path)
    register = recorder.call()
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    register(3)
    eventually(lambda: recorder.lost == 5, "the loss")
    register(2)
    assert recorder.lost == 7
    recorder.recording.close()
    assert ["No such file" in record.getMessage() for record in caplog.records] == [True]


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    """An operator's mistake is told before the first call."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="cannot record to"):
        Recorder(file)


def test_audio_needs_a_directory() -> None:
    """To record the audio nowhere is a mistake."""
    with pytest.raises(ConfigError, match="record_audio: say where to"):
        load_settings({"record_audio": True})


# ---------------------------------------------------------------- callfsm replay
@pytest.fixture
def log(tmp_path: Path) -> Path:
    recorder = Recorder(tmp_path / "logs")
    recorder.call()(3)
    recorder.recording.close()
    return the_log(tmp_path / "logs")


def test_replay_says_identical(log: Path) -> None:
    """Exit code 0, one sentence."""
    result = CliRunner().invoke(app, ["replay", str(log)])
    assert result.exit_code == 0
    assert result.output == "call 7: identical, 4 turns; the log ends before the call does\n"


def test_replay_shows_the_difference(log: Path) -> None:
    """Exit code 1, and the event, its state and its effects."""
    log.write_text(log.read_text().replace('{"ConnectAudio":{}},', ""))
    result = CliRunner().invoke(app, ["replay", str(log)])
    assert result.exit_code == 1
    assert result.output.startswith("call 7 differs at event 1 at 0.000 s, Registered:\n")
    assert '{"ConnectAudio": {}}' in result.output
    result = CliRunner().invoke(app, ["replay", str(log), "--json"])
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert (found["identical"], found["difference"]["number"]) == (False, 1)
    assert found["difference"]["found"]["effects"][0] == {"ConnectAudio": {}}


def test_replay_writes_a_spec(log: Path, tmp_path: Path) -> None:
    """One command makes a spec of a log."""
    spec = tmp_path / "test_call.py"
    result = CliRunner().invoke(app, ["replay", str(log), "--spec", str(spec)])
    assert result.exit_code == 0
    assert "def test_call_7" in spec.read_text()


def test_replay_of_no_log(tmp_path: Path) -> None:
    """Exit code 2, one sentence."""
    for path in (tmp_path / "none", tmp_path):
        result = CliRunner().invoke(app, ["replay", str(path)])
        assert result.exit_code == 2
        assert result.output.startswith("callfsm: ")
