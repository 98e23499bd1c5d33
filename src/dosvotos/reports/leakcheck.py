"""The page of a leakage check."""

from dosvotos.leakage.report import RULES, LeakReport, format_time
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Cell, table


def render_leakcheck(report: LeakReport) -> str:
    """Write every feature's verdict, every finding in words, and what was probed, as one HTML page."""
    features = [
        {
            "feature": feature.feature,
            "verdict": Cell(feature.verdict, bad=bool(feature.findings)),
            "probes": feature.probes,
            "moved by": ", ".join(feature.inputs) or "nothing",
        }
        for feature in report.features
    ]
    return render(
        "leakcheck",
        report=report,
        rules=RULES,
        span=f"{format_time(report.first_bar)} to {format_time(report.last_bar)}",
        features=table(features),
        probes=table([{"kind": kind, "count": count} for kind, count in report.probes.items()]),
    )
