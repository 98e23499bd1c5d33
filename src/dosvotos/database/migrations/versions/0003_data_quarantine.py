"""Data quarantine: what was put aside of the data that came, and why."""

import sqlalchemy as sa
from alembic import op

from dosvotos.database.migrations.triggers import refuse
from dosvotos.errors import DatabaseError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "data_quarantine",
        sa.Column("instrument", sa.String(length=20), nullable=False),
        sa.Column("feed", sa.String(length=64), nullable=False),
        sa.Column("finding", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "severity IN ('quarantined', 'reported')", name=op.f("ck_data_quarantine_severity_known")
        ),
        sa.PrimaryKeyConstraint("instrument", "feed", "finding", name=op.f("pk_data_quarantine")),
    )
    refuse("data_quarantine", "UPDATE")
    refuse("data_quarantine", "DELETE")


def downgrade() -> None:
    raise DatabaseError(
        "revision 0003 keeps findings that 0002 has no place for; to go back, restore a backup"
    )
