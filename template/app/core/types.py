"""Exact column types of `datetime` and `Decimal`, and a check of other values."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Dialect, Enum, Insert, Integer, SmallInteger, Update
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NULLTYPE, NullType, TypeDecorator, TypeEngine

from app.core import dialect

LARGEST_OF_TYPE: dict[type, int] = {
    SmallInteger: 2**15 - 1,
    Integer: 2**31 - 1,
    BigInteger: 2**63 - 1,
}


class UnstorableError(ValueError):
    """A value that a column cannot store exactly. The message does not contain the value."""


class UTCDateTime(TypeDecorator[datetime]):
    """A time with a time zone, to the microsecond; returned in UTC."""

    impl = dialect.DATETIME
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Convert a value to UTC.

        Raises:
            UnstorableError: the value has no time zone, or is out of range in UTC.
        """
        if value is None:
            return None
        if value.utcoffset() is None:
            raise UnstorableError("A time without a time zone cannot be stored.")
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise UnstorableError("A time is out of range.") from None
        return value if dialect.DATETIME.timezone else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Return a stored value, in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A number with up to `DIGITS` digits, of which `PLACES` are after the point."""

    impl = dialect.DECIMAL
    cache_ok = True

    def process_bind_param(self, value: Decimal | int | None, _: Dialect) -> Any:
        """Convert a number for the driver.

        Raises:
            UnstorableError: the database would round the number, or cannot store it.
        """
        if value is None:
            return None
        number = Decimal(value)
        if not number.is_finite():
            raise UnstorableError("A number is not finite.")
        if abs(number) >= 10 ** (dialect.DIGITS - dialect.PLACES):
            digits = dialect.DIGITS - dialect.PLACES
            raise UnstorableError(f"A number has more than {digits} digits before the point.")
        if number != round(number, dialect.PLACES):
            raise UnstorableError(f"A number has more than {dialect.PLACES} decimal places.")
        return number if dialect.DECIMAL.asdecimal else float(number)

    def process_result_value(self, value: Any, _: Dialect) -> Decimal | None:
        """Return a stored number with all of its decimal places."""
        return None if value is None else round(Decimal(value), dialect.PLACES)


def check_values(*, context: Any, **_: object) -> None:
    """Check the texts and integers of a statement; a listener of `before_cursor_execute`.

    Databases disagree about those that a column cannot store: some reject them, others
    store something else.

    Raises:
        UnstorableError: a text contains NUL or a lone surrogate or is longer than its
            column, or an integer is out of range.
    """
    compiled = getattr(context, "compiled", None)
    # A large INSERT runs in batches, but the context contains the values of all of them.
    if not isinstance(compiled, SQLCompiler) or hasattr(context, "values_checked"):
        return
    context.values_checked = True
    statement = compiled.statement
    columns: Any = statement.table.c if isinstance(statement, Insert | Update) else {}
    types = {name: parameter.type for parameter, name in compiled.bind_names.items()}
    for values in context.compiled_parameters:
        for name, value in values.items():
            # Several rows of an INSERT, and the elements of a list, are numbered.
            stem = name.rpartition("_")[0]
            numbered = name not in columns and isinstance(statement, Insert) and stem in columns
            column = stem if numbered else name
            kind = types.get(name) or types.get(stem, NULLTYPE)
            if fault := _fault(kind, value, stored=column in columns):
                what = column if column in columns else "A value"
                raise UnstorableError(f"{what} {fault}.")


def _fault(kind: TypeEngine[Any], value: object, *, stored: bool) -> str | None:
    """Return what is wrong with a value; `stored` means that it is not only compared."""
    if isinstance(value, str):
        # A decorator that converts the value can change its length.
        converts = getattr(type(kind), "process_bind_param", None)
        if converts not in (None, TypeDecorator.process_bind_param) or isinstance(kind, Enum):
            return None
        length = getattr(kind, "length", None)
        if stored and length is not None and len(value) > length:
            return f"has more than {length} characters"
        if "\0" in value or not (value.isascii() or _is_unicode(value)):
            return "contains characters that cannot be stored"
    elif isinstance(value, int) and isinstance(kind, Integer | NullType):
        largest = LARGEST_OF_TYPE.get(type(kind), dialect.LARGEST_INTEGER)
        if not -largest - 1 <= value <= largest:
            return "is out of range"
    return None


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
