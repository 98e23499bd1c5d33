"""The page of a leakage check."""

from dosvotos.leakage.report import RULES, LeakReport, format_time
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Cell, rows_table


def render_leakcheck(report: LeakReport) -> str:
    """Write every feature's verdict, every finding in words, and what was probed, as one HTML page."""
    features = [
        (row.feature, Cell(row.verdict, bool(row.findings)), row.probes, ", ".join(row.inputs) or "nothing")
        for row in report.features
    ]
    return render(
        "leakcheck",
        report=report,
        rules=RULES,
        span=f"{format_time(report.first_bar)} to {format_time(report.last_bar)}",
        features=rows_table(features, ["feature", "verdict", "probes", "moved by"]),
        probes=rows_table(report.probes.items(), ["kind", "count"]),
    )
