"""``dosvotos leakcheck``: no feature sees the future, shown on the user's own data and experiment."""

import importlib
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
from rich.progress import Progress

from dosvotos.commands.likeness import experiment_parameters
from dosvotos.console import open_console, plain_table
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES, TECHNICAL_FEATURES
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import database_url, open_existing
from dosvotos.database.contracts import ContractBook
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.errors import ParameterError
from dosvotos.leakage.check import check_leaks
from dosvotos.leakage.pipeline import BARS, CLOCK, Dataset, Pipeline, own_pipeline
from dosvotos.leakage.probes import short_name
from dosvotos.leakage.report import RULES, LeakReport
from dosvotos.market.dataset import SPLITS
from dosvotos.market.features import MarketHistory
from dosvotos.pipelines.dataset.nodes import (
    compute_features,
    freeze_contract,
    select_history,
    split_dataset,
)

_MACRO_INPUTS: Final = {
    "dxy_z": ("dxy",),
    "dxy_change_1d": ("dxy",),
    "vix_z": ("vix",),
    "embi_z": ("embi",),
    "brent_change_1d": ("brent",),
    "rate_spread": ("col10y", "ust10y"),
    "usdmxn_change_1d": ("usdmxn",),
}
HOUSE_INPUTS: Final = {
    **dict.fromkeys((*TECHNICAL_FEATURES, "close"), (BARS,)),
    **{name: tuple(MACRO_SOURCES[short] for short in inputs) for name, inputs in _MACRO_INPUTS.items()},
    "time_normalized": (CLOCK,),
    "policy_rate_difference": tuple(FINANCING_SOURCES.values()),
}
"""What each column of L2's features is made of, and nothing else."""


class Stored(NamedTuple):
    """An experiment's contract and the history it works on."""

    contract: ExperimentContract
    history: MarketHistory


def house_pipeline(contract: ExperimentContract) -> Pipeline:
    """L2's own nodes under test."""

    def features(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
        return compute_features(contract, bars, macro)

    def dataset(frame: pd.DataFrame) -> Dataset:
        *parts, norm_stats = split_dataset(contract, frame)
        rows = dict(zip(SPLITS, parts, strict=True))
        names = list(norm_stats.features)
        scaled = {
            name: pd.DataFrame(norm_stats.apply(part[names].to_numpy()), part.index, names)
            for name, part in rows.items()
        }
        stats = pd.DataFrame({"mean": norm_stats.mean, "std": norm_stats.std}, index=names)
        return Dataset(rows, scaled, stats)

    embargo = contract.parameters.splits.embargo_sessions
    return Pipeline(f"of {contract.contract_id}", features, dataset, embargo, HOUSE_INPUTS)


def stored_history(parameters: Parameters) -> Stored:
    """What L2 would work on now: the experiment's contract, or the one its first run would make.

    Raises
    ------
    DataError
        If no bars, or no observations that features need, are stored.
    """
    engine, instrument = open_existing(database_url()), parameters.experiment.instrument
    bar_table, macro_tables = BarTable(engine, instrument), MacroTables(engine, instrument)
    tree = parameters.model_dump(mode="json")
    contract = freeze_contract(tree, ContractBook(engine), bar_table)
    return Stored(contract, MarketHistory(*select_history(contract, bar_table, macro_tables)))


def load_features(place: str, contract: ExperimentContract) -> Pipeline:
    """Own code by its place, ``package.module:name``, found from the working folder on.

    The name is a function of (bars, macro), tested with the experiment's splits, or a `Pipeline`.

    Raises
    ------
    ParameterError
        If there is no such thing.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise ParameterError(f"--features: must be package.module:function, was {place!r}")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ParameterError(f"--features: {place!r} cannot be imported: {error}") from error
    if isinstance(found, Pipeline):
        return found
    if not callable(found):
        raise ParameterError(f"--features: {place!r} must be a function of (bars, macro), was {found!r}")
    return own_pipeline(place, found, contract.parameters)


def run_leakcheck(env: str, features: str | None, n_probes: int, seed: int) -> LeakReport:
    """Check an experiment's features, or own ones, on what is stored."""
    parameters = experiment_parameters(env)
    contract, history = stored_history(parameters)
    pipeline = house_pipeline(contract) if features is None else load_features(features, contract)
    variables = contract.parameters.macro_variables.variables
    with Progress(transient=True, console=open_console(stderr=True)) as progress:
        task = progress.add_task("probing", total=n_probes)
        return check_leaks(
            pipeline, history, variables, n_probes, seed, on_probe=lambda: progress.advance(task)
        )


def print_report(report: LeakReport) -> None:
    """Feature by feature, then every finding in words."""
    console = open_console()
    table = plain_table("feature", "verdict", "probes", "moved by")
    for feature in report.features:
        style = "green" if feature.verdict == "clean" else "red" if feature.findings else "yellow"
        moved_by = ", ".join(map(short_name, feature.inputs)) or "-"
        table.add_row(feature.feature, f"[{style}]{feature.verdict}[/]", f"{feature.probes}", moved_by)
    console.print(table)
    for finding in report.findings():
        times = f" ({finding.times} probes)" if finding.times > 1 else ""
        console.print(f"{finding.rule}: {RULES[finding.rule]}{times}", style="bold red", markup=False)
        console.print(f"  {finding.words}", markup=False)
        if finding.hint:
            console.print(f"  looks like: {finding.hint}", markup=False)
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    console.print(conclusion(report), markup=False)


def conclusion(report: LeakReport) -> str:
    """The result in one sentence."""
    made = f"{sum(report.probes.values())} probes on {report.bars:,} bars, seed {report.seed}"
    if report.clean:
        return f"clean: nothing saw the future in {made}"
    subjects = sorted({finding.subject for finding in report.findings()})
    return f"not clean: {', '.join(subjects)} ({made})"
