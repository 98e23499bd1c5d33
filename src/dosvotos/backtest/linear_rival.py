"""The linear rival beside a candidate on the same bars: whether a network is worth more than a ridge."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from dosvotos.backtest.evidence import sharpe_difference_interval
from dosvotos.backtest.metrics import Metrics, daily_returns, measure, sharpe_ratio
from dosvotos.backtest.resampling import Bootstrap
from dosvotos.contracts.records import Record
from dosvotos.market.accounting import Account, Tape

RivalStatus = Literal["compared", "same_policy", "undefined"]
"""The same policy where the candidate is the linear rival; undefined where a Sharpe ratio is."""


class RivalDifference(Record):
    """A candidate's Sharpe ratio against its linear rival's."""

    status: RivalStatus
    sharpe_ratio: float | None
    """The rival's, annual."""
    sharpe_difference: float | None
    """Candidate minus rival; None unless compared."""
    interval_90: tuple[float, float] | None
    """Of `sharpe_difference`, by the paired stationary bootstrap."""

    @property
    def rival_is_better(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.interval_90 is not None and self.interval_90[1] < 0

    @property
    def rival_is_worse(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.interval_90 is not None and self.interval_90[0] > 0


class LinearRivalReport(Record):
    """L4: the linear rival over the candidate's window, at the same costs and financing."""

    model_hash: str
    metrics: Metrics
    daily_returns: dict[str, float]
    """Net, of every scheduled session, by Bogota date."""
    difference: RivalDifference


def report_linear_rival(
    account: Account,
    tape: Tape,
    rival_hash: str,
    own_hash: str,
    own: Mapping[str, float],
    bootstrap: Bootstrap,
) -> LinearRivalReport:
    """Measure the linear rival's account, and compare the candidate with it.

    Parameters
    ----------
    account : Account
        The rival's, over `tape`.
    tape : Tape
    rival_hash, own_hash : str
        Policies of the rival and of the candidate.
    own : mapping of float by ISO date
        The candidate's net returns of every scheduled session of the window.
    bootstrap : Bootstrap
    """
    sessions = np.array(list(own), dtype="datetime64[D]")
    returns = daily_returns(account.equity, tape.times, sessions)
    return LinearRivalReport(
        model_hash=rival_hash,
        metrics=measure(account, tape.times, sessions),
        daily_returns=dict(zip(own, returns.tolist(), strict=True)),
        difference=_difference(np.array(list(own.values())), returns, rival_hash == own_hash, bootstrap),
    )


def _difference(
    own: np.ndarray, rival: np.ndarray, same_policy: bool, bootstrap: Bootstrap
) -> RivalDifference:
    new, old = sharpe_ratio(own), sharpe_ratio(rival)
    if same_policy or new is None or old is None:
        status: RivalStatus = "same_policy" if same_policy else "undefined"
        return RivalDifference(status=status, sharpe_ratio=old, sharpe_difference=None, interval_90=None)
    return RivalDifference(
        status="compared",
        sharpe_ratio=old,
        sharpe_difference=new - old,
        interval_90=sharpe_difference_interval(own, rival, bootstrap),
    )
