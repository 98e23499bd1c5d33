"""What live has earned so far, beside what was claimed before the vote, and shadows beside production."""

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Row, select

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.sequential import SequentialVerdict, judge_claim, judge_pair
from dosvotos.database.live_limits import equity_curve, last_trip_bar
from dosvotos.database.registry import production_rows, promoting_votes
from dosvotos.database.shadow import shadow_approval, shadow_models
from dosvotos.database.tables import oos_trials
from dosvotos.live.reasons import Reason
from dosvotos.market.calendar import session_dates


class Claim(NamedTuple):
    """What a model's backtest claimed."""

    sharpe: float
    """Annual, of daily net returns."""
    spread: float
    """Standard deviation of daily net returns, ddof 1."""


class LivePerformance(NamedTuple):
    """A model's live sessions so far."""

    model_id: str
    sessions: int
    sharpe: float | None
    verdict: SequentialVerdict | None
    """Of production against its claim, of a shadow against production; None without what to compare with."""


def account_returns(curve: list[tuple[datetime, float]]) -> pd.Series:
    """Compute daily net returns by session from an account's equity at its bars, the first from the first.

    A session counts if it has a bar in the account.
    """
    times = pd.DatetimeIndex([timestamp for timestamp, _ in curve], tz="UTC")
    sessions = np.unique(session_dates(times))
    if not len(sessions):
        return pd.Series(dtype=float)
    equity = np.array([worth for _, worth in curve])
    return pd.Series(daily_returns(equity, times, sessions), index=pd.DatetimeIndex(sessions))


def production_returns(connection: Connection, instrument: str) -> pd.Series:
    """Compute the daily returns of whatever was in production; a session of two models has both parts."""
    approvals = sorted({row.id for row in promoting_votes(connection, instrument) if row.action == "APPROVE"})
    parts = [account_returns(equity_curve(connection, approval)) for approval in approvals]
    if not parts:
        return pd.Series(dtype=float)
    together = pd.concat(parts)
    product: pd.Series = (1 + together).groupby(level=0).prod() - 1
    return product


def judge_production(connection: Connection, instrument: str) -> LivePerformance | None:
    """Judge the production model's sessions by its own claim; None without a model.

    A claim that did not hold counts once: sessions before the bar at which it was noted are left out.
    """
    model, _, _, approval, _ = production_rows(connection, instrument)
    if model is None or approval is None:
        return None
    noted = last_trip_bar(connection, instrument, Reason.WORSE_THAN_CLAIMED)
    returns = account_returns(equity_curve(connection, approval.id, noted)).to_numpy()
    verdict, claim = None, claim_of(connection, model)
    if claim is not None and len(returns):
        verdict = judge_claim(returns, *claim)
    return LivePerformance(model.model_id, len(returns), sharpe_ratio(returns), verdict)


def judge_shadows(connection: Connection, instrument: str) -> list[LivePerformance]:
    """Judge each shadow model by production, on the sessions that both have traded."""
    production, found = production_returns(connection, instrument), []
    for model in shadow_models(connection, instrument):
        approval = shadow_approval(connection, model.model_id)
        own = account_returns([] if approval is None else equity_curve(connection, approval.id))
        both = own.index.intersection(production.index)
        verdict = judge_pair(own[both].to_numpy(), production[both].to_numpy()) if len(both) else None
        found.append(LivePerformance(model.model_id, len(own), sharpe_ratio(own.to_numpy()), verdict))
    return found


def claim_of(connection: Connection, model: Row[Any]) -> Claim | None:
    """Read what a model's backtest claimed, from the newest look at it whose daily returns are stored."""
    t = oos_trials
    own = (t.c.instrument == model.instrument) & (t.c.model_hash == model.model_hash)
    query = select(t.c.daily_returns).where(own, t.c.daily_returns.is_not(None)).order_by(t.c.id.desc())
    stored = connection.execute(query.limit(1)).scalar_one_or_none()
    returns = np.array(list((stored or {}).values()))
    sharpe = sharpe_ratio(returns)
    return None if sharpe is None else Claim(sharpe, float(returns.std(ddof=1)))
