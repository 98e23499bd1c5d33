"""The one account that reward, backtest and live share: mark to market, fill, fees and financing.

Size is all-in and units stay fixed between trades. Money is in the account's currency, costs are fractions of
the traded notional. Design, sections 3 and 9.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.errors import DataError
from dosvotos.market.calendar import session_dates

RUIN_SHARE = 0.01
DAYS_PER_YEAR = 365
_TRADE_FIELDS = ("entry_bar", "exit_bar", "direction", "units", "entry_price", "exit_price", "pnl")


@dataclass(frozen=True)
class Tape:
    """The market that an account trades: one split's session bars.

    Attributes
    ----------
    times : DatetimeIndex of shape (n_bars,), bar open, UTC
    close : ndarray of shape (n_bars,), positive and finite
    rate_difference : ndarray of shape (n_bars,), percent a year, fed funds minus TPM as known at each bar
    """

    times: pd.DatetimeIndex
    close: np.ndarray
    rate_difference: np.ndarray

    @classmethod
    def from_rows(cls, rows: pd.DataFrame) -> Self:
        """Take times, ``close`` and ``policy_rate_difference`` from the rows of a dataset split."""
        close, rate_difference = (rows[n].to_numpy(float) for n in ("close", "policy_rate_difference"))
        return cls(pd.DatetimeIndex(rows.index), close, rate_difference)

    def overnight_yield(self) -> np.ndarray:
        """Compute the financing that one unit of notional held long earns into each bar, shape (n_bars,).

        Zero inside a session; at a session's first bar the rate difference known at the last bar of the
        session before, over the calendar days between them.

        Raises
        ------
        DataError
            If the rate difference is unknown at a session's end.
        """
        days = session_dates(self.times)
        gap = np.diff(days).astype(int)
        rates = self.rate_difference[:-1] / 100 / DAYS_PER_YEAR * gap
        if np.isnan(rates[gap > 0]).any():
            first = days[:-1][np.isnan(rates) & (gap > 0)][0]
            raise DataError.of("financing_unknown", session=first)
        return np.concatenate([[0.0], np.where(gap > 0, rates, 0.0)])


@dataclass(frozen=True)
class Account:
    """One account over a tape, bar by bar; arrays of shape (n_bars,)."""

    equity: np.ndarray
    """At each close, after that close's fill and fees."""
    position: np.ndarray
    """-1, 0 or 1 after each close's fill."""
    fees: np.ndarray
    closed: np.ndarray
    """Closed round trips, shape (n_trades, 7): the columns of `trades`."""
    ruined: bool
    """Whether equity fell to 1% of the start, which ended the run."""

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Closed round trips: entry_bar, exit_bar, direction, units, entry_price, exit_price, pnl (net)."""
        columns = dict(zip(_TRADE_FIELDS, self.closed.T, strict=True))
        integers = {name: columns[name].astype(np.int64) for name in ("entry_bar", "exit_bar", "direction")}
        return pd.DataFrame(columns | integers)


@njit()
def mark(equity: float, units: float, last_price: float, price: float) -> float:
    """Mark to market: equity after the price moves from `last_price` to `price`."""
    return equity + units * (price - last_price)


@njit()
def fill(equity: float, units: float, target: float, price: float, cost: float) -> tuple[float, float, float]:
    """Fill a target position (-1, 0, 1) at `price`; return equity, units and fees afterwards.

    The exit fee comes first, the new units are what the remaining equity buys, the entry fee is charged on
    top. A target equal to the present direction trades nothing.
    """
    if np.sign(units) == target:
        return equity, units, 0.0
    exit_fee = cost * abs(units) * price
    equity -= exit_fee
    units = target * equity / price
    entry_fee = cost * abs(units) * price
    return equity - entry_fee, units, exit_fee + entry_fee


def run_account(
    tape: Tape, targets: np.ndarray, cost: float, capital: float, financed: bool = False
) -> Account:
    """Trade a sequence of targets over a tape.

    Parameters
    ----------
    tape : Tape
    targets : ndarray of shape (n_bars,)
        Position wanted at each bar's close: -1, 0 or 1. It fills at the close of the next bar.
    cost : float
        Fraction of the traded notional paid a side.
    capital : float
        Starting balance.
    financed : bool
        Whether positions held over a session's end accrue the rate difference.

    Returns
    -------
    Account

    Raises
    ------
    DataError
        If there is not one target of -1, 0 or 1 a bar, or a rate needed for financing is unknown.

    Notes
    -----
    An order decided on the last or last but one bar does not fill; a position still open closes at the last
    close with its fee. Equity at or below 1% of the start ends the run on the bar it happens: the position
    closes with its fee and equity, floored at 0, stays. A bar's equity is what its own fees leave: an order
    whose fees would leave no more than that closes the position and opens none.
    """
    positions = _as_positions(np.asarray(targets))
    if positions is None or len(positions) != len(tape.close):
        raise DataError(
            f"targets: one of -1, 0 or 1 is needed for each of {len(tape.close)} bars, found {len(targets)} "
            f"targets with values {np.unique(targets)[:5].tolist()}; give one target a bar"
        )
    carry = tape.overnight_yield() if financed else np.zeros(0)
    n_bars = len(tape.close)
    # NumPy asks the system for large pages, compiled code does not, and most of the time goes into new memory
    output = _Output(
        np.full(n_bars, capital), np.zeros(n_bars), np.zeros(n_bars), np.empty((n_bars, len(_TRADE_FIELDS)))
    )
    n_trades, ruined = _run(tape.close, positions, carry, cost, capital, output)
    return Account(output.equity, output.position, output.fees, output.trades[:n_trades].copy(), bool(ruined))


def _as_positions(targets: np.ndarray) -> np.ndarray | None:
    """The targets as int8, an eighth of the memory; None if one is not -1, 0 or 1."""
    with np.errstate(invalid="ignore"):
        positions: np.ndarray = targets.astype(np.int8)
    valid = positions.min(initial=0) >= -1 and positions.max(initial=0) <= 1
    return positions if valid and np.array_equal(positions, targets) else None


class _Output(NamedTuple):
    equity: np.ndarray
    position: np.ndarray
    fees: np.ndarray
    trades: np.ndarray
    """Of shape (n_bars, 7), _TRADE_FIELDS."""


@njit()
def _run(
    close: np.ndarray, targets: np.ndarray, carry: np.ndarray, cost: float, capital: float, output: _Output
) -> tuple[int, bool]:
    """Write the account into `output`; return how many trades it closed, and whether it was ruined."""
    (equity_curve, position, fees, trades), n_bars = output, len(close)
    n_trades, ruined, ruin, financed = 0, False, RUIN_SHARE * capital, len(carry) > 0
    equity, units, held = capital, 0.0, 0.0
    entry_bar, entry_price, entry_equity = 0, 0.0, capital
    for t in range(1, n_bars):
        equity = mark(equity, units, close[t - 1], close[t])
        if financed:
            equity += carry[t] * units * close[t - 1]
        ruined = equity <= ruin
        target = 0.0 if ruined or t == n_bars - 1 else float(targets[t - 1])
        if not ruined and held != target and fill(equity, units, target, close[t], cost)[0] <= ruin:
            ruined, target = True, 0.0
        if held != target:
            direction, closed_units = held, units
            exit_fee = cost * abs(units) * close[t]
            equity, units, fees[t] = fill(equity, units, target, close[t], cost)
            held = np.sign(units)
            if closed_units != 0.0:
                after_exit = equity + fees[t] - exit_fee
                trades[n_trades, 0], trades[n_trades, 1] = entry_bar, t
                trades[n_trades, 2], trades[n_trades, 3] = direction, closed_units
                trades[n_trades, 4], trades[n_trades, 5] = entry_price, close[t]
                trades[n_trades, 6] = after_exit - entry_equity
                n_trades += 1
                entry_equity = after_exit
            entry_bar, entry_price = t, close[t]
        if ruined:
            equity_curve[t:] = max(equity, 0.0)
            break
        equity_curve[t], position[t] = equity, held
    return n_trades, ruined
