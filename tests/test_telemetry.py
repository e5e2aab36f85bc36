"""The extras of a service: real workers, which send telemetry."""

import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import programs
from support.collector import collecting
from support.projects import Project
from support.questions import first_of
from support.services import running

SETTINGS = {
    "telemetry": "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9",
    "metrics": "METRICS_PORT=9090",
    "sentry": "SENTRY_DSN=http://key@127.0.0.1:9/1",
}
"""A setting of each extra."""


@pytest.fixture
def project(make_project: Callable[..., Project], tmp_path: Path) -> Project:
    """A service in an environment of its own, with a database."""
    project = make_project(tmp_path / "service", first_of("sqlite"))
    project = replace(project, environments=None)
    project.uv_run(project.slug, "db", "upgrade")
    return project


def configure(project: Project, *lines: str) -> None:
    """Write settings into `.env`."""
    (project.path / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")


def add_extras(project: Project, *names: str) -> None:
    """Add extras, as the manual says."""
    file = project.path / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    assert f'"{project.slug}[core]"' in text
    text = text.replace(f'"{project.slug}[core]"', f'"{project.slug}[core,{",".join(names)}]"')
    file.write_text(text, encoding="utf-8")
    project.run("uv", "sync")


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a collector, and what it has received."""
    with collecting() as collector:
        yield collector


def test_extras_are_asked_for_and_typed(project: Project) -> None:
    """Without an extra, its setting stops the service; the type checker passes with and without."""
    for extra, setting in SETTINGS.items():
        configure(project, setting)
        refused = project.uv_run(project.slug, "serve", check=False)
        assert refused.exit_code == 1, refused.report()
        (line,) = refused.stderr.splitlines()
        assert line.endswith(f'"{project.slug}[core,{extra}]", and run `uv sync`.')
    project.uv_run("mypy")

    add_extras(project, *SETTINGS)

    project.uv_run("mypy")


def test_workers_send_telemetry(project: Project, collector: tuple[str, list[bytes]]) -> None:
    """Also those that replace others. What is sent has no secrets, and a stop loses nothing."""
    url, received = collector
    port = programs.free_port()
    add_extras(project, "telemetry", "metrics")
    configure(project, f"OTEL_EXPORTER_OTLP_ENDPOINT={url}", f"METRICS_PORT={port}")

    def scrape(pattern: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            text = response.read().decode()
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))

    answered = r"http_server_request_duration_seconds_count\{.*http_route=\"/songs\"\}"
    with running(project, None, "--workers", "2", command=(project.slug, "serve")) as service:
        for _ in range(20):
            assert service.get("/songs?artist=in-a-query").status == 200
        assert scrape(answered) == 20
        assert scrape(r"db_client_connection_max\{pool=\"read-only\"\}") == 20

        os.kill(worker_of(service.process.pid), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while len([line for line in service.log() if "startup complete" in line["event"]]) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert service.get("/songs").status == 200
        assert scrape(answered) == 21
        assert scrape(r"db_client_connection_max\{pool=\"read-only\"\}") == 20
        service.terminate()

    sent = b"".join(received)
    for expected in (b"GET /songs", b"SELECT", b"db.client.connection.count", b"service.name"):
        assert expected in sent
    assert project.slug.encode() in sent
    assert b"in-a-query" not in sent
    assert all("trace_id" in line for line in service.log() if line.get("path") == "/songs")


def worker_of(process: int) -> int:
    """Return a process that `serve` has started."""
    listed = programs.run("ps", "-e", "-o", "pid=,ppid=,args=", cwd=Path("/")).stdout
    parents = {}
    workers = []
    for line in listed.splitlines():
        pid, parent, arguments = line.split(maxsplit=2)
        parents[int(pid)] = int(parent)
        if "spawn_main" in arguments:
            workers.append(int(pid))
    for worker in workers:
        ancestor = worker
        while ancestor := parents.get(ancestor, 0):
            if ancestor == process:
                return worker
    msg = "There is no worker."
    raise AssertionError(msg)


def test_service_works_without_its_collector(project: Project) -> None:
    """Requests are answered, the log says what is lost, and the stop does not take long."""
    add_extras(project, "telemetry")
    configure(project, SETTINGS["telemetry"])
    with running(
        project, {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}, command=("fastapi", "run")
    ) as service:
        assert service.get("/songs").status == 200
        service.terminate()
    assert any("Failed to export" in line["event"] for line in service.log())
