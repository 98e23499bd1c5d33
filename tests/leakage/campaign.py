"""The long campaign: every planted leak and the clean pipeline, default probes, many seeds.

``python -m tests.leakage.campaign [seeds] [name ...]`` prints a row a plant and ends with one JSON object.
"""

import json
import sys
import time

from dosvotos.leakage.check import DEFAULT_PROBES, check_leaks
from dosvotos.leakage.pipeline import Pipeline
from tests.conftest import SHARED_DATA
from tests.leakage.markets import Case, real_case, sample_case
from tests.leakage.plants import PLANTS


def rules_found(case: Case, pipeline: Pipeline, seed: int) -> set[str]:
    """The rules a check with the default probes finds broken."""
    report = check_leaks(pipeline, case.history, case.variables, DEFAULT_PROBES, seed)
    return {finding.rule for finding in report.findings()}


def main() -> None:
    """Run, print, and fail if a leak was missed or an alarm was false."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    cases = {"sample": sample_case()}
    if (SHARED_DATA / "usdcop_5m.parquet").is_file():
        cases["real"] = real_case(SHARED_DATA)
    alarms = 0
    for market, case in cases.items():
        started = time.perf_counter()
        false = sum(bool(rules_found(case, case.house, seed)) for seed in seeds)
        seconds = (time.perf_counter() - started) / len(seeds)
        print(
            f"clean pipeline, {market}: {false} of {len(seeds)} false alarms, {seconds:.1f} s each",
            flush=True,
        )
        alarms += false
    case, caught = cases["sample"], 0
    plants = {name: PLANTS[name] for name in sys.argv[2:]} or PLANTS
    for name, (plant, rules) in plants.items():
        pipeline = plant(case.house, case.contract)
        count = sum(bool(rules_found(case, pipeline, seed) & rules) for seed in seeds)
        print(f"{name}: {count} of {len(seeds)}", flush=True)
        caught += count
    figures = {"planted": len(plants) * len(seeds), "caught": caught, "false_alarms": alarms}
    print(json.dumps(figures))
    sys.exit(0 if caught == figures["planted"] and not alarms else 1)


if __name__ == "__main__":
    main()
