"""Services whose read-only sessions use a replica."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support import replicas, services
from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Combination, first_of
from support.replicas import Replicated
from support.services import Service

POSTGRESQL, MYSQL = first_of("postgresql"), first_of("mysql")

IS_REPLICA = {"postgresql": "pg_is_in_recovery()", "mysql": "@@server_id = 2"}
STOP = {"postgresql": "SELECT pg_wal_replay_pause()", "mysql": "STOP SLAVE"}
CONTINUE = {"postgresql": "SELECT pg_wal_replay_resume()", "mysql": "START SLAVE"}

APPLICATION = """\
from fastapi import FastAPI
from sqlalchemy import text

from app import core
from app.core import ReadSessionDep, SessionDep, replica
from app.core.logs import configure_logging
from app.settings import Settings

replica.PAUSE = 0.5
settings = Settings.load()
configure_logging(settings)
app = FastAPI()


@app.post("/numbers")
async def add(number: int, session: SessionDep) -> None:
    await session.execute(text("INSERT INTO numbers VALUES (:number)"), {{"number": number}})


@app.get("/numbers")
async def latest(session: ReadSessionDep) -> tuple[int, bool]:
    result = await session.execute(text("SELECT max(number), {is_replica} FROM numbers"))
    number, is_replica = result.one()
    return number, bool(is_replica)


core.install(app, settings)
"""

CREATE = """\
import asyncio
from sqlalchemy import text
from app.core.engine import open_database
from app.settings import Settings

async def main():
    async with open_database(Settings.load()) as sessions, sessions.begin() as session:
        await session.execute(text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))

asyncio.run(main())
"""

WRITES = 50
CLIENTS = 8
RETURN_TIMEOUT = 30.0


@pytest.mark.needs_server
@pytest.mark.parametrize("combination", [POSTGRESQL, MYSQL], ids=str)
def test_replica_serves_what_is_committed(
    combination: Combination,
    kept_projects: Callable[[Combination], Project],
    servers: Callable[[Combination], DatabaseServer],
    tmp_path: Path,
) -> None:
    """Reads go to the replica, unless it is behind or down; they always see the last commit."""
    project, name = kept_projects(combination), combination.database
    replicated: AbstractContextManager[Replicated] = (
        replicas.postgresql(project, servers(combination).create())
        if name == "postgresql"
        else replicas.mariadb()
    )
    with replicated as database, serving(project, database, name, tmp_path) as service:
        for number in range(WRITES):
            write(service, number)
            assert latest(service)[0] == number
        wait_for_replica(service)

        database.execute(STOP[name])
        write(service, WRITES)
        assert latest(service) == (WRITES, False)
        database.execute(CONTINUE[name])
        wait_for_replica(service)

        # Many connections of the pool lead to the replica.
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(latest, [service] * CLIENTS * 4))
            database.replica.kill()
            found = list(clients.map(latest, [service] * CLIENTS * 4))
        assert set(found) == {(WRITES, False)}
        write(service, WRITES + 1)
        assert latest(service) == (WRITES + 1, False)
        assert service.get("/health/ready").status == 200

        database.replica.start()
        wait_for_replica(service)
        assert latest(service)[0] == WRITES + 1

    events = [entry["event"] for entry in service.log() if "replica" in entry["event"]]
    assert events[-4:] == ["replica not used", "replica used again"] * 2


@contextmanager
def serving(project: Project, database: Replicated, name: str, folder: Path) -> Iterator[Service]:
    """Run an application with one table on a database and its replica."""
    text = APPLICATION.format(is_replica=IS_REPLICA[name])
    (folder / "numbered.py").write_text(text, encoding="utf-8")
    settings = project.with_settings(
        DATABASE_URL=database.url, DATABASE_READ_URL=database.read_url, LOG_FORMAT="json"
    )
    settings.uv_run("python", "-c", CREATE)
    settings.uv_run(project.slug, "db", "upgrade")
    command = ("uvicorn", "--app-dir", str(folder), "numbered:app", "--no-access-log")
    with services.running(settings, command=command) as service:
        yield service


def write(service: Service, number: int) -> None:
    """Commit a number."""
    response = service.request("POST", f"/numbers?number={number}")
    assert response.status == 200, response.body


def latest(service: Service) -> tuple[int, bool]:
    """Return the highest number, and whether the replica has answered."""
    response = service.get("/numbers")
    assert response.status == 200, response.body
    number, is_replica = response.json()
    return int(number), bool(is_replica)


def wait_for_replica(service: Service) -> None:
    """Wait until the replica answers."""
    deadline = time.monotonic() + RETURN_TIMEOUT
    while not latest(service)[1]:
        assert time.monotonic() < deadline, "The replica is not used."
        time.sleep(0.05)
