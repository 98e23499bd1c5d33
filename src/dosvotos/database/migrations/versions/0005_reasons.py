"""What decided a first vote, as codes with figures beside the sentence; none in proposals made before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("promotion_proposals", sa.Column("reasons", JSON, nullable=True))
