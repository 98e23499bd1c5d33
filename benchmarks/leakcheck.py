"""How long `dosvotos leakcheck` takes with its default probes, and whether the clean pipeline stays clean.

The real bars are measured where they are at hand, else a year of the sample market.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dosvotos.leakage.check import DEFAULT_PROBES, check_leaks

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.conftest import SHARED_DATA
from tests.leakage.markets import real_case, sample_case


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="24 probes on the sample market")
    quick = parser.parse_args().quick
    real = not quick and (SHARED_DATA / "usdcop_5m.parquet").is_file()
    case = real_case(SHARED_DATA) if real else sample_case()
    probes = 24 if quick else DEFAULT_PROBES
    check_leaks(case.pipeline, case.history, case.variables, 1)  # compiles
    started = time.perf_counter()
    report = check_leaks(case.pipeline, case.history, case.variables, probes)
    seconds = time.perf_counter() - started
    table = Table("probes", "count")
    for kind, count in report.probes.items():
        table.add_row(kind, str(count))
    Console(width=100).print(table)
    figures = {
        "bars": report.bars,
        "probes": sum(report.probes.values()),
        "seconds": round(seconds, 1),
        "false_alarms": len(report.findings()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
