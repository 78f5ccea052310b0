"""Settings from options and a TOML file: what counts, and the sentence for what cannot be used."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from callfsm.errors import ConfigError
from service.settings import available_cores, load_settings


def file_with(folder: Path, text: str) -> Path:
    path = folder / "callfsm.toml"
    path.write_text(text)
    return path


def test_without_options_the_field_s_ports_and_the_user_s_windows_apply() -> None:
    """The defaults are those of PROTOCOL.md and REQUIREMENTS A1."""
    settings = load_settings({})
    assert (settings.udp_port, settings.audio_base_port, settings.llama_port) == (13000, 9001, 8083)
    windows = settings.call_settings().windows
    assert (windows.window_s, windows.overlap_s, windows.stride_s) == (5.0, 1.0, 4.0)
    assert windows.buffer_s == 10.0


def test_a_toml_file_sets_options(tmp_path: Path) -> None:
    """Each option of the command line has its name in the file, dashes as underscores."""
    config = file_with(tmp_path, 'udp_port = 14000\ncontexts = "auto"\nmodel = "base.en"\n')
    settings = load_settings({}, config)
    assert (settings.udp_port, settings.contexts, settings.model) == (14000, "auto", "base.en")


def test_an_option_goes_before_the_file(tmp_path: Path) -> None:
    """What the operator types counts more than what the file says; None is not typed."""
    config = file_with(tmp_path, "udp_port = 14000\nllama_port = 9000\n")
    settings = load_settings({"udp_port": 15000, "llama_port": None}, config)
    assert (settings.udp_port, settings.llama_port) == (15000, 9000)


def test_windows_are_validated_together() -> None:
    """Window, overlap and stride of one's own are taken when they agree."""
    windows = load_settings({"window_s": 6.0, "overlap_s": 2.0, "stride_s": 4.0}).call_settings()
    assert windows.windows.stride_s == 4.0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"overlap_s": 3.0, "stride_s": 2.0}, "overlap is 3.0 s; it must be 0 to half the window"),
        ({"stride_s": 3.0}, "stride is 3.0 s; it must be window - overlap = 4 s"),
        ({"window_s": 40.0, "stride_s": 39.0}, "window is 40.0 s; whisper takes 1 to 30 s"),
        ({"buffer_s": 3.0}, "buffer is 3.0 s; it must hold a window"),
        ({"pause_s": 9.0}, "pause is 9.0 s"),
        ({"udp_port": 70_000}, "option udp_port 70000: .* less than or equal to 65535"),
        ({"udp_port": -1}, "option udp_port -1: .* greater than or equal to 0"),
        ({"contexts": 0}, "option contexts 0: .*'auto'.* or .*greater than or equal to 1"),
        ({"contexts": "many"}, "option contexts 'many': .*'auto'.* or .*integer"),
        ({"threads": 0}, "option threads 0"),
        ({"mode": "fast"}, "option mode 'fast': .*'stream' or 'chunk'"),
        ({"gpu": "maybe"}, "option gpu 'maybe'"),
        ({"idle_s": 0.0}, r"option idle_s 0\.0: .* greater than 0"),
        ({"idle_s": float("inf")}, "option idle_s inf: .* finite"),
        ({"idle_s": float("nan")}, "option idle_s nan"),
        ({"max_calls": 0}, "option max_calls 0"),
        ({"no_such": 1}, "option no_such 1: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_value_and_the_rule(
    given: dict[str, Any], sentence: str
) -> None:
    """The error is one line that names option, value and rule."""
    with pytest.raises(ConfigError, match=sentence) as error:
        load_settings(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("udp-port = 1\n", "option udp-port 1: Extra inputs are not permitted"),
        ("this is no TOML", "is not a TOML file"),
        ("[serve]\nudp_port = 1\n", "option serve .*: Extra inputs are not permitted"),
        ("udp_port = [1]\n", r"option udp_port \[1\]"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str, sentence: str) -> None:
    """Unknown keys and broken syntax are told, not passed over."""
    with pytest.raises(ConfigError, match=sentence) as error:
        load_settings({}, file_with(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_a_folder_or_binary_is_refused(tmp_path: Path) -> None:
    """Each of them gets a sentence with the path."""
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.toml: No such file"):
        load_settings({}, tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        load_settings({}, tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml is not a TOML file"):
        load_settings({}, binary)


def test_settings_cannot_change_after_the_start() -> None:
    """One frozen object, validated once."""
    settings = load_settings({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.udp_port = 1


@pytest.mark.parametrize(
    ("given", "contexts", "threads"),
    [
        ({}, available_cores(), 1),
        ({"mode": "chunk"}, 1, available_cores()),
        ({"gpu": "on"}, 1, 1),
        ({"contexts": 3, "threads": 2, "mode": "chunk"}, 3, 2),
    ],
)
def test_auto_is_a_context_per_core_and_the_field_s_way_is_one_with_all(
    given: dict[str, Any], contexts: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--contexts auto` and the roll-back `--mode chunk` choose what they say; options override."""
    monkeypatch.setattr("service.settings.has_metal", lambda: False)
    settings = load_settings(given)
    count = settings.context_count(0, on_gpu=settings.expects_gpu())
    assert (count, settings.thread_count()) == (contexts, threads)


def test_mode_chunk_takes_no_looks_ahead() -> None:
    """The roll-back to chunks infers nothing twice."""
    assert load_settings({"mode": "chunk"}).call_settings().windows.eager_step_s == 0


def test_one_context_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac with Metal one context has the GPU to itself, unless the GPU is turned off."""
    monkeypatch.setattr("service.settings.has_metal", lambda: True)
    for given, contexts in (({}, 1), ({"gpu": "off"}, available_cores())):
        settings = load_settings(given)
        assert settings.context_count(0, on_gpu=settings.expects_gpu()) == contexts
