"""``dosvotos leakcheck``: no feature sees the future, shown on the user's own data and experiment."""

import importlib
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from dosvotos.commands.likeness import experiment_parameters
from dosvotos.console import open_console, plain_table
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FEATURE_VARIABLES, SOURCES_BY_FEATURE, TECHNICAL_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import database_url, open_existing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.market_data import StoredMarket
from dosvotos.errors import ParameterError
from dosvotos.formats import MISSING
from dosvotos.leakage.check import check_leaks
from dosvotos.leakage.pipeline import BARS, CLOCK, Dataset, FeaturePipeline, pipeline_from_function
from dosvotos.leakage.probe_log import short_name
from dosvotos.leakage.report import RULES, LeakReport
from dosvotos.market.dataset import SPLITS
from dosvotos.market.features import MarketHistory
from dosvotos.pipelines.dataset.nodes import compute_features, freeze_contract, select_history, split_dataset
from dosvotos.policy.strategy import Strategy, read_strategy

INPUTS_BY_FEATURE: Final = {
    **dict.fromkeys((*TECHNICAL_FEATURES, "close"), (BARS,)),
    **{name: tuple(FEATURE_VARIABLES[v] for v in inputs) for name, inputs in SOURCES_BY_FEATURE.items()},
    "time_normalized": (CLOCK,),
}
"""The inputs of each column that L2 computes, and no others."""


def dataset_pipeline(contract: ExperimentContract) -> FeaturePipeline:
    """Return L2's own nodes as the pipeline under test, with an own strategy's targets if there is one."""

    def dataset(frame: pd.DataFrame) -> Dataset:
        *splits, norm_stats = split_dataset(contract, frame)
        rows = dict(zip(SPLITS, splits, strict=True))
        names = list(norm_stats.features)
        scaled = {
            name: pd.DataFrame(norm_stats.apply(split[names].to_numpy()), split.index, names)
            for name, split in rows.items()
        }
        stats = pd.DataFrame({"mean": norm_stats.mean, "std": norm_stats.std}, index=names)
        return Dataset(rows, scaled, stats)

    embargo, calendar = contract.parameters.splits.embargo_sessions, contract.parameters.calendar
    name, features = f"of {contract.contract_id}", partial(compute_features, contract)
    if (own := contract.parameters.candidate) is not None and not own.is_file:
        features = partial(_with_target, contract, read_strategy(Path(), contract))
    return FeaturePipeline(name, features, dataset, embargo, INPUTS_BY_FEATURE, calendar=calendar)


def _with_target(
    contract: ExperimentContract, strategy: Strategy, bars: pd.DataFrame, macro: pd.DataFrame
) -> pd.DataFrame:
    rows = compute_features(contract, bars, macro)
    return rows.assign(target=strategy.decide(rows))


def load_experiment(parameters: Parameters) -> tuple[ExperimentContract, MarketHistory]:
    """Load an experiment's contract, or the one its first run would make, and the history L2 works on now.

    Raises
    ------
    DataError
        If no bars, or no observations that features need, are stored.
    """
    engine = open_existing(database_url())
    bar_table, macro_tables = StoredMarket(engine, parameters.experiment.instrument, parameters.feed).tables
    ledger = TrialLedger(engine, parameters.experiment.instrument)
    contract = freeze_contract(parameters, ContractRegistry(engine), bar_table, ledger, datetime.now(UTC))
    return contract, MarketHistory(*select_history(contract, bar_table, macro_tables))


def import_pipeline(reference: str, contract: ExperimentContract) -> FeaturePipeline:
    """Import a user's feature function or `FeaturePipeline` by ``package.module:name``, from this folder on.

    A function of (bars, macro) is tested with the experiment's splits.

    Raises
    ------
    ParameterError
        If it cannot be imported, or is neither.
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise ParameterError(
            f"--features: must be package.module:function, was {reference!r}; write my_features:features"
        )
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ParameterError(
            f"--features: {reference!r} cannot be imported: {error}; correct the name, or start the "
            "command where the file lies"
        ) from error
    if isinstance(found, FeaturePipeline):
        return found
    if not callable(found):
        raise ParameterError(
            f"--features: {reference!r} must be a function of (bars, macro), was {found!r}; "
            "docs/leakcheck.md has one"
        )
    return pipeline_from_function(reference, found, contract.parameters)


def run_leakcheck(env: str, features: str | None, n_probes: int, seed: int) -> LeakReport:
    """Check an experiment's own features, or those that `features` refers to, on what is stored."""
    contract, history = load_experiment(experiment_parameters(env))
    pipeline = dataset_pipeline(contract) if features is None else import_pipeline(features, contract)
    variables = contract.parameters.macro_variables.variables
    with Progress(transient=True, console=open_console(stderr=True)) as progress:
        task = progress.add_task("probing", total=n_probes)
        return check_leaks(
            pipeline, history, variables, n_probes, seed, on_probe=lambda: progress.advance(task)
        )


def print_report(report: LeakReport) -> None:
    """Print a table of the features, then each finding; no name, date or number is cut at any width."""
    console = open_console()
    console.print(_feature_table(report))
    for finding in report.findings():
        count = f" ({finding.n_probes} probes)" if finding.n_probes > 1 else ""
        rule = f"{finding.rule}: {RULES[finding.rule]}{count}"
        console.print(rule, style="bold red", markup=False, soft_wrap=True)
        console.print(f"  {finding.detail}", markup=False, soft_wrap=True)
        if finding.hint:
            console.print(f"  looks like: {finding.hint}", markup=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    console.print(conclusion(report), markup=False, soft_wrap=True)


def _feature_table(report: LeakReport) -> Table:
    table = plain_table("feature", "verdict", "probes", "moved by")
    for feature in report.features:
        style = "green" if feature.verdict == "clean" else "red" if feature.findings else "yellow"
        verdict = Text(feature.verdict, style)
        moved_by = ", ".join(map(short_name, feature.inputs)) or MISSING
        table.add_row(Text(feature.feature), verdict, f"{feature.probes}", Text(moved_by))
    return table


def conclusion(report: LeakReport) -> str:
    """Write the result in one sentence."""
    made = f"{sum(report.probes.values())} probes on {report.bars:,} bars, seed {report.seed}"
    if report.clean:
        return f"clean: nothing saw the future in {made}"
    subjects = sorted({finding.subject for finding in report.findings()})
    if not subjects:
        return (
            f"unproven: {', '.join(report.unproven)}: neither bars nor macro values moved it, or it had no "
            f"value; nothing else saw the future in {made}"
        )
    return f"not clean: {', '.join(subjects)} ({made})"
