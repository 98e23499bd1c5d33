"""The report as one HTML page that needs no network."""

from collections.abc import Iterable
from html import escape

from dosvotos.leakage.report import RULES, LeakReport, stamp

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;color:#22303c}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e6eaee}
.clean{color:#2f7f79}.unproven{color:#a87a1f}.broken{color:#c0563b;font-weight:600}
section{border-left:4px solid #c0563b;padding:.1rem 1rem;margin:1rem 0}
.muted{color:#667580}
"""


def leak_page(report: LeakReport) -> str:
    """The report for a browser; all text stands on it as text."""
    features = [
        (f"<td>{escape(f.feature)}</td><td class='{_kind(f.verdict)}'>{f.verdict}</td><td>{f.probes}</td>")
        + f"<td>{escape(', '.join(f.inputs) or '-')}</td>"
        for f in report.features
    ]
    findings = "".join(
        f"<section><p><b>{escape(f.subject)}: {RULES[f.rule]}</b> ({f.times} probes)<br>{escape(f.words)}</p>"
        + (f"<p class='muted'>looks like: {escape(f.hint)}</p>" if f.hint else "")
        + "</section>"
        for f in report.findings()
    )
    probes = [f"<td>{escape(kind)}</td><td>{count}</td>" for kind, count in report.probes.items()]
    notes = "".join(f"<p class='muted'>{escape(note)}</p>" for note in report.notes)
    title = "Clean: nothing saw the future" if report.clean else "Not clean"
    span = f"{report.bars:,} bars, {stamp(report.first_bar)} to {stamp(report.last_bar)} UTC"
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>Features {escape(report.pipeline)}; {span}; seed {report.seed}.</p>{findings}"
        f"{_table(('feature', 'verdict', 'probes', 'moved by'), features)}"
        f"<h2>Probes</h2>{_table(('kind', 'count'), probes)}{notes}</html>"
    )


def _kind(verdict: str) -> str:
    return verdict if verdict in ("clean", "unproven") else "broken"


def _table(head: Iterable[str], rows: Iterable[str]) -> str:
    columns = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><tr>{columns}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
