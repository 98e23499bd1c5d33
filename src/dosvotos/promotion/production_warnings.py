"""What every command says of the production models: which of them should give no signal, and the way back."""

from collections.abc import Iterator

from sqlalchemy import Engine, Row, select

from dosvotos.database.connection import open_existing, reading
from dosvotos.database.tables import model_registry
from dosvotos.errors import DatabaseError
from dosvotos.promotion.retracted import built_on_retracted
from dosvotos.promotion.standing import waits_for_signed_vote


def production_warnings(url: str) -> list[str]:
    """Say in one line each which production models of a database nothing should be signalled by.

    Nothing is made or upgraded for it: where there is no database of today's schema there is nothing to say,
    and whoever needs one says what is wrong with it.
    """
    try:
        engine = open_existing(url)
        lines = [
            f"{one}; train and approve another" for one in built_on_retracted(engine, production_only=True)
        ]
        lines += list(_unsigned(engine))
    except DatabaseError:
        return []
    engine.dispose()
    return lines


def _unsigned(engine: Engine) -> Iterator[str]:
    with reading(engine) as connection:
        serving = select(model_registry).where(model_registry.c.stage == "production")
        rows: list[Row[tuple[object, ...]]] = list(connection.execute(serving))
        waiting = [row for row in rows if waits_for_signed_vote(connection, row.instrument)]
    for row in waiting:
        yield (
            f"production model {row.model_id} was approved before votes were signed, so it gives no signal "
            f"(unsigned_vote); run 'kedro run --pipelines "
            f"backtest,promotion --env {row.experiment_name}' and vote on the proposal"
        )
