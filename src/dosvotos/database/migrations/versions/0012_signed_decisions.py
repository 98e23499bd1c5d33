"""Decisions carry their text and signatures; halts have a state, retries a key, signals a checkpoint.

Rows and stages stay as they are: what nobody signed is marked by its missing signature.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from dosvotos.database.append_only import renew_guards

revision = "0012"
down_revision = "0011"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
LOG = "approval_audit_log"
NEW_COLUMNS = (
    sa.Column("instrument", sa.String(length=20), nullable=True),
    sa.Column("mode", sa.String(length=16), nullable=True),
    sa.Column("trained_by", sa.String(length=255), nullable=True),
    sa.Column("agreement", sa.String(length=64), nullable=True),
    sa.Column("approvals", sa.Integer(), nullable=True),
    sa.Column("quorum", sa.Integer(), nullable=True),
    sa.Column("subject", JSON, nullable=True),
    sa.Column("lapses", JSON, nullable=True),
    sa.Column("text", sa.Text(), nullable=True),
    sa.Column("text_hash", sa.String(length=64), nullable=True),
    sa.Column("signature", sa.Text(), nullable=True),
    sa.Column("second_reviewer", sa.String(length=255), nullable=True),
    sa.Column("second_signature", sa.Text(), nullable=True),
    sa.Column("countersignature", sa.Text(), nullable=True),
    sa.Column("seal", sa.String(length=64), nullable=True),
)
CHECKS = {
    "text_is_signed": "(text IS NULL) = (signature IS NULL) AND (text IS NULL) = (text_hash IS NULL)",
    "quorum_reached": (
        "action <> 'APPROVE' OR new_stage <> 'production' OR approvals IS NULL OR approvals >= quorum"
    ),
    "not_own_model": (
        "action <> 'APPROVE' OR trained_by IS NULL OR mode = 'single-user' "
        "OR lower(trim(reviewer)) <> lower(trim(trained_by))"
    ),
}


def upgrade() -> None:
    with op.batch_alter_table(LOG) as batch_op:
        batch_op.alter_column("model_id", existing_type=sa.String(length=255), nullable=True)
        batch_op.alter_column("new_stage", existing_type=sa.String(length=20), nullable=True)
        for column in NEW_COLUMNS:
            batch_op.add_column(column)
        batch_op.create_unique_constraint(None, ["text_hash"])  # type: ignore[arg-type]
        batch_op.create_unique_constraint(None, ["proposal_id", "agreement", "reviewer"])  # type: ignore[arg-type]
        for name, condition in CHECKS.items():
            batch_op.create_check_constraint(name, sa.text(condition))
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=255), primary_key=True),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("audit_id", sa.Integer(), sa.ForeignKey(f"{LOG}.id"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "live_state",
        sa.Column("instrument", sa.String(length=20), primary_key=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("changed_by", sa.String(length=255), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'REDUCING', 'HALTED')", name="state_known"),
    )
    op.add_column("promotion_proposals", sa.Column("reopened_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("trading_signals", sa.Column("checkpoint", sa.Text(), nullable=True))
    renew_guards(op.get_bind(), (LOG, "idempotency_keys", "trading_signals"))
