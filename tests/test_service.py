"""A rendered service, run as in production: start, migrate, use, stop, and misconfigure."""

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from support.projects import Project
from support.questions import Combination, first_of, first_of_each_database
from support.services import Service, running

SERVERS = {
    "serve": ("{slug}", "serve"),
    "serve with workers": ("{slug}", "serve", "--workers", "2"),
    "fastapi run": ("fastapi", "run"),
}
"""Commands that serve in production."""

SLOW_FEATURE = '''\
"""A slow feature."""

import asyncio

from fastapi import APIRouter

router = APIRouter()


@router.get("/slow")
async def slow() -> str:
    """Answer late."""
    await asyncio.sleep(2)
    return "done"
'''

UNREACHABLE = {
    "sqlite": "sqlite+aiosqlite:////dev/null/app.db",
    "postgresql": "postgresql+asyncpg://user:hidden@127.0.0.1:1/service",
    "mysql": "mysql+asyncmy://user:hidden@127.0.0.1:1/service",
}

OTHER_DIALECT = {
    "sqlite": "postgresql+asyncpg://user:hidden@127.0.0.1/service",
    "postgresql": "mysql+asyncmy://user:hidden@127.0.0.1/service",
    "mysql": "sqlite+aiosqlite:///app.db",
}

DATABASES = pytest.mark.parametrize("combination", first_of_each_database(), ids=str)

SQLITE = first_of("sqlite")

KeptProjects = Callable[[Combination], Project]


@pytest.fixture
def kept_project(request: pytest.FixtureRequest, kept_projects: KeptProjects) -> Project:
    """A shared project for the test's combination, which the test must not modify."""
    return kept_projects(request.node.callspec.params["combination"])


def test_service_works_after_migration(kept_projects: KeptProjects, tmp_path: Path) -> None:
    """An unmigrated service reports that; once migrated, it serves the example."""
    project = kept_projects(SQLITE)
    env = {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"}
    upgrade = f"{project.slug} db upgrade"
    with running(project, env) as service:
        assert service.get("/health/live").status == 200
        assert service.get("/health/ready").status == 503
        reasons = {entry["event"]: entry.get("reason", "") for entry in service.log()}
        assert upgrade in reasons["not ready"]
        assert upgrade in reasons["Could not check the database schema."]

        project.uv_run(project.slug, "db", "upgrade", env=env)

        assert service.get("/health/ready").status == 200
        assert service.get("/docs").status == 200
        created = service.request("POST", "/songs", {"title": "Levitating", "artist": "Dua Lipa"})
        assert created.status == 201
        assert service.get(f"/songs/{created.json()['id']}").json() == created.json()
        service.terminate()


def test_git_ignores_runtime_files(make_project: Callable[..., Project], tmp_path: Path) -> None:
    """An update requires a clean work tree, and a database does not belong in git."""
    project = make_project(tmp_path / "service", SQLITE)
    project.sync()
    project.git("init", "--quiet")
    project.git("add", "--all")  # tracks the files
    # Secrets, and the project's own virtual environment.
    (project.path / ".env").write_text("LOG_LEVEL=DEBUG\n", encoding="utf-8")
    (project.path / ".venv").mkdir()
    (project.path / ".venv" / "pyvenv.cfg").touch()
    project.uv_run(project.slug, "db", "upgrade")
    project.uv_run("ruff", "check")
    with running(project) as service:
        assert service.get("/songs").status == 200
        assert project.git("ls-files", "--others", "--exclude-standard") == ""
        service.terminate()


def test_request_id_is_in_log_lines(kept_projects: KeptProjects, tmp_path: Path) -> None:
    """The client's request id is in the response and in all log lines of the request."""
    env = {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"}
    with running(kept_projects(SQLITE), env) as service:
        answered = service.get("/songs/1", {"X-Request-ID": "follow-me"})
        assert answered.headers["X-Request-ID"] == "follow-me"
        service.terminate()
        lines = [entry for entry in service.log() if entry.get("request_id") == "follow-me"]
        assert [(line["path"], line["status"]) for line in lines if "path" in line] == [
            ("/songs/1", answered.status)
        ]


@pytest.mark.parametrize(
    ("name", "trusted"),
    [
        ("serve", True),
        ("serve with workers", False),
        ("fastapi run", True),
        ("fastapi run", False),
    ],
)
def test_server_honours_the_settings(
    name: str, trusted: bool, kept_projects: KeptProjects, tmp_path: Path
) -> None:
    """Logs, headers of proxies, limits and draining are the same with every command."""
    project = kept_projects(SQLITE)
    env = {
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'app.db'}",
        "FORWARDED_ALLOW_IPS": "127.0.0.1" if trusted else "192.0.2.1",
        "DRAIN_TIMEOUT": "3",
    }
    forwarded = {
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "www.example.com",
    }
    project.uv_run(project.slug, "db", "upgrade", env=env)
    command = [part.format(slug=project.slug) for part in SERVERS[name]]
    with running(project, env, command=command) as service:
        location = redirect(service, "/songs/", forwarded)
        assert service.get("/songs", {"X-Long": "x" * 20_000}).status == 431
        assert service.get("/health/ready").status == 200

        service.process.send_signal(signal.SIGTERM)
        while service.get("/health/ready").status != 503:
            time.sleep(0.05)
        answered = service.get("/songs")
        assert (answered.status, answered.headers["Connection"]) == (200, "close")
        assert service.process.wait(30) in (0, 128 + signal.SIGTERM)

    log = service.log()
    here = f"http://127.0.0.1:{service.port}"
    assert location == ("https://www.example.com/songs" if trusted else f"{here}/songs")
    clients = [entry["client"] for entry in log if entry.get("path") == "/songs/"]
    assert clients == ["192.0.2.7" if trusted else "127.0.0.1"]
    if name != "fastapi run":
        assert len(log) == len(service.log_file.read_text(encoding="utf-8").splitlines())


def redirect(service: Service, path: str, headers: dict[str, str]) -> str | None:
    """Return the location of a redirect."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
    connection.request("GET", path, headers=headers)
    with closing(connection), connection.getresponse() as response:
        assert response.status == 307
        return response.getheader("Location")


def test_shutdown_finishes_running_requests(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """A feature needs no registration, and stopping the service does not drop requests."""
    project = make_project(tmp_path / "service", SQLITE)
    (project.path / "app" / "slow").mkdir()
    (project.path / "app" / "slow" / "__init__.py").write_text("")
    (project.path / "app" / "slow" / "router.py").write_text(SLOW_FEATURE)
    with running(project) as service, ThreadPoolExecutor() as threads:
        request = threads.submit(service.get, "/slow")
        time.sleep(0.5)
        assert not request.done()
        service.terminate()
        assert request.result().body == b'"done"'


STUCK_FEATURE = '''\
"""Requests that do not end."""

import asyncio

from fastapi import APIRouter, Response

router = APIRouter()


@router.get("/hang")
async def hang() -> None:
    """Answer never."""
    await asyncio.Event().wait()


@router.get("/large")
async def large() -> Response:
    """Answer with more than the system buffers."""
    return Response(b"x" * 50_000_000)
'''


def test_shutdown_does_not_wait_forever(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """Handlers that hang, and clients that neither send their body nor read, are cut off."""
    project = make_project(tmp_path / "service", SQLITE)
    (project.path / "app" / "stuck").mkdir()
    (project.path / "app" / "stuck" / "__init__.py").write_text("")
    (project.path / "app" / "stuck" / "router.py").write_text(STUCK_FEATURE)
    with (
        running(project, {"SHUTDOWN_TIMEOUT": "1"}) as service,
        ThreadPoolExecutor() as threads,
        socket.create_connection(("127.0.0.1", service.port)) as sender,
        socket.create_connection(("127.0.0.1", service.port)) as reader,
    ):
        sender.sendall(b"POST /songs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        reader.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        request = threads.submit(service.get, "/hang")
        time.sleep(0.5)
        service.terminate()
        assert request.result().status == 503
        assert request.result().headers["Retry-After"]
        assert b" 503 " in sender.recv(100)


@DATABASES
def test_service_recovers_from_unreachable_database(
    combination: Combination, kept_project: Project
) -> None:
    """The service starts, reports the problem, and recovers along with the database."""
    with running(kept_project, {"DATABASE_URL": UNREACHABLE[combination.database]}) as service:
        assert service.get("/health/live").status == 200
        for path in ("/health/ready", "/songs"):
            answered = service.get(path)
            assert answered.status == 503
            assert answered.headers["Retry-After"]
            assert answered.headers["Content-Type"] == "application/problem+json"
            assert b"hidden" not in answered.body
        service.terminate()
    log = service.log_file.read_text(encoding="utf-8")
    assert "Could not check the database schema" in log
    assert "hidden" not in log


@DATABASES
@pytest.mark.parametrize("command", ["upgrade", "check", "current"])
def test_commands_report_unreachable_database(
    combination: Combination, command: str, kept_project: Project
) -> None:
    """The output is one sentence instead of a traceback, and the exit code is 1."""
    env = {"DATABASE_URL": UNREACHABLE[combination.database]}
    assert_one_sentence(kept_project, (kept_project.slug, "db", command), env, "DATABASE_URL")


@DATABASES
@pytest.mark.parametrize("program", ["command", "server"])
@pytest.mark.parametrize("wrong", ["malformed", "other dialect"])
def test_wrong_url_is_refused(
    combination: Combination, program: str, wrong: str, kept_project: Project
) -> None:
    """Commands and the server refuse to start; the message names the variable and its format."""
    url = "rubbish" if wrong == "malformed" else OTHER_DIALECT[combination.database]
    command = {"command": (kept_project.slug, "db", "upgrade"), "server": ("fastapi", "run")}
    assert_one_sentence(
        kept_project, command[program], {"DATABASE_URL": url}, "DATABASE_URL is invalid: it must"
    )


@DATABASES
def test_missing_url_is_refused(combination: Combination, kept_project: Project) -> None:
    """Only SQLite has a default location for data."""
    if combination.database == "sqlite":
        kept_project.uv_run(kept_project.slug, "db", "upgrade")
    else:
        command = (kept_project.slug, "db", "upgrade")
        assert_one_sentence(kept_project, command, {}, "DATABASE_URL is not set")


def assert_one_sentence(
    project: Project, command: tuple[str, ...], env: dict[str, str], words: str
) -> None:
    """Check for exit code 1 and one line that says what to do, without secrets."""
    failed = project.uv_run(*command, env=env, check=False)
    assert failed.exit_code == 1, failed.report()
    lines = failed.stderr.strip().splitlines()
    assert len(lines) == 1, failed.report()
    assert words in lines[0], failed.report()
    assert lines[0].endswith("."), failed.report()
    assert "Traceback" not in failed.output, failed.report()
    assert "hidden" not in failed.output, failed.report()
