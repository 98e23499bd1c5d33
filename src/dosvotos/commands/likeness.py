"""``dosvotos likeness``: compare the sample market of an experiment with the real market."""

from pathlib import Path

import pandas as pd

from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.errors import ParameterError
from dosvotos.files import write_file
from dosvotos.sources.raw_market import RawMarket


def experiment_parameters(env: str) -> Parameters:
    """Return the resolved parameters of an experiment of the project in the working folder.

    Raises
    ------
    ParameterError
        If the working folder is no project, or a parameter breaks a rule.
    """
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project

    folder = Path.cwd()
    if not (folder / "conf").is_dir() or not (folder / "pyproject.toml").is_file():
        raise ParameterError(f"likeness: run it in the project's folder, which holds conf/; was {folder}")
    bootstrap_project(folder)
    loader = settings.CONFIG_LOADER_CLASS(str(folder / "conf"), env=env, **settings.CONFIG_LOADER_ARGS)
    return read_parameters(loader["parameters"])


def write_likeness(parameters: Parameters, data: Path | None, page: Path, edge: float) -> tuple[int, int]:
    """Measure both markets, write the page, and count the figures inside their tolerance and all of them."""
    from dosvotos.reports.likeness import render_likeness
    from dosvotos.simulation.likeness import compare_figures
    from dosvotos.simulation.market import FIRST_SESSION, simulate_market
    from dosvotos.simulation.statistics import market_statistics

    real = None if data is None else _read_simulated_years(data)
    shown = {"start": FIRST_SESSION, "edge": edge, "hazards": "none"}
    sample = SampleMarketParams.model_validate({**parameters.sample_market.model_dump(), **shown})
    until = pd.Timestamp(parameters.data_acquisition.as_of)
    if real is not None:
        until = real.bars["timestamp"].max() + pd.Timedelta(days=1)
    market = simulate_market(sample, parameters.macro_variables.variables, until)
    measured = market_statistics(market.bars, market.macro)
    measured_real = None if real is None else market_statistics(real.bars, real.macro)
    name = f"seed {sample.seed}, edge {sample.edge:g}, {FIRST_SESSION} to {until.date()}"
    real_name = "published statistics of 2020 to 2026" if data is None else f"the files in {data}"
    html = render_likeness(measured, name, measured_real, real_name)
    write_file(page, html.encode())
    rows = compare_figures(measured.figures, None if measured_real is None else measured_real.figures)
    return sum(row.inside for row in rows), len(rows)


def _read_simulated_years(folder: Path) -> RawMarket:
    """Read the folder's market from the simulation's first session on, so that both span the same years."""
    from dosvotos.simulation.market import FIRST_SESSION
    from dosvotos.sources.files import read_folder

    raw = read_folder(folder)
    bars = raw.bars[raw.bars["timestamp"] >= pd.Timestamp(FIRST_SESSION, tz="UTC")]
    return RawMarket(bars, raw.macro[raw.macro["observation_date"] >= FIRST_SESSION])
