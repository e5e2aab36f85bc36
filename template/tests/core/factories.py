"""Base class of factories, which build objects with random values."""

import os
import string
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any, ClassVar, TypeVar

from polyfactory.factories.sqlalchemy_factory import SQLAlchemyFactory
from polyfactory.field_meta import FieldMeta
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Numeric,
    SmallInteger,
    String,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")


class ModelFactory(SQLAlchemyFactory[T]):
    """Builds objects of a model: `class NoteFactory(ModelFactory[Note])`.

    A column gets a random value only if it needs one: not if it is nullable, has a default
    or is a foreign key. Pass such values, or declare them in the class. Unique columns never
    get the same value twice.

    The values depend on the test and on the environment variable FACTORY_SEED.
    """

    __is_base_factory__ = True
    __set_association_proxy__ = False

    _test: ClassVar[str | None] = None
    _used: ClassVar[dict[Column[Any], set[Any]]] = {}

    @classmethod
    async def add(cls, session: AsyncSession, /, **values: object) -> T:
        """Build an object, add it to a session, and flush it so that it has an ID."""
        (added,) = await cls.add_batch(session, 1, **values)
        return added

    @classmethod
    async def add_batch(cls, session: AsyncSession, size: int, /, **values: object) -> list[T]:
        """Build objects, add them to a session, and flush it so that they have IDs."""
        added = [cls.build(**values) for _ in range(size)]
        session.add_all(added)
        await session.flush()
        return added

    @classmethod
    def process_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """Return the values of an object."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        if test != cls._test:
            ModelFactory._test = test
            seed = f"{os.environ['FACTORY_SEED']} {test}"
            ModelFactory.seed_random(Random(seed).getrandbits(32))  # noqa: S311
        return super().process_kwargs(**kwargs)

    @classmethod
    def get_model_fields(cls) -> list[FieldMeta]:
        """Return the columns that need a value, and what the class declares."""
        columns = inspect(cls.__model__).columns
        fields = super().get_model_fields()
        return [field for field in fields if field.name in columns or cls._declares(field.name)]

    @classmethod
    def should_column_be_set(cls, column: Any) -> bool:
        """Return whether a column gets a value."""
        return super().should_column_be_set(column) and (
            cls._declares(inspect(cls.__model__).get_property_by_column(column).key)
            or cls._needs_value(column)
        )

    @classmethod
    def get_field_value(cls, field_meta: FieldMeta, *args: Any, **kwargs: Any) -> Any:
        """Return a random value, which is new if the column is unique."""
        column = inspect(cls.__model__).columns.get(field_meta.name)
        if column is None:
            return super().get_field_value(field_meta, *args, **kwargs)
        unique = _is_unique(column)
        used = cls._used.setdefault(column, set())
        for _ in range(1000):
            value = _random_value(column, cls.__random__, wide=unique)
            if value is None:
                value = super().get_field_value(field_meta, *args, **kwargs)
            if not unique:
                return value
            if value not in used:
                used.add(value)
                return value
        raise ValueError(f"Pass a value for {column}, which has hardly any values left.")

    @classmethod
    def _declares(cls, name: str) -> bool:
        return hasattr(cls, name) and not hasattr(ModelFactory, name)

    @classmethod
    def _needs_value(cls, column: Column[Any]) -> bool:
        mapper = inspect(cls.__model__)
        set_by_mapper = (mapper.polymorphic_on, mapper.version_id_col)
        return not (
            column.nullable
            or column.default is not None
            or column.server_default is not None
            or column.foreign_keys
            or column is column.table.autoincrement_column
            or any(column is other for other in set_by_mapper)
        )


def _is_unique(column: Column[Any]) -> bool:
    groups = [
        column.table.primary_key.columns,
        *(key.columns for key in column.table.constraints if isinstance(key, UniqueConstraint)),
        *(index.columns for index in column.table.indexes if index.unique),
    ]
    few = isinstance(column.type, Boolean | Enum)  # unique only together with other columns
    return not few and any(columns.contains_column(column) for columns in groups)


def _random_value(column: Column[Any], random: Random, *, wide: bool) -> Any:
    """Return a value for a column, or None if polyfactory's own value is as good.

    Args:
        column: the column.
        random: the source of random numbers.
        wide: whether to use all values of the type.
    """
    kind = getattr(column.type, "impl_instance", column.type)
    match kind:
        case Enum():
            return None
        case String():
            text = "".join(random.choices(string.ascii_lowercase + string.digits, k=10))
            return f"{column.name}-{text}"[-(kind.length or 0) :]
        case DateTime():
            time = datetime.fromtimestamp(random.randrange(2**31), UTC)
            return time if kind.timezone or kind is not column.type else time.replace(tzinfo=None)
        case Date() if wide:
            return date.fromordinal(random.randrange(1, date.max.toordinal()))
        case Float():
            return None
        case Numeric():
            places = min(kind.scale or 0, 2)
            digits = min((kind.precision or 8) - (kind.scale or 0), 6)
            return Decimal(random.randrange(10 ** (digits + places))).scaleb(-places)
        case Integer() if wide:
            return random.randrange(1, 2**15 if isinstance(kind, SmallInteger) else 2**31)
        case _:
            return None
