"""The page of a leakage check."""

from typing import Final

from dosvotos.leakage.report import LeakReport, format_time
from dosvotos.reports.bilingual import Text, Texts
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Cell, rows_table

_T: Final = Texts("leakcheck")


def render_leakcheck(report: LeakReport) -> str:
    """Write every feature's verdict, every finding in words, and what was probed, as one HTML page."""
    features = [
        (
            row.feature, Cell(_T.known("answer", row.verdict), bool(row.findings)), row.probes,
            Text.join([_T.known("input", name) for name in row.inputs]) if row.inputs else _T("nothing"),
        )
        for row in report.features
    ]  # fmt: skip
    probes = [(_T.known("probe", kind), count) for kind, count in report.probes.items()]
    return render(
        "leakcheck",
        t=_T,
        report=report,
        first=format_time(report.first_bar),
        last=format_time(report.last_bar),
        features=rows_table(features, [_T("feature"), _T("verdict"), _T("probes.other"), _T("moved_by")]),
        probes=rows_table(probes, [_T("kind"), _T("count")]),
    )
