"""The trial ledger: every look at an out-of-sample window, written before the window is opened."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, Row, and_, func, insert, select, text, update

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import LedgerGenesis
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import UNKNOWN_ACCOUNT, ledger_genesis, oos_trials
from dosvotos.errors import AlteredError, LineageError
from dosvotos.hashing import short
from dosvotos.market.splits import Split, splits_of


class Look(NamedTuple):
    """One model's account on one window of one market; the same five again are the same look."""

    feed: str
    model_hash: str
    window_start: date
    """First scheduled session."""
    window_end: date
    """Last scheduled session."""
    account_digest: str
    """Of what fills cost and the account starts with: ``TradingParams.digest``."""


class LookHistory(NamedTuple):
    """A look as it stands in the ledger, and every look at its market that was written before it."""

    own: Row[Any]
    earlier: list[Row[Any]]
    """Oldest first."""


def look_at(parameters: Parameters, model_hash: str, window: Split) -> Look:
    """Make the look of a model, under an experiment's costs and fills, at the sessions of a window."""
    sessions = window.sessions()
    first, last = sessions[0].astype(object), sessions[-1].astype(object)
    return Look(parameters.feed, model_hash, first, last, parameters.trading.digest)


def look_of(contract: ExperimentContract, model_hash: str) -> Look:
    """Make the look of a model at its contract's test window."""
    parameters = contract.parameters
    return look_at(parameters, judged_hash(contract, model_hash), splits_of(parameters)["test"])


def judged_hash(contract: ExperimentContract, model_hash: str) -> str:
    """Give the hash that a look goes by: the model's, or the contract's where a line is judged."""
    return contract.config_hash if contract.parameters.splits.is_line else model_hash


def line_look(contract: ExperimentContract) -> Look:
    """Make the one look of a walk-forward line: of its contract, at all folds together."""
    return look_of(contract, contract.config_hash)


@dataclass(frozen=True)
class TrialLedger:
    """The looks at one instrument."""

    engine: Engine
    instrument: str

    def record(self, look: Look, experiment_name: str, now: datetime) -> None:
        """Write a look, unless it stands already; `now` is the wall clock's."""
        with writing(self.engine) as connection:
            if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
                connection.execute(text("LOCK TABLE oos_trials IN SHARE ROW EXCLUSIVE MODE"))
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
        self.history(look)

    def store(self, look: Look, daily_returns: dict[str, float]) -> None:
        """Attach a look's daily returns (by ISO date) once; later calls change nothing."""
        t = oos_trials
        with writing(self.engine) as connection:
            open_look = and_(self._same(look), t.c.daily_returns.is_(None))
            connection.execute(update(t).where(open_look).values(daily_returns=daily_returns))

    def history(self, look: Look) -> LookHistory:
        """Read a look and every look at its market written before it.

        Raises
        ------
        LineageError
            If the look was never written.
        """
        t = oos_trials
        market = select(t).where(t.c.instrument == self.instrument, t.c.feed == look.feed).order_by(t.c.id)
        with reading(self.engine) as connection:
            own = connection.execute(market.where(self._same(look))).first()
            if own is None:
                raise LineageError.of(
                    "look_none", model=short(look.model_hash), first=look.window_start, last=look.window_end
                )
            return LookHistory(own, list(connection.execute(market.where(t.c.id < own.id)).all()))

    def looks(self, feed: str | None = None) -> list[Row[Any]]:
        """List all looks at the instrument, or at one of its markets, oldest first."""
        t = oos_trials
        query = select(t).where(t.c.instrument == self.instrument).order_by(t.c.id)
        with reading(self.engine) as connection:
            return list(connection.execute(query if feed is None else query.where(t.c.feed == feed)).all())

    def newest_session(self, feed: str) -> date | None:
        """Find the last session of a market that any look has seen; None without a look."""
        t = oos_trials
        query = select(func.max(t.c.window_end)).where(t.c.instrument == self.instrument, t.c.feed == feed)
        with reading(self.engine) as connection:
            newest: date | None = connection.execute(query).scalar_one()
        return newest

    def genesis(self) -> LedgerGenesis:
        """Read the ledger's id and birth."""
        with reading(self.engine) as connection:
            row = connection.execute(select(ledger_genesis)).one_or_none()
        if row is None:
            raise AlteredError.of("genesis_none")
        return LedgerGenesis(id=row.id, created_at=row.created_at.isoformat())

    def _same(self, look: Look) -> Any:
        """Match a look; one from before accounts were told apart is the same whatever its account."""
        t = oos_trials
        columns = {**look._asdict(), "instrument": self.instrument}
        account = columns.pop("account_digest")
        same = (t.c[name] == value for name, value in columns.items())
        return and_(*same, t.c.account_digest.in_([account, UNKNOWN_ACCOUNT]))
