"""`dev`: the service and its development database, however they are stopped or disturbed."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import programs
from support.databases import DatabaseServer
from support.development import PID_FILES, Development
from support.projects import Project
from support.questions import Combination, first_of_each_database
from support.services import STOP_TIMEOUT, Service

DATABASES = pytest.mark.parametrize("combination", first_of_each_database(), ids=str)
SERVERS = pytest.mark.parametrize(
    "combination",
    [found for found in first_of_each_database() if found.database != "sqlite"],
    ids=str,
)

ESSENTIAL = {"postgresql": "global/pg_control", "mysql": "ibdata1"}

SONG = {"title": "Levitating", "artist": "Dua Lipa"}


@pytest.fixture
def development(
    combination: Combination, make_project: Callable[..., Project], tmp_path: Path
) -> Development:
    """A project in a folder with a blank in its name."""
    project = make_project(tmp_path / "my projects" / "service", combination)
    project.sync()
    return Development(project)


STOPS: dict[str, Callable[[Development, Service], None]] = {
    "Ctrl-C": lambda _, service: os.killpg(service.process.pid, signal.SIGINT),
    "SIGTERM": lambda development, _: os.kill(development.pid(), signal.SIGTERM),
    "SIGTERM to uv": lambda _, service: service.process.terminate(),
    "closed terminal": lambda _, service: os.killpg(service.process.pid, signal.SIGHUP),
}


@pytest.mark.needs_server
@DATABASES
def test_data_survives_every_way_to_stop(
    combination: Combination, development: Development
) -> None:
    """Whatever stops `dev` stops all of it, and the next start has the data."""
    with development.running() as service:
        assert service.get("/health/ready").status == 200
        assert service.request("POST", "/songs", SONG).status == 201
        _stop(development, service, STOPS["SIGTERM"])
    for name, stop in STOPS.items():
        with development.running() as service:
            assert service.get("/songs/1").status == 200, name
            _stop(development, service, stop)
    with development.running() as service:
        os.kill(development.pid(), signal.SIGKILL)
        development.wait_until(lambda: _is_closed(service.port))  # the child that serves ends too
    if combination.database != "sqlite":
        assert _is_alive(development.server_pid(combination.database))
    with development.running() as service:
        assert service.get("/songs/1").json()["title"] == SONG["title"]
        if combination.database != "sqlite":
            os.kill(development.server_pid(combination.database), signal.SIGKILL)
            # PostgreSQL's backends outlive the server for a moment.
            development.wait_until(lambda: service.get("/songs/1").status == 503)
        _stop(development, service, STOPS["Ctrl-C"])
    with development.running() as service:
        assert service.get("/songs/1").status == 200


@pytest.mark.needs_server
@DATABASES
@pytest.mark.usefixtures("combination")
def test_only_one_dev_runs_and_others_find_it(development: Development) -> None:
    """A second call says who is running; commands use its database; code is reloaded."""
    with development.running() as service:
        pid = development.pid()
        port = str(programs.free_port())
        address = f"http://127.0.0.1:{service.port}"
        assert f"{address}, process {pid}." in development.refused("--port", port)
        # Commands use its database, and code is reloaded.
        current = development.project.uv_run(development.project.slug, "db", "current")
        assert "(head)" in current.output
        main = development.project.path / "app" / "main.py"
        main.write_text(main.read_text().replace('title="My service"', 'title="Changed"'))
        development.wait_until(lambda: b"Changed" in service.get("/openapi.json").body)
        _stop(development, service, STOPS["Ctrl-C"])


@pytest.mark.needs_server
@SERVERS
def test_database_url_overrides_the_development_database(
    combination: Combination,
    development: Development,
    servers: Callable[[Combination], DatabaseServer],
) -> None:
    """No server is started if DATABASE_URL names one."""
    url = servers(combination).create()
    with development.running({"DATABASE_URL": url}) as service:
        assert service.get("/health/ready").status == 200
        assert not (development.folder / "data").exists()
        _stop(development, service, STOPS["SIGTERM"])


@pytest.mark.needs_server
@SERVERS
def test_stale_pid_ends_no_other_program(
    combination: Combination, development: Development
) -> None:
    """The number in a file left by a crash can be another program's by now."""
    with development.running() as service:
        _stop(development, service, STOPS["SIGTERM"])
    with subprocess.Popen(["/bin/sleep", "600"]) as other:
        pid_file = development.folder / PID_FILES[combination.database]
        pid_file.write_text(f"{other.pid}\n{development.folder / 'data'}\n0\n5432\n\n\n\n")
        with development.running() as service:
            assert service.get("/health/ready").status == 200
            _stop(development, service, STOPS["SIGTERM"])
        assert other.poll() is None
        other.kill()


@DATABASES
def test_taken_port_is_one_sentence(combination: Combination, development: Development) -> None:
    """Nothing is created before the port is known to be free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} of 127.0.0.1" in development.refused("--port", str(port))
    assert not (development.folder / "data").exists(), combination


@DATABASES
def test_unwritable_folder_is_one_sentence(
    combination: Combination, development: Development
) -> None:
    """A file that is in the way stays as it is."""
    development.folder.write_text("mine")
    assert "cannot be written" in development.refused("--port", str(programs.free_port()))
    assert development.folder.read_text() == "mine", combination


@pytest.mark.needs_server
@SERVERS
def test_foreign_data_is_left_alone(combination: Combination, development: Development) -> None:
    """A folder that is not a server's data is not touched."""
    data = development.folder / "data"
    data.mkdir(parents=True)
    (data / "letter.txt").write_text("mine")
    assert "move it away" in development.refused("--port", str(programs.free_port()))
    assert [path.name for path in data.iterdir()] == ["letter.txt"], combination


@pytest.mark.needs_server
@SERVERS
def test_damaged_data_is_one_sentence(combination: Combination, development: Development) -> None:
    """The server's own reason is shown, and the data can be repaired."""
    with development.running() as service:
        _stop(development, service, STOPS["SIGTERM"])
    lost = development.folder / "data" / ESSENTIAL[combination.database]
    shutil.copy(lost, development.folder / "kept")
    lost.write_bytes(b"damaged")
    assert "does not start" in development.refused("--port", str(programs.free_port()))
    shutil.copy(development.folder / "kept", lost)
    with development.running() as service:
        assert service.get("/health/ready").status == 200


@pytest.mark.needs_server
@SERVERS
def test_full_disk_is_one_sentence(combination: Combination, development: Development) -> None:
    """No half of a database is left."""
    # A limit for the size of files stands for a disk without room.
    limited = ("/bin/bash", "-c", 'ulimit -f 100; exec "$@"', "limited")
    sentence = development.refused("--port", str(programs.free_port()), prefix=limited)
    assert "cannot be created" in sentence, combination
    assert not [path for path in development.folder.iterdir() if path.is_dir()]


def _stop(
    development: Development, service: Service, stop: Callable[[Development, Service], None]
) -> None:
    """Stop `dev`; nothing that it started may be left."""
    stop(development, service)
    service.process.wait(STOP_TIMEOUT)
    development.wait_until(lambda: not development.processes(service.process.pid))
    assert _is_closed(service.port)


def _is_closed(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) != 0


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
