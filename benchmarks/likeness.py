"""How like the real market simulated ones are, what their oracle earns, and how long they take.

Each seed is six years; a figure's mean and spread between seeds stand beside the published one and the
tolerance that the likeness page states. The oracle trades windows of 260 sessions at base costs.
"""

import argparse
import json
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table

from dosvotos.backtest.metrics import measure
from dosvotos.contracts.acquisition import MacroVariable, MacroVariablesParams
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.calendar import session_dates
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.simulation.likeness import ComparedFigure, compare_figures
from dosvotos.simulation.market import FIRST_SESSION, SimulatedMarket, simulate_market
from dosvotos.simulation.oracle import oracle_targets
from dosvotos.simulation.statistics import market_statistics
from dosvotos.sources.checks import add_published_at

END = pd.Timestamp("2026-01-15 23:30", tz="UTC")
DEMO_START, DEMO_NOW = date(2022, 1, 3), pd.Timestamp("2026-11-20 23:00", tz="UTC")
EDGE, COST, WINDOW = 0.45, 3.5e-4, 260

Variables = Mapping[str, MacroVariable]


def known_variables() -> Variables:
    conf = Path(__file__).parents[1] / "conf/base/parameters/macro_variables.yml"
    content = yaml.safe_load(conf.read_text("utf-8"))["macro_variables"]
    return MacroVariablesParams.model_validate(content).variables


def simulated(seed: int, edge: float, variables: Variables) -> SimulatedMarket:
    return simulate_market(SampleMarketParams(seed=seed, start=FIRST_SESSION, edge=edge), variables, END)


def compared(seed: int, edge: float, variables: Variables) -> list[ComparedFigure]:
    return compare_figures(market_statistics(*simulated(seed, edge, variables)).figures)


def oracle_sharpes(seed: int, variables: Variables) -> list[float]:
    """Net, of each window."""
    market = simulated(seed, EDGE, variables)
    macro = add_published_at(market.macro.assign(vintage="simulated", source="sample"), variables)
    rows = market_features(MarketHistory(market.bars.set_index("timestamp"), macro), variables)
    times, close = pd.DatetimeIndex(rows.index), market.bars["close"].to_numpy()
    targets, sharpes = oracle_targets(rows, EDGE, COST), []
    for start in range(0, len(rows) - WINDOW * 60 + 1, WINDOW * 60):
        part = slice(start, start + WINDOW * 60)
        tape = Tape(times[part], close[part], np.zeros(WINDOW * 60))
        account = run_account(tape, targets[part], COST, 100_000.0)
        sharpes.append(measure(account, tape.times, np.unique(session_dates(tape.times))).sharpe_ratio)
    return sharpes


def demo_seconds(variables: Variables) -> float:
    """Of the market that demo stores, the best of three."""
    params, seconds = SampleMarketParams(seed=1, start=DEMO_START, edge=EDGE), []
    for _ in range(3):
        started = time.perf_counter()
        simulate_market(params, variables, DEMO_NOW)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def likeness_table(runs: list[list[ComparedFigure]]) -> Table:
    table = Table("figure", "published", "mean", "spread", "tolerance", "asked for", "seeds inside")
    for rows in zip(*runs, strict=True):
        sample, first = np.array([row.sample for row in rows]), rows[0]
        asked = abs(sample.mean() - first.real) + 2.5 * sample.std(ddof=1)
        numbers = (first.real, sample.mean(), sample.std(ddof=1), first.tolerance, asked)
        inside = np.mean([row.inside for row in rows])
        table.add_row(first.name, *(f"{number:.4g}" for number in numbers), f"{inside:.0%}")
    return table


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four seeds instead of 24")
    seeds = range(4 if parser.parse_args().quick else 24)
    variables = known_variables()
    plain = [compared(seed, 0.0, variables) for seed in seeds]
    planted = [compared(seed, EDGE, variables) for seed in seeds]
    sharpes = [oracle_sharpes(seed, variables) for seed in seeds]
    Console(width=130).print(likeness_table(plain))
    by_seed = np.mean(sharpes, axis=1)
    figures = {
        "seeds": len(seeds),
        "figures": len(plain[0]),
        "inside": np.mean([[row.inside for row in rows] for rows in plain]),
        "inside_with_edge": np.mean([[row.inside for row in rows] for rows in planted]),
        "oracle_sharpe": by_seed.mean(),
        "oracle_standard_error": by_seed.std(ddof=1) / np.sqrt(len(by_seed)),
        "oracle_5th_percentile": np.quantile(sharpes, 0.05),
        "oracle_95th_percentile": np.quantile(sharpes, 0.95),
        "simulate_seconds": demo_seconds(variables),
    }
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
