"""A backtest as a record: the figures, curves and trades of ``backtest_results_{exp}.json``."""

import numpy as np
from pydantic import Field

from dosvotos.backtest.cuts import Cuts, cut_returns, session_volatility
from dosvotos.backtest.linear_rival import LinearRivalReport
from dosvotos.backtest.metrics import Metrics, daily_returns, drawdowns, measure
from dosvotos.backtest.naive import Naive
from dosvotos.backtest.stress import Stress
from dosvotos.backtest.window import Sample
from dosvotos.contracts.records import Record, is_absent
from dosvotos.hashing import digest_arrays
from dosvotos.market.accounting import Account, Tape

Curve = tuple[tuple[str, float], ...]
"""A point a bar: its open (ISO, UTC) and a value at its close."""


class Trade(Record):
    """A closed round trip; times are the opens (ISO, UTC) of the bars that filled it."""

    entry_time: str
    exit_time: str
    direction: int
    """1 long, -1 short."""
    units: float
    entry_price: float
    exit_price: float
    pnl: float
    """Net of both fees, in the account's currency."""


class AccountReport(Record):
    """One account written down."""

    metrics: Metrics
    cuts: Cuts
    equity_curve: Curve
    """In the account's currency."""
    drawdown_series: Curve
    """Fall from the peak, a positive fraction."""
    trades: tuple[Trade, ...]
    daily_returns: dict[str, float]
    """Net, of every scheduled session, by Bogota date."""


class BacktestResult(AccountReport):
    """A policy's account over a window, beside other costs, later fills and strategies without skill."""

    backtest_hash: str
    metrics_without_financing: Metrics
    metrics_with_financing: Metrics | None
    """None where a policy rate is unknown; `financing_note` says when."""
    financing_note: str | None
    stress: Stress
    naive: Naive
    oracle_sharpe: float | None
    """Of someone who knew the sample market's planted edge; None in other markets."""


class BacktestReport(BacktestResult):
    """L4: a backtest and whose it is."""

    model_id: str
    model_hash: str
    experiment_name: str
    test_period: str
    """``2025-07-01 to 2026-07-31``, Bogota sessions."""
    sample: Sample
    linear_rival: LinearRivalReport | None = Field(default=None, exclude_if=is_absent)
    """On the same bars; None where the bundle holds none, being from before linear rivals."""


class ExtraBacktestReport(BacktestReport):
    """An extra backtest that a person asked for."""

    backtest_id: int
    proposal_id: int
    data_as_of: str
    """When it was asked for (ISO): the moment whose data it uses."""
    test_dataset_hash: str


class BacktestFigures(Record):
    """What a proposal repeats of a report: all but curves and trades."""

    sample: Sample
    metrics: Metrics
    metrics_without_financing: Metrics
    metrics_with_financing: Metrics | None
    financing_note: str | None
    cuts: Cuts
    stress: Stress
    naive: Naive


def figures_of(report: BacktestReport) -> BacktestFigures:
    """Copy a report's figures."""
    return BacktestFigures(**{name: getattr(report, name) for name in BacktestFigures.model_fields})


def account_report(account: Account, tape: Tape, sessions: np.ndarray) -> AccountReport:
    """Measure an account over its scheduled sessions (``datetime64[D]``)."""
    times = [time.isoformat() for time in tape.times]
    returns = daily_returns(account.equity, tape.times, sessions)
    return AccountReport(
        metrics=measure(account, tape.times, sessions),
        cuts=cut_returns(returns, sessions, session_volatility(tape, sessions)),
        equity_curve=_curve(times, account.equity.round(2)),
        drawdown_series=_curve(times, drawdowns(account.equity).round(6)),
        trades=_trades(account, times),
        daily_returns=dict(zip(sessions.astype(str).tolist(), returns.tolist(), strict=True)),
    )


def account_digest(account: Account) -> str:
    """Hash an account's course."""
    return digest_arrays({"equity": account.equity, "position": account.position, "fees": account.fees})


def _curve(times: list[str], values: np.ndarray) -> Curve:
    return tuple(zip(times, values.tolist(), strict=True))


def _trades(account: Account, times: list[str]) -> tuple[Trade, ...]:
    bars = np.array(times)
    filled = {name: bars[account.trades[f"{name}_bar"]] for name in ("entry", "exit")}
    table = account.trades.drop(columns=["entry_bar", "exit_bar"])
    table = table.assign(entry_time=filled["entry"], exit_time=filled["exit"])
    return tuple(map(Trade.model_validate, table.to_dict("records")))
