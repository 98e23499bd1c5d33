"""What live has earned so far, beside what was claimed before the vote, and shadows beside production."""

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Row, select

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.sequential import SequentialVerdict, judge_claim, judge_pair
from dosvotos.contracts.live_limits import CLAIM_LEVEL
from dosvotos.database.live_limits import equity_curve, last_trip_bar, shadow_lapse
from dosvotos.database.registry import production_rows, promoting_votes
from dosvotos.database.shadow import shadow_approval, shadow_models
from dosvotos.database.tables import oos_trials
from dosvotos.live.reasons import Reason
from dosvotos.market.calendar import session_dates
from dosvotos.promotion.tripwires import Lapses
from dosvotos.refusals import StoredText


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
    against_claim: SequentialVerdict | None = None
    """Of a shadow against its own claim; None of production, and of a refit, which claims nothing."""
    approval_id: int | None = None
    """Of a shadow."""
    lapsed: StoredText | None = None
    """What ended a shadow's approval."""


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
        verdict = judge_claim(returns, *claim, _level(approval))
    return LivePerformance(model.model_id, len(returns), sharpe_ratio(returns), verdict)


def judge_shadows(connection: Connection, instrument: str) -> list[LivePerformance]:
    """Judge each shadow model by production, on the sessions that both have traded, and by its own claim.

    The shadows share what their reviewers allow of false claims. A shadow that was found better counts once:
    sessions up to the bar at which that was noted are left out.
    """
    production, noted = (
        production_returns(connection, instrument),
        last_trip_bar(connection, instrument, Reason.WORSE_THAN_SHADOW),
    )
    if noted is not None:
        production = production[production.index > np.datetime64(noted.date())]
    models = shadow_models(connection, instrument)
    rows = [(model, shadow_approval(connection, model.model_id)) for model in models]
    return [
        _judge_shadow(connection, model, approval, production, len(rows))
        for model, approval in rows
        if approval
    ]


def _judge_shadow(
    connection: Connection, model: Row[Any], approval: Row[Any], production: pd.Series, n_shadows: int
) -> LivePerformance:
    own, level = account_returns(equity_curve(connection, approval.id)), _level(approval)
    both, claim = own.index.intersection(production.index), claim_of(connection, model)
    days = own[both].to_numpy(), production[both].to_numpy()
    pair = judge_pair(*days, level, n_shadows) if len(both) else None
    returns = own.to_numpy()
    against = judge_claim(returns, *claim, level) if claim is not None and len(returns) else None
    lapsed = shadow_lapse(connection, approval.id)
    return LivePerformance(
        model.model_id, len(own), sharpe_ratio(returns), pair, against, approval.id, lapsed
    )


def _level(approval: Row[Any]) -> float:
    """Read how often a bound may be wrong, as the approval's reviewer signed."""
    return Lapses.model_validate(approval.lapses).level if approval.lapses else CLAIM_LEVEL


def claim_of(connection: Connection, model: Row[Any]) -> Claim | None:
    """Read what a model's backtest claimed, from the newest look at it whose daily returns are stored."""
    t = oos_trials
    own = (t.c.instrument == model.instrument) & (t.c.model_hash == model.model_hash)
    query = select(t.c.daily_returns).where(own, t.c.daily_returns.is_not(None)).order_by(t.c.id.desc())
    stored = connection.execute(query.limit(1)).scalar_one_or_none()
    returns = np.array(list((stored or {}).values()))
    sharpe = sharpe_ratio(returns)
    return None if sharpe is None else Claim(sharpe, float(returns.std(ddof=1)))
