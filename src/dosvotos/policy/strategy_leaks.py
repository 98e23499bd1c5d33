"""Whether a strategy of one's own sees the future: the leak check on its targets."""

from functools import partial
from typing import Final

import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import StrategyError
from dosvotos.leakage.check import check_leaks
from dosvotos.leakage.pipeline import FeaturePipeline
from dosvotos.leakage.report import LeakReport
from dosvotos.market.calendar import BOGOTA
from dosvotos.market.dataset import feature_rows
from dosvotos.market.features import MarketHistory
from dosvotos.market.splits import splits_of
from dosvotos.policy.strategy import Strategy

N_PROBES: Final = 60
"""Before every backtest; ``dosvotos leakcheck`` makes as many as it is asked for."""


def strategy_pipeline(strategy: Strategy, parameters: Parameters) -> FeaturePipeline:
    """Give the strategy as the leak check takes code: history in, one column of targets out."""
    targets = partial(target_frame, strategy, parameters)
    return FeaturePipeline(strategy.reference, targets, calendar=parameters.calendar, stateless=True)


def target_frame(
    strategy: Strategy, parameters: Parameters, bars: pd.DataFrame, macro: pd.DataFrame
) -> pd.DataFrame:
    """Compute a history's features and the strategy's targets of them, in the column ``target``."""
    rows = feature_rows(MarketHistory(bars, macro), parameters)
    return pd.DataFrame({"target": strategy.decide(rows)}, rows.index)


def check_strategy(
    strategy: Strategy, parameters: Parameters, bars: pd.DataFrame, macro: pd.DataFrame
) -> LeakReport:
    """Probe a strategy on the bars before its test: the look at test is not yet written.

    A constant, which nothing moves, is let through.

    Raises
    ------
    StrategyError
        Naming the first thing it knew too early.
    """
    first = pd.Timestamp(splits_of(parameters)["test"].first, tz=BOGOTA)
    before = MarketHistory(
        bars[bars.index < first], macro[macro["published_at"] < first].reset_index(drop=True)
    )
    variables = parameters.macro_variables.variables
    report = check_leaks(strategy_pipeline(strategy, parameters), before, variables, N_PROBES)
    if found := report.findings():
        raise StrategyError(
            f"candidate.targets {strategy.reference}: not judged, the leak check found: {found[0].detail}; "
            "'dosvotos leakcheck' says more"
        )
    return report
