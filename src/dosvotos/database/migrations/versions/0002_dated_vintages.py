"""Dated vintages: an observation may have several, and market data cannot be changed or removed."""

from alembic import op

from dosvotos.database.migrations.triggers import refuse

revision = "0002"
down_revision = "0001"

MACRO = ("macro_indicators_daily", "macro_indicators_monthly", "macro_indicators_quarterly")
KEY = ["instrument", "feed", "variable", "observation_date", "vintage", "fetched_at"]


def upgrade() -> None:
    for table in MACRO:
        with op.batch_alter_table(table, recreate="auto") as batch_op:
            batch_op.drop_constraint(f"pk_{table}", type_="primary")
            batch_op.create_primary_key(f"pk_{table}", KEY)
    for table in ("usdcop_m5_ohlcv", *MACRO):
        refuse(table, "UPDATE")
        refuse(table, "DELETE")
