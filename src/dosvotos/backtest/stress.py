"""The same decisions at other costs and with later fills."""

import numpy as np
import scipy

from dosvotos.backtest.metrics import Metrics, measure
from dosvotos.contracts.parameters import CostsParams, TradingParams
from dosvotos.contracts.records import Record
from dosvotos.market.accounting import Tape, run_account

WIDE_SPREAD_BPS = 75.0
"""The specification's spread of USD/COP."""
DELAYS = (0, 1, 2)
"""Bars a fill comes later than the next close."""
_BPS = 10_000


class CostCase(Record):
    """The result at one cost."""

    name: str
    """``none``, ``stated``, ``double`` or ``wide``: a spread of 75 bps, slippage and commission as stated."""
    cost_bps: float
    """Of the traded notional, a side."""
    metrics: Metrics


class DelayCase(Record):
    """The result with fills that come later."""

    bars: int
    """Existing bars beyond the next one, whose close is the fill of a backtest."""
    metrics: Metrics


class Stress(Record):
    """How much of a result other costs and later fills leave; the decisions stay those of the backtest."""

    costs: tuple[CostCase, ...]
    break_even_bps: float | None
    """Cost a side at which the net total return is zero; None if there is no gain without costs."""
    delays: tuple[DelayCase, ...]


def stress(tape: Tape, targets: np.ndarray, sessions: np.ndarray, trading: TradingParams) -> Stress:
    """Run a window's decisions again at other costs and delays.

    Parameters
    ----------
    tape : Tape
    targets : ndarray of shape (n_bars,)
        What the policy decided: it does not learn of the cost, and as in L5 it takes its orders for filled.
    sessions : ndarray of shape (n_sessions,), datetime64[D]
    trading : TradingParams
    """
    financed = trading.financing == "policy_rates"

    def measured(cost: float, delay: int) -> Metrics:
        account = run_account(tape, delayed(targets, delay), cost, trading.initial_capital, financed)
        return measure(account, tape.times, sessions)

    def case(name: str, cost: float) -> CostCase:
        return CostCase(name=name, cost_bps=cost * _BPS, metrics=measured(cost, 0))

    stated = trading.costs.per_side
    wide = CostsParams(**{**trading.costs.model_dump(), "spread_bps": WIDE_SPREAD_BPS}).per_side
    return Stress(
        costs=(case("none", 0.0), case("stated", stated), case("double", 2 * stated), case("wide", wide)),
        break_even_bps=break_even_bps(tape, targets, trading.initial_capital, financed),
        delays=tuple(DelayCase(bars=delay, metrics=measured(stated, delay)) for delay in DELAYS),
    )


def delayed(targets: np.ndarray, n_bars: int) -> np.ndarray:
    """Shift targets by so many existing bars; flat until then."""
    return np.concatenate([np.zeros(n_bars, targets.dtype), targets])[: len(targets)]


def break_even_bps(tape: Tape, targets: np.ndarray, capital: float, financed: bool) -> float | None:
    """Find the cost a side, in basis points, at which a sequence of targets neither gains nor loses.

    None if it gains nothing without costs.

    Notes
    -----
    The root of the net total return, not of the Sharpe ratio: a higher cost always lowers the former, each
    trade's factor being linear in it, so there is one root. A ruined account counts as a loss of everything:
    ruin comes at every higher cost too, and what it leaves does not fall with the cost.
    """

    def gain(cost: float) -> float:
        account = run_account(tape, targets, cost, capital, financed)
        return -1.0 if account.ruined else float(account.equity[-1] / capital - 1)

    if gain(0.0) <= 0.0:
        return None
    return float(scipy.optimize.brentq(gain, 0.0, 1.0, xtol=1e-9)) * _BPS
