"""What MLflow is told of production models, by the outbox."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from dosvotos.database.outbox import add_message

CHAMPION: Final = "mlflow_champion"
"""Kind of message: MLflow's alias is to follow an instrument's production model."""


def announce_production(connection: Connection, instrument: str, model_id: str | None, now: datetime) -> None:
    """Let MLflow's alias follow, after the caller's transaction is committed; None takes it away."""
    add_message(connection, CHAMPION, instrument, {"model_id": model_id}, now)
