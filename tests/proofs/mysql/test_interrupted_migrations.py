"""Migrations that were interrupted, after some of their statements were applied."""

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Column, ForeignKey, Integer, String, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.proofs.revisions import Revisions, models

STEPS = {
    "create_table": (
        "op.create_table('proof_x', sa.Column('id', sa.Integer()))",
        "DROP TABLE proof_x",
    ),
    "drop_table": ("op.drop_table('proof_old')", "CREATE TABLE proof_old (id int)"),
    "add_column": (
        "op.add_column('proof_cars', sa.Column('x', sa.Integer()))",
        "ALTER TABLE proof_cars DROP COLUMN x",
    ),
    "drop_column": (
        "op.drop_column('proof_cars', 'name')",
        "ALTER TABLE proof_cars ADD COLUMN name int",
    ),
    "create_index": (
        "op.create_index('ix_x', 'proof_cars', ['name'])",
        "DROP INDEX ix_x ON proof_cars",
    ),
    "drop_index": (
        "op.drop_index('ix_old', 'proof_cars')",
        "CREATE INDEX ix_old ON proof_cars (name)",
    ),
    "create_foreign_key": (
        "op.create_foreign_key('fk_x', 'proof_cars', 'proof_cars', ['other_id'], ['id'])",
        "ALTER TABLE proof_cars DROP FOREIGN KEY fk_x",
    ),
    "drop_foreign_key": (
        "op.drop_constraint('fk_old', 'proof_cars', type_='foreignkey')",
        "ALTER TABLE proof_cars ADD CONSTRAINT fk_old FOREIGN KEY (parent_id) REFERENCES proof_cars (id)",
    ),
}
"""Statements of a migration, and how to revert them by hand."""


@pytest.fixture
async def revisions(scratch_engine: AsyncEngine, migration_config: Config) -> Revisions:
    revisions = Revisions(scratch_engine, migration_config)
    with models() as metadata:
        Table(
            "proof_cars",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(20), index=True),
            Column("parent_id", ForeignKey("proof_cars.id", name="fk_old")),
            Column("other_id", Integer),
        )
        Table("proof_old", metadata, Column("id", Integer))
        await revisions.migrate("add cars")
    async with scratch_engine.begin() as connection:
        await connection.execute(text("CREATE INDEX ix_old ON proof_cars (name)"))
    return revisions


@pytest.mark.parametrize(("step", "revert"), STEPS.values(), ids=STEPS.keys())
async def test_message_says_what_to_do(revisions: Revisions, step: str, revert: str) -> None:
    new = await revisions.write("change cars", autogenerate=False)
    whole = new.read_text().replace("    pass", f"    {step}", 1)
    new.write_text(whole.replace(step, f"{step}\n    raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        await revisions.run(command.upgrade, "head")

    new.write_text(whole)
    with pytest.raises(CommandError, match="If the migration was interrupted before") as error:
        await revisions.run(command.upgrade, "head")
    assert "\n" not in str(error.value)

    async with revisions.engine.begin() as connection:
        await connection.execute(text(revert))
    await revisions.run(command.upgrade, "head")


@pytest.mark.parametrize(
    "step",
    [
        "op.execute('SELEC 1')",
        "op.create_foreign_key('fk_x', 'proof_cars', 'proof_old', ['other_id'], ['id'])",
        "op.execute('INSERT INTO proof_cars (id) VALUES (1), (1)')",
    ],
)
async def test_other_errors_are_raised(revisions: Revisions, step: str) -> None:
    new = await revisions.write("change cars", autogenerate=False)
    new.write_text(new.read_text().replace("    pass", f"    {step}", 1))

    with pytest.raises(DBAPIError):
        await revisions.run(command.upgrade, "head")
