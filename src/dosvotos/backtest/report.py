"""One account written down: figures, curves and trades, JSON-like."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from dosvotos.backtest.cuts import Cuts, cut_returns, session_volatility
from dosvotos.backtest.metrics import Metrics, daily_returns, drawdowns, measure
from dosvotos.backtest.naive import Naive
from dosvotos.backtest.stress import Stress
from dosvotos.backtest.window import Sample
from dosvotos.errors import LineageError
from dosvotos.hashing import digest_arrays
from dosvotos.market.accounting import Account, Tape


class Findings(BaseModel):
    """What a backtest found, without its curves: the part of a report that a proposal repeats."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sample: Sample
    metrics: Metrics
    metrics_without_financing: Metrics
    metrics_with_financing: Metrics | None
    """None where a policy rate is unknown; `financing_note` says when."""
    financing_note: str | None
    cuts: Cuts
    stress: Stress
    naive: Naive


def findings_of(results: Mapping[str, Any]) -> Findings:
    """Take the findings out of a stored report.

    Raises
    ------
    LineageError
        If the report was written by another version.
    """
    try:
        return Findings.model_validate(results)
    except ValidationError as error:
        wrong = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise LineageError(
            f"backtest_results: written by another version, see {wrong}; run the backtest pipeline again"
        ) from error


def account_report(account: Account, tape: Tape, sessions: np.ndarray) -> dict[str, Any]:
    """Metrics, cuts, equity and drawdown at every close, trades and daily returns (by ISO date)."""
    times = [time.isoformat() for time in tape.times]
    returns = daily_returns(account.equity, tape.times, sessions)
    cuts = cut_returns(returns, sessions, session_volatility(tape, sessions))
    return {
        "metrics": measure(account, tape.times, sessions).model_dump(),
        "cuts": cuts.model_dump(mode="json"),
        "equity_curve": _pairs(times, account.equity.round(2)),
        "drawdown_series": _pairs(times, drawdowns(account.equity).round(6)),
        "trades": _trades(account.trades, times),
        "daily_returns": dict(zip(sessions.astype(str).tolist(), returns.tolist(), strict=True)),
    }


def account_digest(account: Account) -> str:
    """Hash of an account's course."""
    return digest_arrays({"equity": account.equity, "position": account.position, "fees": account.fees})


def _pairs(times: list[str], values: np.ndarray) -> list[list[Any]]:
    return [[time, value] for time, value in zip(times, values.tolist(), strict=True)]


def _trades(trades: pd.DataFrame, times: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "entry_time": times[trade["entry_bar"]],
            "exit_time": times[trade["exit_bar"]],
            **{name: trade[name] for name in ("direction", "units", "entry_price", "exit_price", "pnl")},
        }
        for trade in trades.to_dict("records")
    ]
