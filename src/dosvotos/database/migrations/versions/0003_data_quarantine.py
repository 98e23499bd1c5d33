"""Data quarantine: what was put aside of the data that came, and why."""

import sqlalchemy as sa
from alembic import op

from dosvotos.database.migrations.triggers import refuse

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "data_quarantine",
        sa.Column("instrument", sa.String(length=20), primary_key=True),
        sa.Column("feed", sa.String(length=64), primary_key=True),
        sa.Column("finding", sa.String(length=64), primary_key=True),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("severity IN ('quarantined', 'reported')", name="severity_known"),
    )
    refuse("data_quarantine", "UPDATE")
    refuse("data_quarantine", "DELETE")
