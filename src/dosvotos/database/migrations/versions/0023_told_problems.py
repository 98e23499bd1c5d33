"""Why an extra backtest failed, in each language it is told in; in English only in those that failed before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("backtest_requests", sa.Column("problem_told", JSON, nullable=True))
