"""A look at other costs is another look; a contract says how its window was chosen.

Looks from before have no digest of their account: they stay the looks they were, whatever it was.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from dosvotos.database.migrations.triggers import drop, kept, refuse

revision = "0008"
down_revision = "0007"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UNKNOWN = "before accounts were told apart"
NEW_KEY = ["instrument", "feed", "model_hash", "window_start", "window_end", "account_digest"]
WRITTEN_ONCE = ("id", "instrument", "feed", "experiment_name", "model_hash", "window_start", "window_end")


def upgrade() -> None:
    op.add_column("experiment_contracts", sa.Column("window_status", sa.String(length=16), nullable=True))
    op.add_column("experiment_contracts", sa.Column("window_facts", JSON, nullable=True))
    _tell_accounts_apart()
    drop("oos_trials", "UPDATE")
    refuse("oos_trials", "UPDATE", when=_changed())


def _tell_accounts_apart() -> None:
    inspected = sa.inspect(op.get_bind())
    old_key = str(inspected.get_unique_constraints("oos_trials")[0]["name"])
    digest = sa.Column("account_digest", sa.String(length=64), nullable=False, server_default=UNKNOWN)
    with kept("oos_trials"), op.batch_alter_table("oos_trials", recreate="auto") as batch_op:
        batch_op.add_column(digest)
        batch_op.drop_constraint(old_key, type_="unique")
        batch_op.create_unique_constraint(None, NEW_KEY)  # type: ignore[arg-type]
    with kept("oos_trials"), op.batch_alter_table("oos_trials", recreate="auto") as batch_op:
        batch_op.alter_column("account_digest", server_default=None)


def _changed() -> str:
    columns = (*WRITTEN_ONCE, "account_digest", "opened_at")
    return " OR ".join(["OLD.daily_returns IS NOT NULL", *(f"OLD.{c} <> NEW.{c}" for c in columns)])
