"""Models in several schemas."""

from alembic import command
from sqlalchemy import (
    URL,
    Column,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    inspect,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.core.database_server import clear
from tests.core.isolation import Contents
from tests.proofs.revisions import Revisions, models


def define(metadata: MetaData, *, note: bool = False, circle: bool = True) -> list[Table]:
    """Define tables of one name in three schemas, two of which refer to each other."""
    audit = Table(
        "proof_entries",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("billing_id", ForeignKey("billing.proof_entries.id"), index=True),
        Column("kind", Enum("a", "b", *(["c"] if note else []), name="proof_kind", schema="audit")),
        schema="audit",
    )
    billing = Table(
        "proof_entries",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("audit_id", Integer, unique=True),
        Column("plain_id", ForeignKey("proof_entries.id")),
        *(
            [ForeignKeyConstraint(["audit_id"], ["audit.proof_entries.id"], use_alter=True)]
            if circle
            else []
        ),
        *([Column("note", String(20), index=True)] if note else []),
        schema="billing",
    )
    plain = Table("proof_entries", metadata, Column("id", Integer, primary_key=True))
    return [audit, billing, plain]


async def schemas(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_schema_names()))


async def test_life_of_tables_in_schemas(revisions: Revisions) -> None:
    with models() as metadata:
        define(metadata)
        await revisions.migrate("add entries")
        await revisions.repeat()
        await revisions.run(command.downgrade, "base")
        assert not {"audit", "billing"} & await schemas(revisions.engine)
    with models() as metadata:
        define(metadata, note=True)
        await revisions.migrate("add a note and a kind")
        await revisions.repeat()

    removal = (await revisions.migrate("remove entries")).read_text()
    await revisions.repeat()

    assert removal.count("op.drop_table(") == 3
    assert removal.count('schema="billing"') > 1


async def test_difference_in_a_schema_is_found(revisions: Revisions) -> None:
    with models() as metadata:
        define(metadata)
        await revisions.migrate("add entries")
    with models() as metadata:
        define(metadata, note=True)
        text = (await revisions.write("add note")).read_text()

    assert text.count("op.add_column(") == 1
    assert "AFTER 'b'" in text


async def test_rows_in_schemas_are_restored(scratch_engine: AsyncEngine) -> None:
    with models() as metadata:
        audit, billing, plain = define(metadata, circle=False)
        async with scratch_engine.begin() as connection:
            for schema in ("audit", "billing"):
                await connection.execute(text(f"CREATE SCHEMA {schema}"))
            await connection.run_sync(metadata.create_all)
            await connection.execute(plain.insert(), {"id": 1})
            await connection.execute(billing.insert(), {"id": 2, "plain_id": 1})
            await connection.execute(audit.insert(), {"id": 3, "billing_id": 2})
        contents = await Contents.of(scratch_engine)
        async with scratch_engine.begin() as connection:
            await connection.execute(audit.insert(), {"id": 4, "kind": "a"})

        await contents.restore(scratch_engine)

        async with scratch_engine.connect() as connection:
            for table, expected in ((plain, 1), (billing, 2), (audit, 3)):
                assert (await connection.scalars(select(table.c.id))).all() == [expected]


async def test_scratch_database_is_cleared_of_schemas(
    scratch_engine: AsyncEngine, scratch_database: URL
) -> None:
    async with scratch_engine.begin() as connection:
        await connection.execute(text('CREATE SCHEMA "Odd name"'))
        await connection.execute(text('CREATE TABLE "Odd name".proof (id int)'))
    await scratch_engine.dispose()

    await clear(scratch_database)

    assert await schemas(scratch_engine) == {"information_schema", "public"}
