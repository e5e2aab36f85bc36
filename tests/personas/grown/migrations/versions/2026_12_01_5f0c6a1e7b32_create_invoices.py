"""create invoices

Revision ID: 5f0c6a1e7b32
Revises: 8c3d2f5b9a41
Create Date: 2026-12-01 09:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "5f0c6a1e7b32"
down_revision = "8c3d2f5b9a41"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invoices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer", sa.String(length=100), nullable=False),
        sa.Column("cents", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("customer", name=op.f("uq_invoices_customer")),
    )


def downgrade() -> None:
    op.drop_table("invoices")
