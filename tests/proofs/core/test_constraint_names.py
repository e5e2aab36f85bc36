from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, Table

from app.core.database import Base


def test_every_constraint_has_a_name() -> None:
    """A migration cannot drop a constraint without a name."""
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)
    cars = Table(
        "cars",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("plate", Integer, unique=True),
        Column("seats", Integer, index=True),
        Column("towed_by", ForeignKey("cars.id")),
        CheckConstraint("seats > 0", name="seats"),
    )

    names = {constraint.name for constraint in cars.constraints}
    names |= {index.name for index in cars.indexes}

    assert names == {
        "pk_cars",
        "uq_cars_plate",
        "ix_cars_seats",
        "fk_cars_towed_by_cars",
        "ck_cars_seats",
    }
