"""Why a message was not delivered and what a limit found, in each language; older rows keep the English text."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("outbox", sa.Column("problem_told", JSON, nullable=True))
    op.add_column("limit_trips", sa.Column("detail_told", JSON, nullable=True))
