"""Decisions about people, policy and restores found without reading the whole log."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_index("ix_approval_audit_log_action", "approval_audit_log", ["action"])
