"""load songs

Revision ID: a0b1c2d3e4f5
Revises: {revision}
Create Date: 2026-12-02 09:00:00+00:00
"""

import csv
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "a0b1c2d3e4f5"
down_revision = "{revision}"
branch_labels = None
depends_on = None

SONGS = Path(__file__).parents[1] / "data" / "songs.csv"

ADDED_AT = datetime(2026, 12, 2)  # noqa: DTZ001 - UTC

songs = sa.table(
    "songs",
    sa.column("title", sa.String),
    sa.column("artist", sa.String),
    sa.column("released_on", sa.Date),
    sa.column("price", sa.Numeric(10, 2, asdecimal=False)),
    sa.column("added_at", sa.DateTime),
)


def upgrade() -> None:
    with SONGS.open(encoding="utf-8", newline="") as lines:
        rows = [
            {
                "title": row["title"],
                "artist": row["artist"],
                "released_on": date.fromisoformat(row["released_on"]),
                "price": 0.99,
                "added_at": ADDED_AT,
            }
            for row in csv.DictReader(lines)
        ]
    op.bulk_insert(songs, rows)


def downgrade() -> None:
    op.execute(songs.delete())
