"""Words of a model for a violated constraint.

Each constraint can have some: `UniqueConstraint("artist", "title", info={"conflict": "..."})`,
and so can a column that is the only one of a constraint:
`mapped_column(unique=True, info={"conflict": "This nickname is taken."})`.
"""

from collections.abc import Iterator

from sqlalchemy import URL, Constraint, Index, PrimaryKeyConstraint, UniqueConstraint

from app.core.database import Base
from app.core.dialect import DRIVER


def conflict_words(violated: str) -> str | None:
    """Return what a model says about a violated constraint.

    Args:
        violated: name of the constraint, or its columns: `users.name, users.city`.
    """
    for table in Base.metadata.tables.values():
        constraints: list[Constraint | Index] = [*table.constraints, *table.indexes]
        for constraint in constraints:
            if violated in _names(constraint):
                columns = list(getattr(constraint, "columns", ()))
                info = columns[0].info if len(columns) == 1 else {}
                words: str | None = (info | constraint.info).get("conflict")
                return words
    return None


def _names(constraint: Constraint | Index) -> Iterator[str]:
    # The dialect truncates long names.
    preparer = URL.create(DRIVER).get_dialect()().identifier_preparer
    yield (preparer.format_constraint(constraint) or "").strip('"`')
    if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint | Index):
        yield ", ".join(map(str, constraint.columns))
