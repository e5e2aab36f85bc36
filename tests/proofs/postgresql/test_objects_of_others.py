"""Migrations leave alone what does not belong to the service."""

from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, Date, Integer, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.proofs.revisions import Revisions, models

OTHERS = {
    "a table of an extension": [
        "CREATE TABLE proof_ref (id int PRIMARY KEY, x int)",
        "CREATE INDEX proof_ix ON proof_ref (x)",
        "ALTER EXTENSION plpgsql ADD TABLE proof_ref",
    ],
    "a type of an extension": [
        "CREATE TYPE proof_type AS ENUM ('a')",
        "ALTER EXTENSION plpgsql ADD TYPE proof_type",
    ],
    "a job queue's schema": [
        "CREATE SCHEMA proof_jobs",
        "CREATE TYPE proof_jobs.state AS ENUM ('new')",
        "CREATE TABLE proof_jobs.jobs (id int PRIMARY KEY, state proof_jobs.state)",
        "CREATE INDEX ON proof_jobs.jobs (state)",
    ],
    "a view": [
        "CREATE VIEW proof_view AS SELECT 1 AS x",
        "CREATE MATERIALIZED VIEW proof_seen AS SELECT 1 AS x",
    ],
}

IGNORED = {
    "a table": ("proof_jobs", ["CREATE TABLE proof_jobs (id int PRIMARY KEY)"]),
    "a pattern": (
        "proof_*",
        [
            "CREATE TABLE proof_jobs (id int PRIMARY KEY)",
            "CREATE TYPE proof_state AS ENUM ('new')",
            "CREATE TABLE proof_done (state proof_state)",
        ],
    ),
    "a type": ("proof_state", ["CREATE TYPE proof_state AS ENUM ('new')"]),
}


async def execute(engine: AsyncEngine, statements: list[str]) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


@pytest.mark.parametrize("statements", OTHERS.values(), ids=OTHERS.keys())
async def test_objects_of_others_are_kept(revisions: Revisions, statements: list[str]) -> None:
    await revisions.run(command.upgrade, "head")
    await execute(revisions.engine, statements)
    try:
        await revisions.run(command.check)
        assert "proof" not in (await revisions.write("nothing")).read_text()
    finally:
        if "ALTER EXTENSION" in statements[-1]:  # otherwise, clearing drops the extension
            await execute(revisions.engine, [statements[-1].replace(" ADD ", " DROP ")])


async def test_partitions_are_kept(revisions: Revisions) -> None:
    with models() as metadata:
        Table(
            "proof_logs",
            metadata,
            Column("at", Date, primary_key=True),
            Column("x", Integer, index=True),
            postgresql_partition_by="RANGE (at)",
        )
        await revisions.migrate("add logs")
        await execute(
            revisions.engine,
            [
                "CREATE TABLE proof_logs_2026 PARTITION OF proof_logs"
                " FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
                "CREATE INDEX proof_ix ON proof_logs_2026 (x, at)",
            ],
        )

        await revisions.run(command.check)
        await revisions.repeat()
    assert "proof_ix" not in (await revisions.migrate("drop logs")).read_text()


@pytest.mark.parametrize(("pattern", "statements"), IGNORED.values(), ids=IGNORED.keys())
async def test_owner_can_name_more(
    revisions: Revisions, pattern: str, statements: list[str]
) -> None:
    await revisions.run(command.upgrade, "head")
    await execute(revisions.engine, statements)
    with pytest.raises(CommandError, match="New upgrade operations detected"):
        await revisions.run(command.check)

    options: Any = revisions.config.toml_alembic_config
    options["ignore"] = [pattern]
    await revisions.run(command.check)
