"""The market beside a model, for its pages: the price, and simple strategies on a backtest's bars."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Engine, Row

from dosvotos.backtest.report import BacktestReport, Curve
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.market_data import BarTable
from dosvotos.database.registry import get_proposal
from dosvotos.market.accounting import Tape, run_account


class MarketBeside(NamedTuple):
    """The bars of a backtest and what was made of them without any skill."""

    close: pd.Series
    """By bar open (UTC), as known at the contract's ``data_as_of``; empty where the bars are not stored."""
    always_long: Curve
    """Equity at the contract's costs, without financing."""
    always_short: Curve


def market_beside(engine: Engine, proposal_id: int, report: BacktestReport) -> MarketBeside:
    """Read the bars that a proposal's equity curve stands on, and hold them long and short throughout.

    Raises
    ------
    LineageError
        If the proposal's contract is not in this database.
    """
    with reading(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
    contract = ContractRegistry(engine).of_proposal(proposal)
    parameters = contract.parameters
    times = pd.DatetimeIndex(pd.to_datetime([time for time, _ in report.equity_curve], utc=True))
    close = _closes(BarTable(engine, proposal.instrument, parameters.feed), contract.data_as_of, times)
    tape = Tape(pd.DatetimeIndex(close.index), close.to_numpy(float), np.full(len(close), np.nan))
    trading = parameters.trading

    def held(side: int) -> Curve:
        if close.empty:
            return ()
        targets = np.full(len(close), side)
        equity = run_account(tape, targets, trading.costs.per_side, trading.initial_capital).equity
        return tuple(zip([time.isoformat() for time in close.index], equity.tolist(), strict=True))

    return MarketBeside(close, held(1), held(-1))


def closes_of(engine: Engine, model: Row[Any], times: pd.DatetimeIndex, now: datetime) -> pd.Series:
    """Read the closes of the bars a model decided on, as known at `now`.

    Parameters
    ----------
    engine : Engine
    model : Row
        Of the registry.
    times : DatetimeIndex, UTC, ascending
        When the bars opened.
    now : datetime, timezone-aware

    Returns
    -------
    Series
        COP per USD by bar open; without the bars that are not stored, so empty for another database's model.
    """
    contract = ContractRegistry(engine).of_hash(model.experiment_name, model.config_hash)
    if contract is None:
        return pd.Series(dtype=float, index=times[:0])
    return _closes(BarTable(engine, model.instrument, contract.parameters.feed), now, times)


def _closes(bars: BarTable, moment: datetime, times: pd.DatetimeIndex) -> pd.Series:
    """Read the closes of bars by their opens; those that are not stored are left out."""
    if times.empty:
        return pd.Series(dtype=float)
    bar = timedelta(minutes=5)
    rows = bars.rows(moment, after=times[0] - bar, before=times[-1] + bar)
    stored = rows.drop_duplicates("timestamp", keep="last").set_index("timestamp")["close"]
    return stored[stored.index.isin(times)]
