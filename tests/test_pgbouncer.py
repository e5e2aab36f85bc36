"""The PostgreSQL service behind PgBouncer with transaction pooling."""

from collections.abc import Callable

import pytest

from support import pooling, services
from support.balancing import Load
from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Combination, first_of

POSTGRESQL = first_of("postgresql")

CLIENTS_OF_SERVICE = 8
REQUESTS = 400

# More clients than server connections, so that clients share connections.
CLIENTS = """\
import asyncio

from sqlalchemy import text

from app.core.database import create_read_session_factory, create_session_factory
from app.core.engine import open_engine
from app.settings import Settings


async def main():
    settings = Settings.load()
    async with open_engine(settings) as engine, open_engine(settings, read_only=True) as reader:
        await serve(create_session_factory(engine), create_read_session_factory(reader))
        # The timeouts end with each transaction.
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            assert await connection.scalar(text("SHOW statement_timeout")) == "0"


async def serve(sessions, read_sessions):
    async def client(number):
        for _ in range(20):
            async with read_sessions() as session:
                assert await session.scalar(text("SHOW transaction_read_only")) == "on"
            async with sessions.begin() as session:
                assert await session.scalar(text("SHOW transaction_read_only")) == "off"
                assert await session.scalar(text("SHOW statement_timeout")) == "30s"
                assert await session.scalar(text("SELECT CAST(:n AS int)"), {"n": number}) == number
                await session.execute(text("SELECT pg_sleep(0.001)"))

    await asyncio.gather(*(client(number) for number in range(8)))


asyncio.run(main())
"""


@pytest.mark.parametrize("combination", [POSTGRESQL], ids=str)
def test_transaction_pooling_requires_only_the_setting(
    combination: Combination,
    kept_projects: Callable[[Combination], Project],
    servers: Callable[[Combination], DatabaseServer],
    pytestconfig: pytest.Config,
) -> None:
    """Migrations and concurrent clients work with DATABASE_PGBOUNCER, and fail without it."""
    program = installed(pytestconfig)
    project = kept_projects(combination)
    with pooling.pgbouncer(program, servers(combination).create()) as url:
        pooled = project.with_settings(DATABASE_URL=url, DATABASE_PGBOUNCER="true")
        pooled.uv_run(project.slug, "db", "upgrade")
        pooled.uv_run("python", "-c", CLIENTS)

        direct = project.with_settings(DATABASE_URL=url)
        refused = direct.uv_run("python", "-c", CLIENTS, check=False)

    assert "unsupported startup parameter" in refused.stderr


def test_service_behind_pgbouncer_answers_every_request(
    kept_projects: Callable[[Combination], Project],
    servers: Callable[[Combination], DatabaseServer],
    pytestconfig: pytest.Config,
) -> None:
    """Two workers have more connections than PgBouncer, also for read-only sessions."""
    program = installed(pytestconfig)
    project = kept_projects(POSTGRESQL)
    with pooling.pgbouncer(program, servers(POSTGRESQL).create()) as url:
        pooled = project.with_settings(DATABASE_URL=url, DATABASE_PGBOUNCER="true")
        pooled.uv_run(project.slug, "db", "upgrade")
        for read_url in ("", url):
            command = (project.slug, "serve")
            environment = {"DATABASE_READ_URL": read_url, "LOG_FORMAT": "json"}
            with services.running(
                pooled, environment, "--workers", "2", command=command
            ) as service:
                load = Load(service.port, CLIENTS_OF_SERVICE)
                load.wait_for(REQUESTS)
                load.stop()
                assert load.failures == []
                assert "replica not used" not in [entry["event"] for entry in service.log()]


def installed(config: pytest.Config) -> str:
    """Return the path of PgBouncer; without it, skip the test."""
    program = pooling.find_pgbouncer()
    if program is None:
        reason = "PgBouncer is not on PATH; on Debian and Ubuntu, run `apt install pgbouncer`."
        if config.getoption("require_all"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return program
