"""The trial ledger: every look at an out-of-sample window, written before the window is opened."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, Row, and_, insert, select, update

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import LedgerGenesis
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import ledger_genesis, oos_trials
from dosvotos.errors import LineageError
from dosvotos.hashing import short
from dosvotos.market.splits import splits_of


class Look(NamedTuple):
    """One model at one window of one market; the same three again are the same look."""

    feed: str
    model_hash: str
    window_start: date
    window_end: date


def look_of(contract: ExperimentContract, model_hash: str) -> Look:
    """Make the look of a model at its contract's test window."""
    parameters = contract.parameters
    test = splits_of(parameters)["test"]
    return Look(parameters.feed, model_hash, test.first, test.last)


@dataclass(frozen=True)
class TrialLedger:
    """The looks at one instrument."""

    engine: Engine
    instrument: str

    def record(self, look: Look, experiment_name: str, now: datetime) -> None:
        """Write a look, unless it stands already."""
        with writing(self.engine) as connection:
            if connection.execute(select(ledger_genesis.c.id)).first() is None:
                connection.execute(insert(ledger_genesis).values(id=str(uuid.uuid4()), created_at=now))
            if connection.execute(select(oos_trials.c.id).where(self._same(look))).first() is None:
                row = {**look._asdict(), "instrument": self.instrument, "opened_at": now}
                connection.execute(insert(oos_trials).values(**row, experiment_name=experiment_name))

    def require(self, look: Look) -> None:
        """Refuse to go on without a look's row.

        Raises
        ------
        LineageError
            If the look was never written.
        """
        with reading(self.engine) as connection:
            if connection.execute(select(oos_trials.c.id).where(self._same(look))).first() is None:
                raise LineageError(
                    f"trial ledger: no look of model {short(look.model_hash)} at {look.window_start} to "
                    f"{look.window_end}; run the backtest pipeline from open_test"
                )

    def store(self, look: Look, daily_returns: dict[str, float]) -> None:
        """Attach a look's daily returns (by ISO date) once; later calls change nothing."""
        t = oos_trials
        with writing(self.engine) as connection:
            open_look = and_(self._same(look), t.c.daily_returns.is_(None))
            connection.execute(update(t).where(open_look).values(daily_returns=daily_returns))

    def overlapping(self, look: Look) -> list[Row[Any]]:
        """List every look at a window that shares a day with this one, itself included, oldest first."""
        t = oos_trials
        query = (
            select(t)
            .where(t.c.instrument == self.instrument, t.c.feed == look.feed)
            .where(t.c.window_start <= look.window_end, t.c.window_end >= look.window_start)
            .order_by(t.c.id)
        )
        with reading(self.engine) as connection:
            return list(connection.execute(query).all())

    def genesis(self) -> LedgerGenesis:
        """Read the ledger's id and birth."""
        with reading(self.engine) as connection:
            row = connection.execute(select(ledger_genesis)).one_or_none()
        if row is None:
            raise LineageError("ledger_genesis: one row expected, found none; restore the database's backup")
        return LedgerGenesis(id=row.id, created_at=row.created_at.isoformat())

    def _same(self, look: Look) -> Any:
        t = oos_trials
        columns = {**look._asdict(), "instrument": self.instrument}
        return and_(*(t.c[name] == value for name, value in columns.items()))
