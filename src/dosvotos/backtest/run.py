"""A whole backtest: a policy over one window, beside other costs, later fills and naive strategies."""

import numpy as np
import pandas as pd

from dosvotos.backtest.linear_rival import LinearRivalReport, report_linear_rival
from dosvotos.backtest.metrics import Metrics, measure
from dosvotos.backtest.naive import Naive, random_sharpe_percentile, random_traders
from dosvotos.backtest.report import BacktestResult, account_digest, account_report
from dosvotos.backtest.resampling import Bootstrap
from dosvotos.backtest.simulate import Decider, Rival, decide_targets
from dosvotos.backtest.stress import stress
from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import DataError
from dosvotos.market.accounting import Account, Tape, run_account
from dosvotos.simulation.oracle import oracle_targets


def run_backtest(
    policy: Decider, rows: pd.DataFrame, sessions: np.ndarray, parameters: Parameters, seed: int
) -> BacktestResult:
    """Run a policy over a window, and what a proposal sets beside it.

    Parameters
    ----------
    policy : ServedPolicy, FoldPolicies or Strategy
    rows : DataFrame
        Index bar open (UTC): raw MARKET_FEATURES, ``time_normalized``, ``close``, ``policy_rate_difference``.
    sessions : ndarray of shape (n_sessions,), datetime64[D]
        The window's scheduled sessions.
    parameters : Parameters
        The experiment's, for costs, financing and how many random traders there are.
    seed : int
        Of the random traders.
    """
    tape = Tape.from_rows(rows)
    targets = decide_targets(policy, rows)
    account = trade(tape, targets, parameters)
    with_financing, financing_note = _financed(tape, targets, parameters, sessions)
    return BacktestResult(
        **dict(account_report(account, tape, sessions)),
        backtest_hash=account_digest(account),
        metrics_without_financing=measure(trade(tape, targets, parameters, False), tape.times, sessions),
        metrics_with_financing=with_financing,
        financing_note=financing_note,
        stress=stress(tape, targets, sessions, parameters.trading),
        naive=_naive(account, tape, parameters, sessions, seed),
        oracle_sharpe=_oracle_sharpe(tape, rows, parameters, sessions),
    )


def run_linear_rival(
    rival: Rival | None,
    result: BacktestResult,
    rows: pd.DataFrame,
    parameters: Parameters,
    bootstrap: Bootstrap,
) -> LinearRivalReport | None:
    """Run a linear rival over the window of its candidate's `result`; it is no look.

    None without a rival. `rows` and `parameters` are those of `run_backtest`.
    """
    if rival is None:
        return None
    tape = Tape.from_rows(rows)
    account = trade(tape, decide_targets(rival.decider, rows), parameters)
    returns = result.daily_returns
    return report_linear_rival(account, tape, rival.model_hash, rival.candidate_hash, returns, bootstrap)


def trade(tape: Tape, targets: np.ndarray, parameters: Parameters, financed: bool | None = None) -> Account:
    """Run targets' account at an experiment's costs; `financed`, where given, overrides its financing."""
    trading = parameters.trading
    accrues = trading.financing == "policy_rates" if financed is None else financed
    return run_account(tape, targets, trading.costs.per_side, trading.initial_capital, accrues)


def _financed(
    tape: Tape, targets: np.ndarray, parameters: Parameters, sessions: np.ndarray
) -> tuple[Metrics | None, str | None]:
    """Measure the targets with financing; None, and why, where a policy rate is unknown."""
    try:
        return measure(trade(tape, targets, parameters, True), tape.times, sessions), None
    except DataError as error:
        return None, str(error)


def _naive(account: Account, tape: Tape, parameters: Parameters, sessions: np.ndarray, seed: int) -> Naive:
    trading, evidence = parameters.trading, parameters.evidence

    def always(side: int) -> Metrics:
        return measure(trade(tape, np.full(len(tape.close), side), parameters), tape.times, sessions)

    traders = random_traders(account.position, evidence.n_random_traders, seed)
    random_sharpe = random_sharpe_percentile(
        tape,
        sessions,
        traders,
        trading.costs.per_side,
        trading.initial_capital,
        evidence.naive_percentile,
        trading.financing == "policy_rates",
    )
    return Naive(always_long=always(1), always_short=always(-1), random_sharpe_p95=random_sharpe)


def _oracle_sharpe(
    tape: Tape, rows: pd.DataFrame, parameters: Parameters, sessions: np.ndarray
) -> float | None:
    edge = parameters.sample_market.edge
    if parameters.data_acquisition.source != "sample" or edge == 0:
        return None
    targets = oracle_targets(rows, edge, parameters.trading.costs.per_side)
    return measure(trade(tape, targets, parameters), tape.times, sessions).sharpe_ratio
