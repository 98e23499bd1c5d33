"""Contracts, votes and looks are appended after the last id: what came before what is no one's to state."""

from alembic import op

from dosvotos.database.append_only import ORDERED, renew_guards

revision = "0015"
down_revision = "0012"


def upgrade() -> None:
    renew_guards(op.get_bind(), ORDERED)
