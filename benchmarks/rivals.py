"""What PPO is worth beside the linear rival: net Sharpe ratios on test, with the paired 90% interval.

Sample markets have their edge planted, null markets none, and the real one is read where ../shared/data is at
hand. PPO and its rival see the same train and val, under demo's parameters and splits. The rival's penalties
and thresholds were chosen on sample markets of seeds 101 to 124; those below were seen twice, after that.
"""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from kedro.config import OmegaConfigLoader
from rich.console import Console
from rich.table import Table

from dosvotos.backtest.evidence import sharpe_difference_interval
from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.run import trade
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.market.accounting import Tape
from dosvotos.market.dataset import SPLITS, feature_rows, resolve_test_end, select_bars, select_macro
from dosvotos.market.features import MarketHistory
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.market.splits import make_splits
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.settings import CONFIG_LOADER_ARGS
from dosvotos.simulation.market import simulate_market
from dosvotos.simulation.oracle import oracle_targets
from dosvotos.sources.checks import add_published_at
from dosvotos.sources.files import read_folder
from dosvotos.training.linear import fit_linear_rival

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"
SEEDS = (201, 202, 203, 204, 205, 206, 207, 208)
"""Of the sample markets; demo's own, 25, is measured beside them and counted in no median."""
NULL_SEEDS = (301, 302, 303, 304)
SIMULATED_UNTIL = pd.Timestamp("2026-08-01 06:00", tz="UTC")

Splits = dict[str, pd.DataFrame]


class Comparison(NamedTuple):
    """PPO beside its rival on one market's test window."""

    ppo: float
    linear: float
    oracle: float | None
    """None where nothing is planted."""
    interval: tuple[float, float] | None
    """Of PPO less linear, 90%."""
    linear_seconds: float


def tree_of(env: str) -> dict[str, Any]:
    """Resolve an experiment's parameters."""
    return dict(OmegaConfigLoader(str(ROOT / "conf"), env=env, **CONFIG_LOADER_ARGS)["parameters"])


def parameters_of(env: str, **changes: dict[str, Any]) -> Parameters:
    """An experiment's parameters, sections of them updated."""
    tree = tree_of(env)
    return read_parameters({**tree, **{name: {**tree[name], **values} for name, values in changes.items()}})


def simulated(seed: int, edge: float, env: str = "demo") -> tuple[Parameters, Splits]:
    """A sample market's parameters and splits, as L0 and L2 make them."""
    parameters = parameters_of(env, sample_market={"seed": seed, "edge": edge})
    variables = parameters.macro_variables.variables
    market = simulate_market(parameters.sample_market, variables, SIMULATED_UNTIL)
    macro = market.macro.assign(vintage="simulated", source="sample", fetched_at=SIMULATED_UNTIL)
    end = parameters.sample_market.test_end or SIMULATED_UNTIL.date()
    bars = select_bars(market.bars.set_index("timestamp"), end, parameters.calendar)
    return parameters, _splits(parameters, MarketHistory(bars, add_published_at(macro, variables)), end)


def real() -> tuple[Parameters, Splits]:
    """The real market at interbank costs, one seed."""
    acquisition = {"source": "files", "folder": str(REAL_DATA)}
    parameters = parameters_of(
        "exp2_interbank_costs_v1", data_acquisition=acquisition, training={"seeds": [42]}
    )
    raw = read_folder(REAL_DATA)
    bars = raw.bars.sort_values("timestamp").set_index("timestamp")
    end = resolve_test_end(parameters, pd.DatetimeIndex(bars.index))
    bars = select_bars(bars, end, parameters.calendar)
    macro = add_published_at(raw.macro, parameters.macro_variables.variables)
    history = MarketHistory(bars, select_macro(macro, bars, parameters.macro_variables))
    return parameters, _splits(parameters, history, end)


def _splits(parameters: Parameters, history: MarketHistory, end: date) -> Splits:
    rows = feature_rows(history, parameters)
    cut = make_splits(parameters.date_ranges, end, parameters.splits)
    return {name: cut[name].select(rows) for name in SPLITS}


def compare(parameters: Parameters, splits: Splits, quick: bool) -> Comparison:
    """Train PPO, fit its rival, and let both trade test."""
    from dosvotos.training.ppo import train

    norm_stats, test = fit_norm_stats(splits["train"]), splits["test"]
    started = time.perf_counter()
    rival = fit_linear_rival(parameters, splits["train"], splits["val"], norm_stats)
    seconds = time.perf_counter() - started
    if quick:
        phases = [
            {**one.model_dump(), "timesteps": one.timesteps // 10} for one in parameters.curriculum.phases
        ]
        changed = {**parameters.model_dump(), "curriculum": {"phases": phases}}
        parameters = read_parameters(changed)
    ppo = train(parameters, parameters.training.seeds[0], splits["train"], splits["val"], norm_stats)
    returns = [
        _returns(parameters, test, policy_targets(policy, test)) for policy in (ppo.policy, rival.policy)
    ]
    edge, oracle = parameters.sample_market.edge, None
    if parameters.data_acquisition.source == "sample" and edge > 0:
        targets = oracle_targets(test, edge, parameters.trading.costs.per_side)
        oracle = sharpe_ratio(_returns(parameters, test, targets))
    interval = sharpe_difference_interval(*returns, packaged_policy().evidence.bootstrap)
    own, linear = (sharpe_ratio(one) or 0.0 for one in returns)
    return Comparison(own, linear, oracle, interval, seconds)


def _returns(parameters: Parameters, test: pd.DataFrame, targets: np.ndarray) -> np.ndarray:
    tape = Tape.from_rows(test)
    cut = make_splits(parameters.date_ranges, test.index[-1].date(), parameters.splits)
    return daily_returns(trade(tape, targets, parameters).equity, tape.times, cut["test"].sessions())


def markets(quick: bool) -> Iterator[tuple[str, Parameters, Splits]]:
    """Each market by name, made when asked for."""
    for seed in SEEDS[: 1 if quick else None]:
        yield f"sample {seed}", *simulated(seed, 0.45)
    if quick:
        return
    yield "demo", *simulated(25, 0.45)
    for seed in NULL_SEEDS:
        yield f"null {seed}", *simulated(seed, 0.0)
    if REAL_DATA.is_dir():
        yield "real", *real()


def main() -> None:
    """Measure every market, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one market, a tenth of the steps")
    quick = parser.parse_args().quick
    found: dict[str, Comparison] = {}
    for name, parameters, splits in markets(quick):
        found[name] = compare(parameters, splits, quick)
    table = Table(
        "market", "PPO", "linear", "oracle", "PPO less linear, 90%", title="net Sharpe ratio on test"
    )
    for name, one in found.items():
        low, high = one.interval or (np.nan, np.nan)
        oracle = "" if one.oracle is None else f"{one.oracle:.2f}"
        table.add_row(name, f"{one.ppo:.2f}", f"{one.linear:.2f}", oracle, f"{low:+.2f} to {high:+.2f}")
    Console().print(table)
    planted = [one for name, one in found.items() if name.startswith("sample")]
    figures = {
        "ppo_share_of_oracle": float(np.median([one.ppo / (one.oracle or np.nan) for one in planted])),
        "linear_share_of_oracle": float(np.median([one.linear / (one.oracle or np.nan) for one in planted])),
        "vs_linear": float(np.median([one.ppo / one.linear for one in planted])),
        "clearly_worse_than_linear": sum(one.interval is not None and one.interval[1] < 0 for one in planted),
        "fit_seconds": float(np.median([one.linear_seconds for one in found.values()])),
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
