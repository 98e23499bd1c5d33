"""The report as one HTML page."""

from dosvotos.leakage.report import RULES, Finding, LeakReport, format_time
from dosvotos.reports.pages import mark, note, page, section, table, verdict


def leak_page(report: LeakReport) -> str:
    """Every feature's verdict, every finding in words, and what was probed."""
    features = [
        {
            "feature": feature.feature,
            "verdict": mark(feature.verdict) if feature.findings else feature.verdict,
            "probes": feature.probes,
            "moved by": ", ".join(feature.inputs) or "nothing",
        }
        for feature in report.features
    ]
    kinds = [{"kind": kind, "count": count} for kind, count in report.probes.items()]
    span = f"{report.bars:,} bars, {format_time(report.first_bar)} to {format_time(report.last_bar)} UTC"
    said = "Clean: nothing saw the future." if report.clean else "Not clean."
    return page(
        "Does anything see the future?",
        f"Features {report.pipeline}; {span}; seed {report.seed}.",
        verdict(said, report.clean),
        *(_section(finding) for finding in report.findings()),
        section("Features", table(features)),
        section("Probes", table(kinds), *(note(text) for text in report.notes)),
    )


def _section(finding: Finding) -> str:
    hint = [note(f"looks like: {finding.hint}")] if finding.hint else []
    heading = f"{finding.subject}: {RULES[finding.rule]}"
    return section(heading, finding.detail, *hint, note(f"found by {finding.n_probes} probe(s)"))
