"""The PostgreSQL service behind PgBouncer with transaction pooling."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import pytest

from support import programs
from support.databases import DatabaseServer
from support.projects import Project
from support.questions import Combination, first_of

POSTGRESQL = first_of("postgresql")

CONFIGURATION = """\
[databases]
* = host={host} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""

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
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        reason = "PgBouncer is not on PATH; on Debian and Ubuntu, run `apt install pgbouncer`."
        if pytestconfig.getoption("require_all"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    project = kept_projects(combination)
    with pgbouncer(program, servers(combination).create()) as url:
        pooled = project.with_settings(DATABASE_URL=url, DATABASE_PGBOUNCER="true")
        pooled.uv_run(project.slug, "db", "upgrade")
        pooled.uv_run("python", "-c", CLIENTS)

        direct = project.with_settings(DATABASE_URL=url)
        refused = direct.uv_run("python", "-c", CLIENTS, check=False)

    assert "unsupported startup parameter" in refused.stderr


@contextmanager
def pgbouncer(program: str, database: str) -> Iterator[str]:
    """Run PgBouncer in front of a database on a Unix socket, and yield its URL."""
    parts = urlsplit(database)
    port = programs.free_port()
    with TemporaryDirectory() as folder:
        configuration = Path(folder, "pgbouncer.ini")
        host = parse_qs(parts.query)["host"][0]
        configuration.write_text(CONFIGURATION.format(host=host, port=port), encoding="utf-8")
        # PgBouncer refuses to run as root; the server's user can access the socket.
        Path(folder).chmod(0o755)
        process = subprocess.Popen(
            [program, "--quiet", configuration],
            env=programs.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=Path(host).stat().st_uid,
        )
        try:
            programs.wait_for_port(process, port)
            yield parts._replace(netloc=f"postgres:any@127.0.0.1:{port}", query="").geturl()
        finally:
            process.terminate()
            process.wait()
