"""The criteria of a first vote as records beside the specification's strings; none in proposals made before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("promotion_proposals", sa.Column("criteria", JSON, nullable=True))
