"""Alternate both kinds of tests, and write their times to a file."""

import json
import os
from pathlib import Path, PurePosixPath

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine

from tests.core import database_server

# An installed server keeps its files on a disk.
vars(database_server)["MEMORY"] = Path(os.devnull)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test."""
    metafunc.parametrize("run", range(int(os.environ["RUNS"])))


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Alternate both kinds in batches of ten.

    Alternating single tests would distort the result: after tables are created or dropped,
    every connection to a server rereads the catalogs.
    """
    items.sort(key=lambda item: int(item.callspec.params["run"]) // 10)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record the time of one phase of a test."""
    file, _, test = report.nodeid.partition("::")
    kind = f"{PurePosixPath(file).stem}::{test.partition('[')[0]}"
    with Path(os.environ["DURATIONS"]).open("a", encoding="utf-8") as durations:
        print(json.dumps([kind, report.when, report.duration]), file=durations)


DEFAULTS = {
    "postgresql": ("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()"),
    "mysql": ("SET GLOBAL innodb_flush_log_at_trx_commit = DEFAULT",),
}
"""Statements that restore the default durability of the tests' private server."""


@pytest.fixture(scope="session", autouse=True)
async def _durable(server: URL) -> None:
    """Restore the server's durability; without it, create and drop would be cheaper."""
    engine = create_async_engine(
        server.set(database="postgres" if server.get_backend_name() == "postgresql" else ""),
        isolation_level="AUTOCOMMIT",
    )
    async with engine.connect() as connection:
        for statement in DEFAULTS.get(server.get_backend_name(), ()):
            await connection.exec_driver_sql(statement)
    await engine.dispose()
