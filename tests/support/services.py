"""Rendered services that run and are spoken to over HTTP."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from support import programs
from support.projects import Project

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0


@dataclass(frozen=True)
class Response:
    """An answer, whatever its status."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the decoded body."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass(frozen=True)
class Service:
    """A rendered service, started as in production."""

    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    def request(
        self, method: str, path: str, data: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a request, with JSON if there is data."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if data is None else json.dumps(data).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return Response(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.headers, error.read())

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """Send a GET request."""
        return self.request("GET", path, headers=headers)

    def log(self) -> list[dict[str, Any]]:
        """Return the structured lines logged so far; the server's banner is not among them."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def terminate(self) -> None:
        """Ask the service to stop, as a container's runtime would; it must do so in good order."""
        self.process.send_signal(signal.SIGTERM)
        exit_code = self.process.wait(STOP_TIMEOUT)
        # When it has shut down, uvicorn lets the signal end the process.
        assert exit_code in (0, 128 + signal.SIGTERM), exit_code
        assert "Application shutdown complete." in [entry["event"] for entry in self.log()]

    def wait_until_it_answers(self) -> None:
        """Return when the service serves, or fail with its log."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/health/live")
            except OSError:
                time.sleep(0.05)
            else:
                return
        msg = f"The service does not answer: {self.log_file.read_text(encoding='utf-8')}"
        raise AssertionError(msg)


@contextmanager
def running(project: Project, env: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Start the service, wait until it answers, and see to it that it ends."""
    port = programs.free_port()
    log_file = project.path.with_name(f"service-{port}.log")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [programs.uv(), "run", "fastapi", "run", "--host", "127.0.0.1", "--port", str(port)],
            cwd=project.path,
            env=project.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(process, port, log_file)
    try:
        service.wait_until_it_answers()
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
