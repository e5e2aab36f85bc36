"""Column types of `datetime` and `Decimal`, which store values exactly or refuse them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.types import TypeDecorator

from app.core import dialect


class UnstorableError(ValueError):
    """A value that a column cannot store exactly."""


class UTCDateTime(TypeDecorator[datetime]):
    """A time with a time zone, to the microsecond; it comes back in UTC."""

    impl = dialect.DATETIME
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Convert a value to UTC.

        Raises:
            UnstorableError: the value has no time zone.
        """
        if value is None:
            return None
        if value.utcoffset() is None:
            raise UnstorableError(f"{value.isoformat()} has no time zone.")
        value = value.astimezone(UTC)
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
        """Return a number as the driver takes it.

        Raises:
            UnstorableError: the database would round the number, or cannot store it.
        """
        if value is None:
            return None
        number = Decimal(value)
        if not number.is_finite() or abs(number) >= 10 ** (dialect.DIGITS - dialect.PLACES):
            raise UnstorableError(
                f"{value} has more than {dialect.DIGITS - dialect.PLACES} digits before the point."
            )
        if number != round(number, dialect.PLACES):
            raise UnstorableError(f"{value} has more than {dialect.PLACES} decimal places.")
        return number if dialect.DECIMAL.asdecimal else float(number)

    def process_result_value(self, value: Any, _: Dialect) -> Decimal | None:
        """Return a stored number with all of its decimal places."""
        return None if value is None else round(Decimal(value), dialect.PLACES)
