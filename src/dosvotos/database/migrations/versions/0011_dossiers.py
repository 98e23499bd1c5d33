"""The hash of a proposal's dossier and the facts of the run that made it; none of proposals made before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("promotion_proposals", sa.Column("dossier_hash", sa.String(64), nullable=True))
    op.add_column("promotion_proposals", sa.Column("run", JSON, nullable=True))
