"""The histories that leaks are planted in."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dosvotos.commands.leakcheck import dataset_pipeline
from dosvotos.contracts.experiment import ExperimentContract, make_contract
from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES
from dosvotos.leakage.pipeline import FeaturePipeline
from dosvotos.market.dataset import resolve_test_end, select_bars, select_macro
from dosvotos.market.features import MarketHistory
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.checks import add_published_at
from dosvotos.sources.files import read_folder
from tests.conftest import parameters_of

USED = [*MACRO_SOURCES.values(), *FINANCING_SOURCES.values()]


class Case(NamedTuple):
    contract: ExperimentContract
    history: MarketHistory

    @property
    def pipeline(self) -> FeaturePipeline:
        return dataset_pipeline(self.contract)

    @property
    def variables(self):
        return self.contract.parameters.macro_variables.variables


@cache
def sample_case() -> Case:
    """A year of the smoke experiment's sample market, with the variables that feed features."""
    parameters = parameters_of("smoke")
    contract = make_contract(parameters, parameters.sample_market.test_end, "tester")
    variables = {name: parameters.macro_variables.variables[name] for name in USED}
    market = simulate_market(parameters.sample_market, variables, pd.Timestamp("2023-12-16", tz="UTC"))
    bars = select_bars(market.bars.set_index("timestamp"), contract.test_end)
    macro = add_published_at(market.macro.assign(vintage="simulated", source="sample"), variables)
    return Case(contract, MarketHistory(bars, macro))


@cache
def real_case(folder: Path) -> Case:
    """All real bars and variables under the second experiment's contract."""
    parameters = parameters_of("exp2_interbank_costs_v1", data_acquisition={"folder": str(folder)})
    raw = read_folder(folder)
    bars = raw.bars.sort_values("timestamp").set_index("timestamp")
    macro = add_published_at(raw.macro, parameters.macro_variables.variables)
    end = resolve_test_end(parameters, pd.DatetimeIndex(bars.index))
    bars = select_bars(bars, end)
    history = MarketHistory(bars, select_macro(macro, bars, parameters.macro_variables))
    return Case(make_contract(parameters, end, "tester"), history)
