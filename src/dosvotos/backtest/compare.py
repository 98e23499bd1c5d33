"""The A/B table: models on the same bars, and how sure their differences are."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.backtest.cuts import Cuts
from dosvotos.backtest.evidence import INTERVAL, sharpe_difference_draws
from dosvotos.backtest.metrics import annual_return, drawdowns, sharpe_ratio, sortino_ratio
from dosvotos.backtest.report import BacktestReport
from dosvotos.backtest.resampling import Bootstrap
from dosvotos.backtest.stress import Stress
from dosvotos.contracts.experiment import ExperimentContract, flatten
from dosvotos.contracts.records import Record
from dosvotos.errors import ParameterError
from dosvotos.market.calendar import session_dates
from dosvotos.market.splits import splits_of

ABSENT = "absent"


class Contestant(NamedTuple):
    """One model and the backtest behind its proposal."""

    name: str
    """Its experiment."""
    proposal_id: int
    model_id: str
    contract: ExperimentContract
    closes: pd.Series
    """Of the test window's bars; index bar open, UTC."""
    report: BacktestReport


class Entry(Record):
    """One model's side of the table."""

    name: str
    proposal_id: int
    model_id: str
    model_hash: str
    sample: str
    metrics: dict[str, float | int | bool | None]
    """Of the compared sessions; over an intersection those that daily returns and marks give."""
    equity: dict[str, float]
    """At the end of each compared session, by ISO date, the start being 1."""
    stress: Stress | None
    """At other costs and delays; None over an intersection."""
    cuts: Cuts | None
    """By month, year and volatility regime; None over an intersection."""


class Pair(Record):
    """Two models on the same sessions."""

    a: str
    b: str
    sharpe_difference: float | None
    """Annual, a minus b; None where one has no variance."""
    interval_90: tuple[float, float] | None
    """Paired stationary bootstrap, percentiles."""
    probability_a_beats_b: float | None
    """Share of the replications in which a's Sharpe ratio is the higher; a tie counts half."""


class ContractDifference(Record):
    """A parameter that the contracts do not share."""

    parameter: str
    values: dict[str, Any]
    """By experiment; ``absent`` where a contract has none."""


class Comparison(Record):
    """The A/B table."""

    instrument: str
    experiments: tuple[str, ...]
    first_session: date
    last_session: date
    sessions: int
    intersected: bool
    left_out: dict[str, int]
    """Sessions of each model's window that are not compared."""
    replications: int
    seed: int
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    contracts: tuple[ContractDifference, ...]


def sessions_to_compare(contestants: Sequence[Contestant], intersect: bool = False) -> np.ndarray:
    """Find the sessions on which models can be compared, ``datetime64[D]``, from their bars alone.

    Parameters
    ----------
    contestants : sequence of Contestant
        At least two, of one instrument.
    intersect : bool
        Take the sessions whose bars are the same in all windows, where not all are.

    Raises
    ------
    ParameterError
        If the instruments differ; if the bars differ and `intersect` is off, or nothing is left.
    """
    _check_instruments(contestants)
    windows = _windows(contestants)
    common = _common_sessions(contestants, windows)
    if not intersect and any(len(window) > len(common) for window in windows):
        raise ParameterError(_describe_windows(contestants, windows, len(common)))
    if len(common) < 2:
        names = ", ".join(one.name for one in contestants)
        raise ParameterError(
            f"compare: {names} share {len(common)} sessions with the same bars; compare experiments on "
            "one feed"
        )
    return common


def compare(contestants: Sequence[Contestant], sessions: np.ndarray, bootstrap: Bootstrap) -> Comparison:
    """Compare models session by session, on those that `sessions_to_compare` found."""
    windows, days = _windows(contestants), sessions.astype(str)
    left_out = {one.name: len(own) - len(sessions) for one, own in zip(contestants, windows, strict=True)}
    whole = not any(left_out.values())
    returns = {one.name: np.array([one.report.daily_returns[day] for day in days]) for one in contestants}
    return Comparison(
        instrument=contestants[0].contract.parameters.experiment.instrument,
        experiments=tuple(one.name for one in contestants),
        first_session=sessions[0].astype(object),
        last_session=sessions[-1].astype(object),
        sessions=len(sessions),
        intersected=not whole,
        left_out=left_out,
        replications=bootstrap.replications,
        seed=bootstrap.seed,
        entries=tuple(_entry(one, sessions, returns[one.name], whole) for one in contestants),
        pairs=tuple(_pair(a.name, b.name, returns, bootstrap) for a, b in combinations(contestants, 2)),
        contracts=contract_differences({one.name: one.contract for one in contestants}),
    )


def contract_differences(contracts: Mapping[str, ExperimentContract]) -> tuple[ContractDifference, ...]:
    """List parameters that differ, by full name in order, but the experiments' names and descriptions."""
    flat = {name: flatten(contract.frozen_config) for name, contract in contracts.items()}
    for name, contract in contracts.items():
        flat[name]["date_ranges.test.end"] = contract.test_end.isoformat()
    own = {"experiment.name", "experiment.description"}
    parameters = sorted(set().union(*flat.values()) - own)
    rows = ((key, {name: values.get(key, ABSENT) for name, values in flat.items()}) for key in parameters)
    return tuple(
        ContractDifference(parameter=key, values=values)
        for key, values in rows
        if any(value != next(iter(values.values())) for value in values.values())
    )


def _windows(contestants: Sequence[Contestant]) -> list[np.ndarray]:
    return [splits_of(one.contract.parameters)["test"].sessions() for one in contestants]


def _check_instruments(contestants: Sequence[Contestant]) -> None:
    traded = {one.name: one.contract.parameters.experiment.instrument for one in contestants}
    if len(set(traded.values())) > 1:
        listed = ", ".join(f"{name} trades {instrument}" for name, instrument in traded.items())
        raise ParameterError(f"compare: models of one instrument only; {listed}; leave one out")


def _common_sessions(contestants: Sequence[Contestant], windows: Sequence[np.ndarray]) -> np.ndarray:
    """Find the sessions of all windows in which every model saw the same bars at the same closes."""
    common = set(windows[0].tolist()).intersection(*(window.tolist() for window in windows[1:]))
    first, *others = (one.closes for one in contestants)
    for other in others:
        pairs = pd.concat([first, other], axis=1, keys=["one", "other"])
        differs = ~(pairs["one"] == pairs["other"]).to_numpy()
        common -= set(session_dates(pd.DatetimeIndex(pairs.index[differs])).tolist())
    return np.array(sorted(common), dtype="datetime64[D]")


def _describe_windows(contestants: Sequence[Contestant], windows: Sequence[np.ndarray], n_common: int) -> str:
    listed = ", ".join(
        f"{one.name} was tested on {window[0]} to {window[-1]}"
        for one, window in zip(contestants, windows, strict=True)
    )
    return (
        f"compare: the bars differ: {listed}; {n_common} sessions have the same bars in all of them, which "
        "--intersect compares"
    )


def _entry(one: Contestant, sessions: np.ndarray, returns: np.ndarray, whole: bool) -> Entry:
    report = one.report
    return Entry(
        name=one.name,
        proposal_id=one.proposal_id,
        model_id=one.model_id,
        model_hash=report.model_hash,
        sample=report.sample,
        metrics=dict(report.metrics) if whole else _measure_sessions(one, sessions, returns),
        equity=dict(zip(sessions.astype(str).tolist(), np.cumprod(1 + returns).tolist(), strict=True)),
        stress=report.stress if whole else None,
        cuts=report.cuts if whole else None,
    )


def _measure_sessions(one: Contestant, sessions: np.ndarray, returns: np.ndarray) -> dict[str, float | None]:
    """Measure some of a window's sessions: their daily returns, and the marks within them chained."""
    times = pd.DatetimeIndex(pd.to_datetime([time for time, _ in one.report.equity_curve], utc=True))
    equity = np.array([value for _, value in one.report.equity_curve])
    before = np.concatenate([[one.contract.parameters.trading.initial_capital], equity[:-1]])
    growth = np.divide(equity, before, out=np.ones_like(equity), where=before > 0)
    kept = np.isin(session_dates(times), sessions)
    drawdown = float(drawdowns(np.concatenate([[1.0], np.cumprod(growth[kept])])).max())
    total = float(np.prod(1 + returns) - 1)
    return {
        "sharpe_ratio": sharpe_ratio(returns),
        "sortino_ratio": sortino_ratio(returns),
        "calmar_ratio": annual_return(total, len(returns)) / drawdown if drawdown > 0 else None,
        "max_drawdown": drawdown,
        "total_return": total,
        "worst_day": float(returns.min()),
    }


def _pair(a: str, b: str, returns: Mapping[str, np.ndarray], bootstrap: Bootstrap) -> Pair:
    one, other = sharpe_ratio(returns[a]), sharpe_ratio(returns[b])
    if one is None or other is None:
        return Pair(a=a, b=b, sharpe_difference=None, interval_90=None, probability_a_beats_b=None)
    draws = sharpe_difference_draws(returns[a], returns[b], bootstrap)
    low, high = np.quantile(draws, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return Pair(
        a=a,
        b=b,
        sharpe_difference=one - other,
        interval_90=(float(low), float(high)),
        probability_a_beats_b=float((draws > 0).mean() + (draws == 0).mean() / 2),
    )
