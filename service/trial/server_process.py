"""The server as a trial sees it: another process, known by its ready line and its web port."""

import http.client
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
import psutil
from gevent import socket, subprocess
from prometheus_client.parser import text_string_to_metric_families

from callfsm.errors import CallfsmError

READY = re.compile(r"callfsm ready: UDP (?P<host>[^:]+):(?P<udp>\d+),.* http [^:]+:(?P<http>\d+)")
READY_TIMEOUT_S = 120.0  # the weights may have to be converted first
STOP_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.05


class ServerProcess:
    """`callfsm serve` with free ports, as a context manager; `log` gets what it logs."""

    def __init__(
        self,
        database: Path,
        audio_base_port: int,
        llama_port: int,
        log: Path,
        options: tuple[str, ...] = (),
        *,
        module: str = "service",
    ) -> None:
        self.log = log
        self._arguments = [
            *(sys.executable, "-m", module, "--udp-port", "0", "--http-port", "0"),
            *("--audio-base-port", str(audio_base_port), "--llama-port", str(llama_port)),
            *("--database", str(database)),
            *options,
        ]
        self.udp_port = 0
        self.ready_line = ""
        self._http: tuple[str, int] = ("127.0.0.1", 0)

    def __enter__(self) -> "ServerProcess":
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._arguments, stdout=subprocess.PIPE, stderr=log, text=False
            )
        with gevent.Timeout(READY_TIMEOUT_S, CallfsmError("the server did not become ready")):
            out = self._process.stdout
            self.ready_line = out.readline().decode().strip() if out is not None else ""
        ready = READY.match(self.ready_line)
        if ready is None:
            self._process.wait()
            raise CallfsmError(f"the server did not start: {self._last_words(1)}")
        self.udp_port = int(ready["udp"])
        self._http = (ready["host"], int(ready["http"]))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Let the server finish its calls and end; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return int(code)

    def await_contexts(self) -> None:
        """Return when none of the contexts is loading: the ready line comes with the first."""
        error = CallfsmError("the server's contexts were not loaded in time")
        with gevent.Timeout(READY_TIMEOUT_S, error):
            while self.metrics().get("callfsm_inference_contexts[loading]"):
                gevent.sleep(LOOK_EVERY_S)

    def cpu_s(self) -> float:
        """Seconds of processor time, user and system, that the server has used so far."""
        times = self._usage().cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        """Memory that the server holds now."""
        return int(self._usage().memory_info().rss)

    def _usage(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    def calls(self) -> list[dict[str, Any]]:
        """What /calls says."""
        answer: list[dict[str, Any]] = json.loads(self._get("/calls"))
        return answer

    def metrics(self) -> dict[str, float]:
        """What /metrics says, by name; one with labels is `name[value]`."""
        families = text_string_to_metric_families(self._get("/metrics").decode())
        samples = (sample for family in families for sample in family.samples)
        return {
            sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
            for sample in samples
        }

    def _why_unreachable(self, error: OSError) -> str:
        code = self._process.poll()
        if code is None:
            return f"the server does not answer: {error}"
        return f"the server has ended with exit code {code}; its last words: {self._last_words(3)}"

    def _last_words(self, lines: int) -> str:
        said = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(said[-lines:]) or "no reason"

    @property
    def page(self) -> str:
        """The address of the page that shows the calls."""
        host, port = self._http
        return f"http://{host}:{port}/"

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(*self._http)
        try:
            connection.sock = socket.create_connection(self._http, timeout=5.0)
        except OSError as error:
            raise CallfsmError(self._why_unreachable(error)) from error
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()
