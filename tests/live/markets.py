"""A short simulated market as L0 would store it."""

from collections.abc import Mapping

import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.checks import add_published_at
from tests.conftest import parameters_of

UNTIL = pd.Timestamp("2023-02-10 23:00", tz="UTC")


def simulated(variables: Mapping[str, MacroVariable]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ten weeks of bars (index ``timestamp``) and the macro published by their end."""
    params = parameters_of(sample_market={"start": "2022-12-01"}).sample_market
    market = simulate_market(params, variables, UNTIL)
    macro = add_published_at(market.macro.assign(vintage="simulated", source="sample"), variables)
    return market.bars.assign(source="sample").set_index("timestamp"), macro
