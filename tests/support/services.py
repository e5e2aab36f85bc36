"""Running rendered services, accessed over HTTP."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
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
    """An HTTP response with any status."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the decoded JSON body."""
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
        """Send a request, with a JSON body if `data` is given."""
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
        """Return the structured log lines so far, without the server's banner."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for_log(self, event: str) -> None:
        """Wait until the log has an event, such as one that happens after a response."""
        deadline = time.monotonic() + START_TIMEOUT
        while event not in [entry["event"] for entry in self.log()]:
            assert time.monotonic() < deadline, f"The log has no event {event!r}."
            time.sleep(0.05)

    def terminate(self) -> None:
        """Send SIGTERM, like a container runtime; the service must shut down cleanly."""
        self.process.send_signal(signal.SIGTERM)
        exit_code = self.process.wait(STOP_TIMEOUT)
        # After shutting down, uvicorn lets the signal end the process.
        assert exit_code in (0, 128 + signal.SIGTERM), exit_code
        assert "Application shutdown complete." in [entry["event"] for entry in self.log()]

    def wait_until_it_answers(self) -> None:
        """Wait until the service responds, or fail with its log."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/health/live")
            except OSError:
                time.sleep(0.05)
            else:
                return
        msg = f"The service does not respond: {self.log_file.read_text(encoding='utf-8')}"
        raise AssertionError(msg)


def start(
    project: Project, *command: str, env: Mapping[str, str] | None = None, port: int | None = None
) -> Service:
    """Start a server of the project, by default on a free port, in a new terminal session.

    It does not wait for load balancers when it is stopped, unless `env` says so.
    """
    port = port or programs.free_port()
    log_file = project.path.with_name(f"service-{port}.log")
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [programs.uv(), "run", *command, "--port", str(port)],
            cwd=project.path,
            env=project.environment({"DRAIN_TIMEOUT": "0", **(env or {})}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Service(process, port, log_file)


@contextmanager
def running(
    project: Project,
    env: Mapping[str, str] | None = None,
    *arguments: str,
    command: Sequence[str] = ("fastapi", "run"),
    port: int | None = None,
) -> Iterator[Service]:
    """Start the service, wait until it responds, and stop it afterwards."""
    service = start(project, *command, "--host", "127.0.0.1", *arguments, env=env, port=port)
    process = service.process
    try:
        service.wait_until_it_answers()
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
