"""`callfsm serve`."""

import faulthandler
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.errors import reported
from service.serve import serve as run
from service.settings import Settings, load_settings


def _option(name: str, flag: str | None = None) -> Any:
    """A command-line option with the help and the default of the setting of this name."""
    field = Settings.model_fields[name]
    help_text = field.description or ""
    if "[default:" not in help_text and field.default is not None:
        help_text += f" [default: {field.default}]"
    return typer.Option(flag or "--" + name.replace("_", "-"), help=help_text, show_default=False)


@reported
def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with these options, '-' written '_'.")
    ] = None,
    host: Annotated[str | None, _option("host")] = None,
    udp_port: Annotated[int | None, _option("udp_port")] = None,
    audio_base_port: Annotated[int | None, _option("audio_base_port")] = None,
    llama_host: Annotated[str | None, _option("llama_host")] = None,
    llama_port: Annotated[int | None, _option("llama_port")] = None,
    http_port: Annotated[int | None, _option("http_port")] = None,
    database: Annotated[Path | None, _option("database")] = None,
    model: Annotated[str | None, _option("model")] = None,
    engine: Annotated[str | None, _option("engine")] = None,
    contexts: Annotated[str | None, _option("contexts")] = None,
    threads: Annotated[int | None, _option("threads")] = None,
    gpu: Annotated[str | None, _option("gpu")] = None,
    gpu_device: Annotated[int | None, _option("gpu_device")] = None,
    flash_attention: Annotated[
        bool | None, _option("flash_attention", "--flash-attention/--no-flash-attention")
    ] = None,
    detector: Annotated[str | None, _option("detector")] = None,
    mode: Annotated[str | None, _option("mode")] = None,
    window_s: Annotated[float | None, _option("window_s")] = None,
    overlap_s: Annotated[float | None, _option("overlap_s")] = None,
    stride_s: Annotated[float | None, _option("stride_s")] = None,
    telephone_band: Annotated[
        bool | None, _option("telephone_band", "--telephone-band/--full-band")
    ] = None,
    buffer_s: Annotated[float | None, _option("buffer_s")] = None,
    pause_s: Annotated[float | None, _option("pause_s")] = None,
    context_s: Annotated[float | None, _option("context_s")] = None,
    context_busy_s: Annotated[float | None, _option("context_busy_s")] = None,
    eager_step_s: Annotated[float | None, _option("eager_step_s")] = None,
    lookahead_s: Annotated[float | None, _option("lookahead_s")] = None,
    idle_s: Annotated[float | None, _option("idle_s")] = None,
    max_calls: Annotated[int | None, _option("max_calls")] = None,
    admission: Annotated[str | None, _option("admission")] = None,
    drain_s: Annotated[float | None, _option("drain_s")] = None,
    record: Annotated[Path | None, _option("record")] = None,
    record_audio: Annotated[
        bool | None, _option("record_audio", "--record-audio/--no-record-audio")
    ] = None,
    log_level: Annotated[str | None, _option("log_level")] = None,
) -> None:
    """Transcribe phone calls until SIGINT or SIGTERM; then finish every call, and end."""
    given = {name: value for name, value in locals().items() if name in Settings.model_fields}
    settings = load_settings(given, config)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    faulthandler.enable(sys.__stderr__ or 2)  # what a native library that ends us was asked to do
    logging.getLogger("transitions").setLevel(logging.WARNING)  # it tells every step at INFO
    run(settings, announce=lambda line: print(line, flush=True))
