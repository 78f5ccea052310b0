"""Everything an operator can set about the server: one frozen object, validated once."""

import os
import platform
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.errors import ConfigError
from service.context_count import available_memory, contexts_that_fit
from service.wire import AUDIO_BASE_PORT, LLAMA_PORT, REGISTRATION_PORT

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WINDOWS = WindowSettings()  # the defaults stand there


class Settings(BaseModel):
    """Options of `callfsm serve`, by the names they have in a TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address of every socket.")
    udp_port: Port = Field(REGISTRATION_PORT, description="UDP port of REGISTER and BYE.")
    audio_base_port: Port = Field(
        AUDIO_BASE_PORT, description="The audio of call N is fetched from this port + N."
    )
    llama_host: str = Field("127.0.0.1", description="Host of the language model.")
    llama_port: Port = Field(LLAMA_PORT, description="TCP port of the language model.")
    http_port: Port | None = Field(
        None, description="Port of the page, /calls and /metrics; none without."
    )
    database: Path = Field(Path("whisper_talk.db"), description="SQLite file, shared.")

    model: str | None = Field(
        None,
        description="Model name, ggml file or CTranslate2 directory [default: the database's "
        "whisper_model_path, or tiny.en].",
    )
    engine: Literal["auto", "whispercpp", "ctranslate2"] = Field(
        "auto", description="'auto' takes whisper.cpp for a GPU, else CTranslate2 if it is there."
    )
    contexts: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto",
        description="Whisper contexts: 1 serialises, more run in parallel; "
        "'auto' is one a core, or as many as fit into memory, and one for a GPU.",
    )
    threads: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="Native threads of a context [default: 1, or all cores in mode chunk]."
    )
    gpu: Literal["auto", "on", "off"] = Field("auto", description="Use a GPU if there is one.")
    gpu_device: Annotated[int, Field(ge=0)] = Field(0, description="Which GPU.")
    flash_attention: bool | None = Field(
        None, description="whisper.cpp's flash attention [default: on a GPU yes, on a CPU no]."
    )

    detector: Literal["silero", "webrtc"] = Field(
        "silero", description="Speech detection; 'webrtc' is cheaper, and hears speech in music."
    )
    mode: Literal["stream", "chunk"] = Field(
        "stream", description="'chunk' transcribes every chunk whole, as the field did."
    )
    window_s: Seconds = Field(WINDOWS.window_s, description="Length of a window.")
    overlap_s: Annotated[float, Field(ge=0)] = Field(
        WINDOWS.overlap_s, description="Overlap of two windows."
    )
    stride_s: Seconds = Field(WINDOWS.stride_s, description="Window minus overlap.")
    buffer_s: Seconds = Field(
        WINDOWS.buffer_s, description="Audio a call holds before it is flushed."
    )
    pause_s: Seconds = Field(WINDOWS.pause_s, description="Silence that counts as a pause.")
    context_s: Annotated[float, Field(ge=0)] = Field(
        WINDOWS.context_s, description="Length of a window and what is heard again with it."
    )
    context_busy_s: Annotated[float, Field(ge=0)] = Field(
        WINDOWS.context_busy_s, description="The same when the contexts have no time to spare."
    )
    telephone_band: bool = Field(
        WINDOWS.telephone_band,
        description="Hold audio up to 3.4 kHz, at 4 to 8 KB a second; without, all at 16 KB.",
    )
    eager_step_s: Annotated[float, Field(ge=0)] = Field(
        WINDOWS.eager_step_s,
        description="New speech between looks at a growing window, more under load; 0: none.",
    )
    lookahead_s: Annotated[float, Field(ge=0)] = Field(
        WINDOWS.lookahead_s,
        description="Speech after a word before two looks commit it; sure ones wait for less.",
    )
    idle_s: Seconds = Field(300.0, description="A call without audio for so long is closed.")
    max_calls: Annotated[int, Field(ge=1)] = Field(500, description="Calls at once.")
    admission: Literal["auto", "off"] = Field(
        "auto",
        description="'auto' has busy contexts get a quarter more calls in 10 s at most, fewer the "
        "longer windows wait, and none once one has waited 1 s or while no context works; "
        "'off': only --max-calls counts.",
    )
    drain_s: Seconds = Field(30.0, description="Time for calls to finish when the server stops.")

    record: Path | None = Field(
        None, description="Directory for a log of every call, for `callfsm replay`; none without."
    )
    record_audio: bool = Field(False, description="Have the calls' audio in those logs, too.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is told: debug, info, warning or error."
    )

    def call_settings(self) -> CallSettings:
        """Raises ConfigError where the windows contradict themselves."""
        return CallSettings(
            windows=WindowSettings(
                mode=self.mode,
                window_s=self.window_s,
                overlap_s=self.overlap_s,
                stride_s=self.stride_s,
                buffer_s=self.buffer_s,
                pause_s=self.pause_s,
                context_s=self.context_s,
                context_busy_s=self.context_busy_s,
                lookahead_s=self.lookahead_s,
                telephone_band=self.telephone_band,
                eager_step_s=self.eager_step_s if self.mode == "stream" else 0.0,
            ),
            idle_s=self.idle_s,
        )

    def context_count(self, weights_bytes: int, *, on_gpu: bool) -> int:
        """`contexts`, with "auto" as one per core: two contexts of one thread each do more than
        one of two threads (FACTS: 1.4 to 1.9 times). A GPU is one device and takes one context.
        Never more than fit into memory, with the weights in each."""
        if self.contexts != "auto":
            return self.contexts
        if self.mode == "chunk" or on_gpu:
            return 1
        return contexts_that_fit(available_cores(), weights_bytes, available_memory())

    def expects_gpu(self) -> bool:
        """Whether a GPU was asked for, or whisper.cpp will find Metal."""
        if self.gpu == "auto":
            return self.engine != "ctranslate2" and has_metal()
        return self.gpu == "on"

    def thread_count(self) -> int:
        """Native threads of each context."""
        if self.threads is not None:
            return self.threads
        return available_cores() if self.mode == "chunk" else 1


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_metal() -> bool:
    """Whether whisper.cpp finds a GPU without being told: on Apple's own processors."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


def load_settings(given: Mapping[str, Any], config: Path | None = None) -> Settings:
    """The settings of a TOML file, if any, overridden by what was `given` (None: not given).

    Raises ConfigError naming the option, its value and the rule.
    """
    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = tomllib.loads(config.read_text())
        except OSError as error:
            raise ConfigError(f"cannot read {config}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{config} is not a TOML file: {error}") from error
    values |= {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        name = faults[0]["loc"][0]
        rules = " or ".join(fault["msg"] for fault in faults if fault["loc"][0] == name)
        raise ConfigError(f"option {name} {values.get(str(name))!r}: {rules}") from error
    settings.call_settings()
    if settings.record_audio and settings.record is None:
        raise ConfigError("option record_audio: say where to, with the option record")
    return settings
