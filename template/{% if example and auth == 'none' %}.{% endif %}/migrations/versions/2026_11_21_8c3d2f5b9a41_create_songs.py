"""create songs

Revision ID: 8c3d2f5b9a41
Revises:
Create Date: 2026-11-21 09:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "8c3d2f5b9a41"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "songs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("artist", sa.String(length=200), nullable=False),
        sa.Column("released_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_songs")),
        sa.UniqueConstraint("artist", "title", name=op.f("uq_songs_artist_title")),
    )
    op.create_index(op.f("ix_songs_released_on"), "songs", ["released_on"])


def downgrade() -> None:
    op.drop_index(op.f("ix_songs_released_on"), table_name="songs")
    op.drop_table("songs")
