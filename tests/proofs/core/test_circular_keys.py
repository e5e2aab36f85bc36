"""Tables that refer to each other."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Integer, MetaData, Table

from tests.proofs.kit import table_names
from tests.proofs.revisions import Revisions, models


def table(metadata: MetaData, name: str, *targets: str, later: str | None = None) -> None:
    """Define a table that refers to others; the key to `later` is added afterwards."""
    Table(
        f"proof_{name}",
        metadata,
        Column("id", Integer, primary_key=True),
        *(
            Column(f"{target}_id", ForeignKey(f"proof_{target}.id", use_alter=target == later))
            for target in targets
        ),
    )


CIRCLES = {
    "two": [("a", ["b"], "b"), ("b", ["a"], None)],
    "two, the other key": [("a", ["b"], None), ("b", ["a"], "a")],
    "both keys": [("a", ["b"], "b"), ("b", ["a"], "a")],
    "three": [("a", ["b"], None), ("b", ["c"], "c"), ("c", ["a"], None)],
    "with itself": [("a", ["a", "b"], "b"), ("b", ["a"], None)],
    "only itself": [("a", ["a"], "a")],
}


@pytest.mark.parametrize("circle", CIRCLES.values(), ids=CIRCLES.keys())
async def test_circle_is_created_reverted_and_removed(
    revisions: Revisions, circle: list[tuple[str, list[str], str | None]]
) -> None:
    with models() as metadata:
        for name, targets, later in circle:
            table(metadata, name, *targets, later=later)
        await revisions.migrate("add circle")
        await revisions.repeat()
        added = await table_names(revisions.engine)

    await revisions.migrate("remove circle")
    await revisions.repeat()

    assert {f"proof_{name}" for name, *_ in circle} <= added
    assert not {f"proof_{name}" for name, *_ in circle} & await table_names(revisions.engine)


async def test_key_of_several_columns_closes_a_circle(revisions: Revisions) -> None:
    with models() as metadata:
        Table(
            "proof_a",
            metadata,
            Column("x", Integer, primary_key=True),
            Column("y", Integer, primary_key=True),
            Column("b_id", ForeignKey("proof_b.id")),
        )
        Table(
            "proof_b",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("x", Integer),
            Column("y", Integer),
            ForeignKeyConstraint(["x", "y"], ["proof_a.x", "proof_a.y"], use_alter=True),
        )
        await revisions.migrate("add circle")
        await revisions.repeat()
    await revisions.migrate("remove circle")
    await revisions.repeat()


async def test_circle_is_closed_by_an_existing_table(revisions: Revisions) -> None:
    with models() as metadata:
        table(metadata, "a")
        await revisions.migrate("add a")
    with models() as metadata:
        table(metadata, "a", "b", later="b")
        table(metadata, "b", "a")
        await revisions.migrate("close circle")
        await revisions.repeat()


async def test_circle_without_use_alter_is_refused(revisions: Revisions) -> None:
    await revisions.run(command.upgrade, "head")
    with models() as metadata:
        table(metadata, "a", "b")
        table(metadata, "b", "a")
        for try_it in (lambda: revisions.write("add circle"), lambda: revisions.run(command.check)):
            with pytest.raises(
                CommandError, match=r"proof_\w and proof_\w refer to each other: add use_alter=True"
            ):
                await try_it()
