"""Which version wrote a contract, and what its experiment stated itself; contracts from before are of schema 1."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("experiment_contracts", sa.Column("schema", sa.Integer, nullable=False, server_default="1"))
    op.add_column("experiment_contracts", sa.Column("stated", JSON, nullable=True))
