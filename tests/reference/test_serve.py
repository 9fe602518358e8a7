"""`python -m reference_app`: help, what it refuses, and how it ends, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_app import serve

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds until a process that does not do as it should is given up
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINI_AGENT_")}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    return {**kept, "PYTHONPATH": path, "COLUMNS": "100", "NO_COLOR": "1", **more}


def command(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end; for what ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "reference_app", *arguments],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class SlowModel(ThreadingHTTPServer):
    """A model server that answers when it is told to."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SlowHandler)
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _SlowHandler(BaseHTTPRequestHandler):
    server: SlowModel

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.set()
        self.server.may_answer.wait(PATIENCE)
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Done"}}]}).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # whoever asked was shut down meanwhile
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps stderr quiet."""


@pytest.fixture
def model() -> Iterator[SlowModel]:
    with SlowModel() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.may_answer.set()
            server.shutdown()
            thread.join()


class Running:
    """The program, serving."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Sends a signal; returns exit status, the rest of stdout, and stderr."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts the program on a free port: `start("--log-level", "debug", MINI_AGENT_DEFECTS="…")`."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **more: str) -> Running:
        process = subprocess.Popen(
            [sys.executable, "-m", "reference_app", "--port", "0", *arguments],
            cwd=tmp_path,
            env=environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        url = process.stdout.readline().strip()
        watchdog.cancel()
        watchdog.join()
        assert url, process.communicate()[1]
        return Running(process, url)

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def test_help_names_every_option_and_defect(tmp_path: Path) -> None:
    done = command("--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m reference_app")
    for word in ("--host", "--port", "--config", "--log-level", "--defect", "double-post", "trace-leak"):
        assert word in done.stdout


def test_a_broken_configuration_is_told_line_by_line_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("agent:\n  max_iterations: three\nserver:\n  prot: 1\n")
    done = command("--config", "config.yaml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "config.yaml:2: agent.max_iterations: 'three' is not a whole number; write a number from 1 to 100\n"
        "config.yaml:4: server.prot: unknown key; did you mean 'port'?\n"
    )


def test_a_gateway_that_is_not_consistent_is_told_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "gateway: {keys: {dev: {key_env: A_KEY, servers: [file]}}}\n"
        "mcp_servers: {files: {transport: stdio, command: npx}}\n"
    )
    done = command("--config", "config.yaml", folder=tmp_path, A_KEY="hunter22")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "config.yaml:1: gateway.keys.dev.servers[0]: 'file' is no server and no group; "
        "did you mean 'files'?\n"
    )


def test_an_unknown_defect_of_the_environment_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINI_AGENT_DEFECTS", "duble-post")
    status = serve.main(["--port", "0"])
    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert told.err == (
        "MINI_AGENT_DEFECTS: no defect is called 'duble-post'; did you mean 'double-post'? "
        "known: double-post, masked-500, bare-retry, two-casings, trace-leak, hook-under-static, "
        "hook-arguments-lost, probe-unauthorised, probe-ignores-401, probe-403-as-401, serial-probes, "
        "pings-only, unknown-widens\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "argument --port: 70000 is out of bounds; write a number from 0 to 65535"),
        (["--port", "x"], "argument --port: 'x' is not a whole number; write a number from 0 to 65535"),
        (["--config", ""], "argument --config: is empty; write a text, or leave the key out"),
        (["--defect", "x"], "argument --defect: no defect is called 'x'; known: double-post, "),
        (["--log-level", "loud"], "argument --log-level: invalid choice: 'loud'"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as end:
        serve.main(arguments)
    told = capsys.readouterr()
    assert (end.value.code, told.out) == (2, "")
    assert f"python -m reference_app: error: {says}" in told.err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status = serve.main(["--port", str(port)])
    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert told.err == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; "
        "choose another address with --host and --port (port 0 picks a free one)\n"
    )


def test_without_pyyaml_a_file_cannot_be_read_and_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ModuleNotFoundError('no', name='yaml')")
    done = command("--config", "config.yaml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--config needs yaml, which is not installed: pip install pyyaml\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_and_its_port_is_free(start: Any, number: int) -> None:
    app = start()
    assert httpx.get(f"{app.url}/ready", timeout=PATIENCE).json() == {"ok": True}
    status, out, err = app.stop(number)
    assert (status, out) == (0, "")
    assert "Traceback" not in err
    with socket.create_server(("127.0.0.1", httpx.URL(app.url).port or 0)):
        pass


def test_a_request_in_flight_is_answered_before_the_end(start: Any, model: SlowModel) -> None:
    app = start(MINI_AGENT_MODEL_BASE_URL=model.url, MINI_AGENT_MODEL_API_KEY="k")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.post, f"{app.url}/agent/run", json=BODY, timeout=PATIENCE)
        assert model.asked.wait(PATIENCE)
        app.process.send_signal(signal.SIGTERM)
        refused_after_the_signal(app.url)
        assert app.process.poll() is None
        model.may_answer.set()
        response = answer.result(PATIENCE)
    assert (response.status_code, response.json()["final_answer"]) == (200, "Done")
    status, _, err = app.end()
    assert status == 0
    assert "Traceback" not in err


def refused_after_the_signal(url: str) -> None:
    """Waits until the program accepts no new connection."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/ready")
        except httpx.TransportError:
            return
        time.sleep(0.02)
    raise AssertionError("it still accepts connections")


def test_a_request_that_takes_too_long_is_cut_off_with_a_503(
    start: Any, model: SlowModel, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(
        f"server: {{shutdown_seconds: 0.2}}\nmodel: {{base_url: '{model.url}', api_key_env: A_KEY}}\n"
    )
    app = start("--config", "config.yaml", A_KEY="k")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.post, f"{app.url}/agent/run", json=BODY, timeout=PATIENCE)
        assert model.asked.wait(PATIENCE)
        status, _, err = app.stop()
        response = answer.result(PATIENCE)
    assert response.status_code == 503
    assert response.json() == {"detail": "the server was shut down before the run was over"}
    assert status == 0
    assert "Traceback" not in err


def test_planted_defects_are_announced_and_at_work(start: Any, tool_server: Any, model: SlowModel) -> None:
    app = start("--defect", "two-casings", MINI_AGENT_DEFECTS="trace-leak")
    body = {**BODY, "tool_backend": "http", "tool_http_base_url": tool_server.serve()}
    body["tool_http_headers"] = {"X-Env": "A", "x-env": "B"}
    httpx.post(f"{app.url}/agent/run", json=body, timeout=PATIENCE)
    assert [r.sent("x-env") for r in tool_server.journal] == [[("X-Env", "A"), ("x-env", "B")]]
    _, _, err = app.stop()
    told = [line.rpartition(": ")[2] for line in err.splitlines() if "planted defect" in line]
    assert told == ["trace-leak", "two-casings"]


def test_no_credential_reaches_the_log(start: Any, tool_server: Any) -> None:
    app = start("--log-level", "debug", MINI_AGENT_MODEL_API_KEY="hunter22-key")
    url = tool_server.serve().replace("http://", "http://me:hunter22@")
    body = {**BODY, "tool_backend": "http", "tool_http_base_url": url}
    body["tool_http_headers"] = {"Authorization": "hunter22"}
    response = httpx.post(f"{app.url}/agent/run", json=body, timeout=PATIENCE)
    assert response.status_code == 502
    _, _, err = app.stop()
    assert len(tool_server.journal) == 1
    assert "agent run failed" in err
    assert "hunter22" not in err
