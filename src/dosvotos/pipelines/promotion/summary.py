"""The end of a run, as a person reads it."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table
from sqlalchemy import Row

from dosvotos.backtest.report import BacktestReport
from dosvotos.backtest.stress import Stress
from dosvotos.console import open_console, plain_table
from dosvotos.formats import Formats
from dosvotos.hashing import short
from dosvotos.pipelines.headline import headline
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.luck import Questions
from dosvotos.promotion.own_strategy import own_targets
from dosvotos.promotion.proposal import ProposalLineage, stored_criteria, stored_evidence
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.reports.criteria import criteria_rows
from dosvotos.reports.evidence import luck_rows, questions_text
from dosvotos.reports.metrics import INTERVALS, METRICS, RESULTS, write_metrics

_VERDICT_COLOURS = {"PASS": "green", "FAIL": "red"}
_SHOWN_HASHES = (
    "acquisition_hash", "config_hash", "dataset_hash", "model_hash", "test_dataset_hash", "backtest_hash",
)  # fmt: skip


def print_proposal(
    proposal: Row[Any], report: BacktestReport, questions: Questions, notices: Sequence[Reason] = ()
) -> None:
    """Print a registered proposal: recommendation, metrics, criteria, evidence, lineage and the next step."""
    console, evidence = open_console(), stored_evidence(proposal)
    console.print()
    console.print(headline(proposal))
    console.print(_metrics(report))
    console.print(_stress(report.stress))
    console.print(_criteria(proposal))
    if evidence:
        console.print(_evidence(evidence))
    console.print(_lineage(proposal))
    beside = (f"To know besides: {sentence(notice)}." for notice in notices)
    for text in (*beside, *_remarks(proposal, evidence), questions_text(questions, proposal.instrument)):
        console.print(escape(text), style="dim")
    console.print(f"status: {proposal.status}")
    console.print(f"next: {_next_step(proposal)}\n", style="bold")


def _metrics(report: BacktestReport) -> Table:
    linear = {"linear rival": report.linear_rival.metrics} if report.linear_rival else {}
    naive = {"always long": report.naive.always_long, "always short": report.naive.always_short}
    accounts = {report.test_period: report.metrics, **linear, **naive}
    table = plain_table("out of sample", *accounts)
    for metric in RESULTS:
        written = (metric.write(getattr(account, metric.key)) for account in accounts.values())
        table.add_row(metric.label(), *written)
    return table


def _stress(stress: Stress) -> Table:
    """Tabulate the same decisions at other costs and with later fills, and where the gain is used up."""
    names, cost, even = ("sharpe_ratio", "total_return"), METRICS["cost_bps"], METRICS["break_even_bps"]
    table = plain_table("the same decisions", *(METRICS[name].label() for name in names))
    cases = [(f"{cost.write(case.cost_bps)} bps a side", case.metrics) for case in stress.costs]
    cases += [(f"filled {case.bars} bar(s) later", case.metrics) for case in stress.delays if case.bars]
    for label, metrics in cases:
        table.add_row(label, *write_metrics(metrics, names).values())
    used_up = "never a gain" if stress.break_even_bps is None else even.write(stress.break_even_bps)
    table.add_row(even.label(), used_up)
    return table


def _criteria(proposal: Row[Any]) -> Table:
    table = plain_table("criterion", "result", "")
    for row in criteria_rows(stored_criteria(proposal) or ()):
        colour = _VERDICT_COLOURS.get(row.verdict, "yellow")
        table.add_row(row.name, f"[{colour}]{row.verdict}[/]", escape(row.text))
    return table


def _evidence(evidence: Evidence) -> Table:
    """Tabulate what the window proves, with its intervals and with what it could have shown at all."""
    table = plain_table("evidence", "")
    for row in luck_rows(evidence):
        table.add_row(row.label, row.text)
    for name, interval in (evidence.intervals_90 or {}).items():
        metric = INTERVALS[name]
        found, low, high = map(metric.write, interval)
        table.add_row(metric.label(), f"{found} ({low} to {high}, 90%)")
    shown = ", ".join(
        f"{sharpe}: {Formats('en').chance(chance)}" for sharpe, chance in evidence.power.items()
    )
    table.add_row("Window would show a true Sharpe ratio of", shown)
    return table


def _lineage(proposal: Row[Any]) -> Table:
    table, lineage = plain_table("lineage", ""), ProposalLineage.model_validate(proposal.lineage)
    for name in _SHOWN_HASHES:
        table.add_row(name, short(getattr(lineage, name)))
    return table


def _remarks(proposal: Row[Any], evidence: Evidence | None) -> list[str]:
    named = proposal.recommendation == "REVIEW"  # then the recommendation has named what is missing
    lines = [f"Evidence missing: {note}." for note in (evidence.notes if evidence and not named else ())]
    lineage = ProposalLineage.model_validate(proposal.lineage)
    if (edge := lineage.planted_edge) is not None:
        lines.append(
            f"The sample market's edge ({edge}) is planted and generous; real markets are not like this. "
            "Someone who knew it and was flat overnight would have had Sharpe "
            f"{METRICS['sharpe_ratio'].write(lineage.oracle_sharpe)}."
        )
    if evidence and evidence.point_in_time == "unproven":
        lines.append("Point in time: unproven, the macro data are final vintages.")
    return lines


def _next_step(proposal: Row[Any]) -> str:
    if proposal.status == "APPROVED":
        return "kedro run --pipelines inference"
    if proposal.status != "PENDING_APPROVAL":
        return "make app shows the decision"
    if own_targets(proposal):
        return "make app shows it; it cannot be served, so a person can only reject it"
    if proposal.recommendation == "REJECT":
        return "make app shows why; change the experiment under a new version"
    return "make app, where a person gives the second vote"
