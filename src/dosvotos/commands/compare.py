"""``dosvotos compare``: experiments beside each other over their latest proposals."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Engine, Row

from dosvotos.backtest.compare import Comparison, Contestant, compare, sessions_to_compare
from dosvotos.backtest.report import BacktestReport
from dosvotos.console import open_console, plain_table
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.ledger import TrialLedger, judged_hash, look_at, look_of
from dosvotos.database.market_data import BarTable
from dosvotos.database.registry import list_proposals
from dosvotos.errors import AlteredError, ParameterError
from dosvotos.files import write_file
from dosvotos.market.dataset import select_bars
from dosvotos.market.splits import Split, splits_of
from dosvotos.promotion.dossier import read_report
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.promotion.own_strategy import kind_notices
from dosvotos.promotion.proposal import stored_evidence
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.reports.bilingual import Text
from dosvotos.reports.comparison import metric_rows, pair_rows, render_comparison
from dosvotos.reports.evidence import evidence_table


class Written(NamedTuple):
    """A comparison and the files it stands in."""

    comparison: Comparison
    looks: int
    evidence: dict[str, Evidence | None]
    """Of each model's proposal, by experiment; None where an older version wrote it."""
    notes: tuple[str, ...]
    """Which of the candidates are no single trained model."""
    page: Path
    data: Path


def write_comparison(
    engine: Engine, experiments: Sequence[str], folder: Path, intersect: bool, now: datetime
) -> Written:
    """Compare the latest proposals of experiments and write page and JSON; looks are written at `now`.

    Raises
    ------
    ParameterError, LineageError
        If an experiment has no proposal, its files are not those L4 wrote, or the two do not go together.
    """
    contestants = [_contestant(engine, name) for name in experiments]
    sessions = sessions_to_compare(contestants, intersect)
    looks = _record_looks(engine, contestants, sessions, now)
    comparison = compare(contestants, sessions, GatePolicies(engine).current().evidence.bootstrap)
    name = "comparison_" + "_vs_".join(experiments)
    page, data = folder / f"{name}.html", folder / f"{name}.json"
    proposals = {name: _latest(engine, name) for name in experiments}
    evidence = {name: stored_evidence(row) for name, row in proposals.items()}
    told = [_named(name, one) for name, row in proposals.items() for one in kind_notices(row)]
    notes = tuple(map(str, told))
    write_file(page, render_comparison(comparison, looks, evidence, told).encode())
    shown = {name: one and one.model_dump(mode="json") for name, one in evidence.items()}
    content = {**comparison.model_dump(mode="json"), "looks": looks, "evidence": shown, "notes": notes}
    write_file(data, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    return Written(comparison, looks, evidence, notes, page, data)


def _named(name: str, notice: Reason) -> Text:
    return Text.write(lambda language: f"{name}: {sentence(notice, language)}.")


def print_comparison(written: Written) -> None:
    """Print the A/B table and the paired evidence."""
    comparison, console = written.comparison, open_console()
    window = f"{comparison.first_session} to {comparison.last_session}, {comparison.sessions} sessions"
    sides = plain_table(window, *comparison.experiments)
    for column in sides.columns[1:]:
        column.justify = "right"
    for row in metric_rows(comparison):
        sides.add_row(*row)
    console.print(sides)
    pairs = plain_table("a - b", "Sharpe difference", "90% interval", "a beats b")
    for row in pair_rows(comparison):
        pairs.add_row(*row)
    console.print(pairs)
    proofs = plain_table("evidence on its own window", *comparison.experiments)
    for texts in evidence_table(written.evidence):
        proofs.add_row(*map(str, texts))
    console.print(proofs)
    for note in written.notes:
        console.print(note, markup=False, soft_wrap=True)
    if comparison.intersected:
        left_out = ", ".join(f"{name} {count}" for name, count in comparison.left_out.items())
        console.print(f"intersected: only sessions with the same bars; left out: {left_out}", style="yellow")
    console.print(
        f"{len(comparison.contracts)} parameters differ; {written.looks} models have looked at these sessions"
    )


def _contestant(engine: Engine, name: str) -> Contestant:
    row = _latest(engine, name)
    contract, report = _contract(engine, row), read_report(row, BacktestReport)
    return Contestant(name, row.id, row.model_id, contract, _closes(engine, row, contract), report)


def _latest(engine: Engine, name: str) -> Row[Any]:
    with reading(engine) as connection:
        rows = list_proposals(connection)
    of_name = [row for row in rows if row.experiment_name == name]
    if not of_name:
        known = ", ".join(sorted({row.experiment_name for row in rows})) or "none yet"
        raise ParameterError(
            f"compare: {name} has no proposal; experiments with one: {known}; 'kedro run --env {name}' "
            "makes one"
        )
    return of_name[0]


def _contract(engine: Engine, row: Row[Any]) -> ExperimentContract:
    contract = ContractRegistry(engine).registered(read_report(row, ExperimentContract))
    if contract is None or contract.config_hash != row.lineage["config_hash"]:
        raise AlteredError(f"proposal {row.id}: its contract is not in this database")
    return contract


def _closes(engine: Engine, row: Row[Any], contract: ExperimentContract) -> pd.Series:
    parameters = contract.parameters
    bars = BarTable(engine, row.instrument, parameters.feed).as_of(contract.data_as_of)
    test = splits_of(parameters)["test"]
    closes: pd.Series = test.select(select_bars(bars, test.last, parameters.calendar))["close"]
    return closes


def _record_looks(
    engine: Engine, contestants: Sequence[Contestant], sessions: np.ndarray, now: datetime
) -> int:
    """Write each model's look at the compared sessions, and count the models that have seen one of them.

    Where these are a model's whole test window, L4 wrote that look already.
    """
    compared = Split("compared", sessions[0].astype(object), sessions[-1].astype(object))
    seen = set()
    for one in contestants:
        parameters, model_hash = one.contract.parameters, one.report.model_hash
        ledger = TrialLedger(engine, parameters.experiment.instrument)
        ledger.require(look_of(one.contract, model_hash))
        ledger.record(look_at(parameters, judged_hash(one.contract, model_hash), compared), one.name, now)
        overlapping = (row for row in ledger.looks(parameters.feed) if compared.first <= row.window_end)
        seen |= {row.model_hash for row in overlapping if row.window_start <= compared.last}
    return len(seen)
