"""``dosvotos notify drain``: tell people and other systems what has happened, after its commit."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from filelock import Timeout
from sqlalchemy import Engine

from dosvotos.database.connection import absolute_url, reading
from dosvotos.database.outbox import send_messages, waiting_messages
from dosvotos.database.registry import list_models, production_model
from dosvotos.errors import NotificationError
from dosvotos.mlflow_champion import Champion, MlflowAwayError, MlflowRegistry, Registry
from dosvotos.mlflow_tracking import is_installed
from dosvotos.notifications.drain import send_notifications
from dosvotos.notifications.recipients import read_recipients
from dosvotos.project import exclusive_lock, mlflow_url
from dosvotos.promotion.champions import CHAMPION


def drain_outbox(engine: Engine, now: datetime) -> list[str]:
    """Send notifications, then tell MLflow, which may take its time; gives what was done, a line each."""
    try:
        told = send_notifications(engine, read_recipients(), now)
    except NotificationError as error:  # MLflow is told all the same
        told = [str(error)]
    return [*told, *drain_champions(engine, now)]


def drain_champions(
    engine: Engine, now: datetime, open_registry: Callable[[], Registry] | None = None
) -> list[str]:
    """Tell MLflow what is due and put right what somebody moved; gives what was done, a line each.

    One process at a time; a second one leaves it to the first.
    """
    try:
        with exclusive_lock("outbox"):
            return _drain(engine, now, open_registry or _mlflow)
    except Timeout:
        return ["another process is at it"]


def champion_of(engine: Engine, instrument: str) -> Champion | None:
    """Read the production model of an instrument, as MLflow is to show it."""
    with reading(engine) as connection:
        row = production_model(connection, instrument)
    if row is None:
        return None
    return Champion(row.model_id, row.manifest_hash, row.experiment_name, Path(row.model_path))


def _drain(engine: Engine, now: datetime, open_registry: Callable[[], Registry]) -> list[str]:
    with reading(engine) as connection:
        known = {row.instrument for row in list_models(connection) if row.stage == "production"}
        waiting = {row.subject for row in waiting_messages(connection, now, (CHAMPION,))}
    if not known | waiting:
        return []
    try:
        registry = open_registry()
    except MlflowAwayError as error:
        away = error
        return send_messages(engine, CHAMPION, lambda _: _raise(away), now) or [str(away)]
    changes: list[str] = []

    def send(instrument: str) -> None:
        champion = champion_of(engine, instrument)
        if registry.point(instrument, champion):
            changes.append(f"{instrument}: champion is {champion.model_id if champion else 'nobody'}")

    problems = send_messages(engine, CHAMPION, send, now)
    for instrument in sorted(known - waiting):
        try:
            send(instrument)
        except Exception as error:  # whatever MLflow's client raises; there is no message to keep
            problems.append(f"{instrument}: {type(error).__name__}: {error}")
    return [*changes, *problems]


def _raise(why: MlflowAwayError) -> None:
    raise why


def _mlflow() -> Registry:
    if not is_installed():
        raise MlflowAwayError.of("mlflow_not_installed")
    root = Path.cwd()
    return MlflowRegistry(absolute_url(mlflow_url(), root), root)
