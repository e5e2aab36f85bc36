"""Messages that models define for violated constraints.

Each constraint can have one: `UniqueConstraint("artist", "title", info={"conflict": "..."})`,
and so can a column that is the only one of a constraint:
`mapped_column(unique=True, info={"conflict": "This nickname is taken."})`.
"""

from collections.abc import Iterator
from functools import cache

from sqlalchemy import URL, Constraint, Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.sql.compiler import IdentifierPreparer

from app.core.database import Base
from app.core.dialect import DRIVER


def conflict_message(violated: str) -> str | None:
    """Return the message that a model defines for a violated constraint.

    Args:
        violated: name of the constraint, or its columns: `users.name, users.city`.
    """
    for table in Base.metadata.tables.values():
        constraints: list[Constraint | Index] = [*table.constraints, *table.indexes]
        for constraint in constraints:
            if violated in _names(constraint):
                columns = list(getattr(constraint, "columns", ()))
                info = columns[0].info if len(columns) == 1 else {}
                message: str | None = (info | constraint.info).get("conflict")
                return message
    return None


def _names(constraint: Constraint | Index) -> Iterator[str]:
    yield (_preparer().format_constraint(constraint) or "").strip('"`')
    if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint | Index):
        yield ", ".join(map(str, constraint.columns))


@cache
def _preparer() -> IdentifierPreparer:
    """Return SQLAlchemy's formatter of names, which truncates long ones."""
    return URL.create(DRIVER).get_dialect()().identifier_preparer
