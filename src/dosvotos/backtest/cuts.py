"""One result in parts: by month, by year, by how much the market moved, and without its best days."""

import numpy as np

from dosvotos.backtest.metrics import sharpe_ratio
from dosvotos.contracts.records import Record
from dosvotos.market.accounting import Tape
from dosvotos.market.calendar import BARS_PER_SESSION, session_dates

BEST_DAYS = 5
REGIMES = ("calm", "usual", "volatile")
"""Thirds of a window's sessions, by realised volatility."""


class Cut(Record):
    """Some of a window's sessions, taken by themselves."""

    name: str
    sessions: int
    total_return: float
    """Their daily returns, compounded."""
    sharpe_ratio: float | None


class Cuts(Record):
    """A result in parts; those of each tuple hold every session once, so their returns compound to all."""

    by_month: tuple[Cut, ...]
    by_year: tuple[Cut, ...]
    by_volatility: tuple[Cut, ...]
    """Calm, usual and volatile sessions; last, if there are any, ``unknown``: with fewer than two bars."""
    without_best_days: Cut
    """All sessions but the five with the highest returns."""


def cut_returns(returns: np.ndarray, sessions: np.ndarray, volatility: np.ndarray) -> Cuts:
    """Cut daily returns.

    Parameters
    ----------
    returns : ndarray of shape (n_sessions,), daily net returns
    sessions : ndarray of shape (n_sessions,), datetime64[D]
    volatility : ndarray of shape (n_sessions,)
        Of the market in each session; NaN where it is unknown.
    """
    best = np.argsort(-returns, kind="stable")[:BEST_DAYS]
    return Cuts(
        by_month=_by_name(returns, sessions.astype("datetime64[M]").astype(str)),
        by_year=_by_name(returns, sessions.astype("datetime64[Y]").astype(str)),
        by_volatility=_by_regime(returns, volatility),
        without_best_days=_cut("without_best_days", np.delete(returns, best)),
    )


def session_volatility(tape: Tape, sessions: np.ndarray) -> np.ndarray:
    """Estimate each session's volatility, the standard deviation of its return.

    Parameters
    ----------
    tape : Tape
    sessions : ndarray of shape (n_sessions,), datetime64[D]

    Returns
    -------
    ndarray of shape (n_sessions,)
        Root mean square of the moves between a session's closes, scaled to 60 bars; NaN with fewer than two.
    """
    days = session_dates(tape.times)
    within = days[1:] == days[:-1]
    moves = np.diff(np.log(tape.close))[within]
    session = np.searchsorted(sessions, days[1:][within])
    count = np.bincount(session, minlength=len(sessions))
    squares = np.bincount(session, weights=moves**2, minlength=len(sessions))
    known = count > 0
    volatility = np.full(len(sessions), np.nan)
    volatility[known] = np.sqrt(squares[known] / count[known] * BARS_PER_SESSION)
    return volatility


def _by_name(returns: np.ndarray, names: np.ndarray) -> tuple[Cut, ...]:
    return tuple(_cut(str(name), returns[names == name]) for name in np.unique(names))


def _by_regime(returns: np.ndarray, volatility: np.ndarray) -> tuple[Cut, ...]:
    known = np.isfinite(volatility)
    limits = np.quantile(volatility[known], [1 / 3, 2 / 3]) if known.any() else np.zeros(2)
    regime = np.array(REGIMES)[np.searchsorted(limits, volatility[known])]
    cuts = [_cut(name, returns[known][regime == name]) for name in REGIMES]
    return tuple(cut for cut in [*cuts, _cut("unknown", returns[~known])] if cut.sessions)


def _cut(name: str, returns: np.ndarray) -> Cut:
    return Cut(
        name=name,
        sessions=len(returns),
        total_return=float(np.prod(1 + returns) - 1),
        sharpe_ratio=sharpe_ratio(returns),
    )
