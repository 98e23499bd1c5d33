"""The same targets through vectorbt and backtesting.py, and their curves through empyrical.

Run as ``python -m tests.backtest.peers CASES PRINTED ANSWERS`` (three JSON files; PRINTED is what a document
prints for vectorbt, and closes for its catalog), in a process of its own: the peers
change pandas, plotly and warnings where they are imported. Nothing of dosvotos is imported here, so that
nothing can agree with itself. docs/backtest.md says what each peer does differently, and what is done
about it.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["NUMBA_DISABLE_JIT"] = "1"  # compiling vectorbt takes longer than running it on these lengths
os.environ["MPLBACKEND"] = "Agg"

import backtesting
import empyrical
import numpy as np
import pandas as pd
import vectorbt as vbt

RUIN_SHARE = 0.01
SESSIONS_PER_YEAR = 245
UNIT = 1e-6
"""Smallest part of a unit that backtesting.py, which counts in whole ones, can be made to trade."""


def wanted_positions(targets: np.ndarray) -> np.ndarray:
    """Position wanted at each close: the target of the bar before, and none at the last close."""
    return np.concatenate([[0], targets[:-2], [0]])[: len(targets)]


def left_by_fees(equity: float, held: float, target: float, price: float, cost: float) -> float:
    """What the fees of an order to `target` would leave."""
    exit_fee = cost * abs(held) * price
    return (equity - exit_fee) * (1 - cost * abs(target))


def vectorbt_account(close: np.ndarray, wanted: np.ndarray, cost: float, capital: float) -> dict[str, Any]:
    """Let vectorbt keep cash, fees and trades.

    It spends no more than its cash, and our entry fee comes on top of an all-in position: so it is lent the
    capital once more, which no size is taken from and which is taken off its value again.
    """
    ruined = [False]

    def order(c: Any) -> Any:
        price, held, target = close[c.i], c.position_now, wanted[c.i]
        equity = c.cash_now - capital + held * price
        if ruined[0] or (c.i > 0 and equity <= RUIN_SHARE * capital):
            ruined[0], target = True, 0.0
        if (
            np.sign(held) != target
            and left_by_fees(equity, held, target, price, cost) <= RUIN_SHARE * capital
        ):
            ruined[0], target = True, 0.0
        if np.sign(held) == target:
            return vbt.portfolio.nb.order_nothing_nb()
        units = target * (equity - cost * abs(held) * price) / price
        return vbt.portfolio.nb.order_nb(size=units - held, price=price, fees=cost)

    folio = vbt.Portfolio.from_order_func(pd.Series(close), order, init_cash=2 * capital)
    equity = (folio.value() - capital).clip(lower=0.0)
    fees = np.zeros(len(close))
    np.add.at(fees, folio.orders.values["idx"], folio.orders.values["fees"])
    trades = folio.trades.records
    return {
        "equity": equity.tolist(),
        "fees": fees.tolist(),
        "pnl": trades["pnl"].tolist(),
        "entry_bar": trades["entry_idx"].tolist(),
        "exit_bar": trades["exit_idx"].tolist(),
        "max_drawdown": -float(equity.vbt.drawdown().min()),
    }


def backtesting_account(close: np.ndarray, wanted: np.ndarray, cost: float, capital: float) -> dict[str, Any]:
    """Let backtesting.py keep the account, at its close prices.

    A bar is added after the last, in which what was ordered there is filled; prices are scaled so that a
    whole unit is a millionth of ours; equity shows a fill one bar late.
    """

    class Follow(backtesting.Strategy):
        def init(self) -> None:
            self.ruined = False

        def next(self) -> None:
            bar = len(self.data) - 1
            if bar >= len(wanted):
                return
            price, target = self.data.Close[-1], wanted[bar]
            if self.ruined or self.equity <= RUIN_SHARE * capital:
                self.ruined, target = True, 0
            held = self.position.size
            left = left_by_fees(self.equity, held, target, price, cost)
            if np.sign(held) != target and left <= RUIN_SHARE * capital:
                self.ruined, target = True, 0
            if np.sign(held) == target:
                return
            equity = self.equity - cost * abs(self.position.size) * price
            self.position.close()
            if target:
                (self.buy if target > 0 else self.sell)(size=round(equity / price))

    scaled = np.append(close, close[-1]) * UNIT
    days = pd.date_range("2000-01-01", periods=len(scaled))
    bars = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), scaled), index=days)
    run = backtesting.Backtest(
        bars, Follow, cash=capital, commission=cost, margin=0.1, trade_on_close=True, finalize_trades=False
    ).run()
    trades = run["_trades"].sort_values(["ExitBar", "EntryBar"])
    return {
        "equity_one_bar_late": run["_equity_curve"]["Equity"].tolist(),
        "fees": float(trades["Commission"].sum()),
        "pnl": trades["PnL"].tolist(),
        "entry_bar": trades["EntryBar"].tolist(),
        "exit_bar": trades["ExitBar"].tolist(),
        "max_drawdown": -float(run["Max. Drawdown [%]"]) / 100,
    }


def empyrical_ratios(equity: np.ndarray, times: list[str], sessions: list[str]) -> dict[str, float]:
    """Ratios of a curve by empyrical: daily returns over all scheduled sessions, drawdown over all marks."""
    curve = pd.Series(equity, index=pd.DatetimeIndex(times).tz_convert("America/Bogota"))
    ends = curve.groupby(curve.index.strftime("%Y-%m-%d")).last().reindex(sessions).ffill()
    returns = ends.fillna(curve.iloc[0]).pct_change()
    returns.iloc[0] = ends.fillna(curve.iloc[0]).iloc[0] / curve.iloc[0] - 1
    returns = returns.fillna(0.0)
    annual = {"annualization": SESSIONS_PER_YEAR}
    return {
        "sharpe_ratio": float(empyrical.sharpe_ratio(returns, **annual)),
        "sortino_ratio": float(empyrical.sortino_ratio(returns, **annual)),
        "annual_return": float(empyrical.annual_return(returns, **annual)),
        "total_return": float(empyrical.cum_returns_final(returns)),
        "worst_day": float(returns.min()),
        "max_drawdown": -float(empyrical.max_drawdown(curve.pct_change().fillna(0.0))),
    }


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """Ask all peers about one case."""
    close, wanted = np.array(case["close"]), wanted_positions(np.array(case["targets"]))
    account = vectorbt_account(close, wanted, case["cost"], case["capital"])
    return {
        "vectorbt": account,
        "backtesting": backtesting_account(close, wanted, case["cost"], case["capital"]),
        "empyrical": empyrical_ratios(np.array(account["equity"]), case["times"], case["sessions"]),
    }


def values_of_printed(printed: dict[str, Any]) -> list[float]:
    """Run a document's lines for vectorbt on closes, and give what `folio` is worth at each bar."""
    train = pd.DataFrame({"close": printed["close"]}, index=pd.DatetimeIndex(printed["times"]))
    names: dict[str, Any] = {"catalog": SimpleNamespace(load={"train": train}.__getitem__)}
    exec(printed["code"], names)
    return [float(value) for value in names["folio"].value()]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cases = json.loads(Path(sys.argv[1]).read_text())
    answers = {name: answer(case) for name, case in cases.items()}
    answers["printed"] = values_of_printed(json.loads(Path(sys.argv[2]).read_text()))
    Path(sys.argv[3]).write_text(json.dumps(answers))
