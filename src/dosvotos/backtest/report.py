"""One account written down: figures, curves and trades, JSON-like."""

from typing import Any

import numpy as np
import pandas as pd

from dosvotos.backtest.metrics import daily_returns, drawdowns, measure
from dosvotos.hashing import digest_arrays
from dosvotos.market.accounting import Account, Tape


def account_report(account: Account, tape: Tape, sessions: np.ndarray) -> dict[str, Any]:
    """Metrics, equity and drawdown at every close, trades and daily returns (by ISO date)."""
    times = [time.isoformat() for time in tape.times]
    returns = daily_returns(account.equity, tape.times, sessions)
    return {
        "metrics": measure(account, tape.times, sessions).model_dump(),
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
