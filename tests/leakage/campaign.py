"""The long campaign: every planted leak and the clean pipeline, default probes, many seeds.

``python -m tests.leakage.campaign [seeds] [clean | name ...]`` prints a row a plant and ends with one JSON object.
A check's first probes are the same however many follow, and what they find stays found: a plant is looked for
with `FEW` probes, and with the default number only where those missed it.
"""  # noqa: E501

import json
import sys
import time

from dosvotos.leakage.check import DEFAULT_PROBES, check_leaks
from dosvotos.leakage.pipeline import FeaturePipeline
from tests.conftest import SHARED_DATA
from tests.leakage.markets import Case, real_case, sample_case
from tests.leakage.planted_leaks import PLANTS

FEW = 24


def rules_found(case: Case, pipeline: FeaturePipeline, n_probes: int, seed: int) -> set[str]:
    """The rules a check finds broken."""
    report = check_leaks(pipeline, case.history, case.variables, n_probes, seed)
    return {finding.rule for finding in report.findings()}


def caught(case: Case, name: str, seeds: range) -> tuple[int, int]:
    """Of how many seeds few probes find a planted leak, and the default number of them."""
    plant, rules = PLANTS[name]
    pipeline = plant(case.pipeline, case.contract)
    missed = [seed for seed in seeds if not rules_found(case, pipeline, FEW, seed) & rules]
    lost = [seed for seed in missed if not rules_found(case, pipeline, DEFAULT_PROBES, seed) & rules]
    if lost:
        print(f"{name}: missed with seeds {lost}", flush=True)
    return len(seeds) - len(missed), len(seeds) - len(lost)


def false_alarms(market: str, case: Case, seeds: range) -> int:
    """How many seeds find something in the clean pipeline."""
    started = time.perf_counter()
    false = [seed for seed in seeds if rules_found(case, case.pipeline, DEFAULT_PROBES, seed)]
    seconds = (time.perf_counter() - started) / len(seeds)
    print(f"clean pipeline, {market}: {len(false)} of {len(seeds)} alarms, {seconds:.1f} s each", flush=True)
    return len(false)


def main() -> None:
    """Run, print, and fail if a leak was missed or an alarm was false."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    asked = sys.argv[2:] or [*PLANTS, "clean"]
    names = [name for name in asked if name != "clean"]
    alarms = total = 0
    for name in names:
        few, default = caught(sample_case(), name, seeds)
        print(f"{name}: {few} of {len(seeds)} with {FEW} probes, {default} with {DEFAULT_PROBES}", flush=True)
        total += default
    if "clean" in asked:
        alarms += false_alarms("sample", sample_case(), seeds)
        if (SHARED_DATA / "usdcop_5m.parquet").is_file():
            alarms += false_alarms("real", real_case(SHARED_DATA), seeds)
    figures = {"planted": len(names) * len(seeds), "caught": total, "false_alarms": alarms}
    print(json.dumps(figures))
    sys.exit(0 if total == figures["planted"] and not alarms else 1)


if __name__ == "__main__":
    main()
