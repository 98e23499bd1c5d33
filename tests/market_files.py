"""A simulated market as files a desk would bring, under the real market's names."""

from pathlib import Path

import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.simulation.market import simulate_market
from tests.conftest import AS_OF


def write_market(folder: Path, parameters: Parameters) -> None:
    """Write bars from 2022 on and all macro variables, a file a frequency, as CSV."""
    variables = parameters.macro_variables.variables
    made = simulate_market(parameters.sample_market, variables, pd.Timestamp(AS_OF))
    folder.mkdir(parents=True)
    bars = made.bars.assign(timestamp=made.bars["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    bars.to_csv(folder / "usdcop_5m.csv", index=False)
    frequency = made.macro["variable"].map(lambda name: variables[name].frequency)
    for name, rows in made.macro.groupby(frequency):
        rows[["variable", "observation_date", "value"]].to_csv(folder / f"macro_{name}.csv", index=False)
