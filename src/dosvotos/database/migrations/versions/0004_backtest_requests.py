"""Backtest requests: the further tests that people ask for before they vote."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from dosvotos.errors import DatabaseError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "backtest_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("proposal_id", sa.Integer(), nullable=False),
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=False),
        sa.Column("sample", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), server_default="queued", nullable=False),
        sa.Column("requested_by", sa.String(length=255), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claims", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("result_file", sa.String(length=512), nullable=True),
        sa.Column("result_hash", sa.String(length=64), nullable=True),
        sa.Column("metrics", JSON, nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'done', 'failed')",
            name=op.f("ck_backtest_requests_status_known"),
        ),
        sa.CheckConstraint(
            "sample IN ('OUT-OF-SAMPLE', 'IN-SAMPLE')", name=op.f("ck_backtest_requests_sample_known")
        ),
        sa.CheckConstraint("start_date <= end_date", name=op.f("ck_backtest_requests_dates_in_order")),
        sa.CheckConstraint(
            "(status = 'done') = (result_hash IS NOT NULL)", name=op.f("ck_backtest_requests_done_has_result")
        ),
        sa.ForeignKeyConstraint(
            ["proposal_id"],
            ["promotion_proposals.id"],
            name=op.f("fk_backtest_requests_proposal_id_promotion_proposals"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backtest_requests")),
    )
    with op.batch_alter_table("backtest_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_backtest_requests_proposal_id"), ["proposal_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_backtest_requests_status"), ["status"], unique=False)


def downgrade() -> None:
    raise DatabaseError(
        "revision 0004 keeps requests that 0003 has no place for; to go back, restore a backup"
    )
