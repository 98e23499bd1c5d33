"""What a desk traded, imported from its own files."""

import sqlalchemy as sa
from alembic import op

from dosvotos.database.append_only import renew_guards

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "fills",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("feed", sa.String(length=64), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("quantity", sa.Float(), nullable=False),
        sa.Column("price", sa.Float(), nullable=False),
        sa.Column("notional_usd", sa.Float(), nullable=False),
        sa.Column("fill_hash", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("source_hash", sa.String(length=64), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("fill_hash"),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name="side_known"),
        sa.CheckConstraint("quantity > 0 AND price > 0", name="amounts_positive"),
    )
    renew_guards(op.get_bind(), ("fills",))
