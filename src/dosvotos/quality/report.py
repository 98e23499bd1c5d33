"""The data quality report: one self-contained page."""

from collections.abc import Mapping
from html import escape
from string import Template
from typing import Any, Final

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import MacroVariable
from dosvotos.market.calendar import BARS_PER_SESSION, BOGOTA
from dosvotos.quality.bars import SUBJECT, bars_a_session
from dosvotos.quality.findings import QUARANTINED
from dosvotos.quality.plots import BAD, GOOD, MUTED, WARNING, calendar_plot, flat_plot, plotly_script
from dosvotos.quality.summary import ABSENT, AGEING, FRESH, STALE, source_table, summary_table

RULES: Final = {
    "impossible_price": "A price is not positive and finite",
    "close_outside_range": "Open or close lies outside low and high",
    "not_closed": "The bar had not closed yet",
    "off_session": "Outside 08:00 to 12:55 Bogota, or off the five-minute grid",
    "closed_day": "A weekend, a Colombian holiday or the banks' closing day",
    "duplicate_agrees": "The same again; one of them is kept",
    "duplicate_disagrees": "The same instant or period with another value; the documented winner is kept",
    "flat_session": "The closes of a whole session stand still: quotes carried forward",
    "spike": "A close far from those before and after it, which agree",
    "wick": "A high or low far beyond every close around it",
    "zone_label": "Stamps lie in the session if moved by five hours",
    "flat_bars": "Open = high = low = close: closes stand, ranges do not",
    "stale_run": "Equal closes in a row",
    "sparse_session": "A session with few of its 60 bars",
    "missing_session": "Scheduled sessions without a bar",
    "unknown_variable": "No variable of macro_variables.yml",
    "padding": "Empty cells before a variable's first value",
    "not_finite": "No finite number",
    "future": "A day or period that has not begun",
    "out_of_range": "Outside the variable's range",
    "decimal_slip": "A power of ten off its neighbours: a decimal point lost",
    "rewrites_history": "Beyond the step ratio from what is stored around that date",
    "step": "A short step beyond the step ratio",
    "splice": "A stretch on another instrument's level",
    "copied": "A month or quarter that repeats the one before to the last digit",
    "fabricated_run": "A run of equal values its series does not explain",
    "fabricated_tail": "The last values filled forward",
    "level_shift": "A new level beyond the step ratio that lasts; kept",
    "source_change": "Another source joins with a jump or another volatility",
    "gap": "Missing business days, months or quarters",
    "weekend": "Daily values dated on a weekend",
    "period_date": "A period not dated on its first day",
}
"""What each rule says, in a line."""

_COLOURS: Final = {FRESH: GOOD, AGEING: WARNING, STALE: BAD, ABSENT: MUTED}
_EXAMPLES: Final = 8
_MANY_FLAT: Final = 0.05
_SPARK_POINTS: Final = 250
_SPARK_WIDTH, _SPARK_HEIGHT = 120, 26


def render_report(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
    title: str = "USD/COP",
) -> str:
    """Render what is stored and what was found about it.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, UTC), open, high, low, close, source, as stored.
    observations : DataFrame
        variable, observation_date, published_at (UTC), value, as stored; a revision is a further row.
    findings : DataFrame
        As judgements return them, of bars and of macro; their texts are not trusted.
    variables : mapping of MacroVariable by name
    as_of : Timestamp, timezone-aware
    title : str
        Which market, in the headline.

    Returns
    -------
    str
        A page that loads nothing from elsewhere.
    """
    summary = summary_table(observations, findings, variables, as_of)
    known = observations[observations["published_at"] <= as_of]
    return Template(_PAGE).substitute(
        title=escape(title),
        as_of=f"{as_of.tz_convert(BOGOTA):%Y-%m-%d %H:%M} Bogota",
        tiles=_tiles(bars, summary, findings, as_of),
        variables=_variable_rows(summary, known),
        sources=_source_rows(source_table(bars, findings)),
        plotly=plotly_script(),
        calendar=calendar_plot(bars_a_session(pd.DatetimeIndex(bars["timestamp"]), as_of)),
        flat=flat_plot(bars),
        findings=_finding_rows(findings),
        points=_SPARK_POINTS,
    )


# ---- tables


def _tiles(bars: pd.DataFrame, summary: pd.DataFrame, findings: pd.DataFrame, as_of: pd.Timestamp) -> str:
    needed = summary["used_by"] != ""
    overdue = int((needed & summary["state"].isin([STALE, ABSENT])).sum())
    aside = int((findings["severity"] == QUARANTINED).sum())
    counts = bars_a_session(pd.DatetimeIndex(bars["timestamp"]), as_of)
    tiles = (
        (f"{len(bars):,}", "bars stored"),
        (f"{int((counts == BARS_PER_SESSION).sum()):,} of {len(counts):,}", "sessions whole, with 60 bars"),
        (f"{int((summary['state'] != ABSENT).sum())} of {len(summary)}", "macro variables present"),
        (f"{overdue} of {int(needed.sum())}", "needed variables stale or absent"),
        (f"{aside:,}", "rows put aside"),
        (f"{len(findings) - aside:,}", "reported, nothing put aside"),
    )
    colours = ["inherit"] * 3 + [BAD if overdue else GOOD] + ["inherit"] * 2
    return "".join(
        f'<div class="tile"><b style="color:{colour}">{figure}</b><span>{label}</span></div>'
        for (figure, label), colour in zip(tiles, colours, strict=True)
    )


def _variable_rows(summary: pd.DataFrame, known: pd.DataFrame) -> str:
    courses = dict(list(known.groupby("variable")))
    return "".join(_variable_row(row, courses.get(row["variable"])) for row in summary.to_dict("records"))


def _variable_row(row: dict[Any, Any], course: pd.DataFrame | None) -> str:
    name = f"<b>{escape(row['description'])}</b><small>{escape(row['variable'])}</small>"
    used_by = f'<span class="tag">{row["used_by"]}</span>' if row["used_by"] else ""
    if course is None:
        return _row(name, used_by, row["frequency"], "", "", "", "", _gauge(row), "", "0", row["quarantined"])
    return _row(
        name,
        used_by,
        row["frequency"],
        f"{row['last_value']:,.6g}<small>{escape(row['unit'])}</small>",
        _sparkline(course),
        _nowrap(row["observation_date"]),
        _nowrap(f"{row['published_at'].tz_convert(BOGOTA):%Y-%m-%d %H:%M}"),
        _gauge(row),
        f"{row['coverage']:.1%}",
        f"{row['observations']:,}",
        f"{row['quarantined']:,}",
    )


def _gauge(row: dict[Any, Any]) -> str:
    """Age since publication against its limit; beyond it a value counts as missing."""
    colour = _COLOURS[row["state"]]
    if row["state"] == ABSENT:
        return f'<span style="color:{colour}">absent</span>'
    share = min(row["age_days"] / row["limit_days"], 1.0)
    bar = f'<div class="gauge"><i style="width:{share:.0%};background:{colour}"></i></div>'
    said = f"{row['age_days']:.1f} of {row['limit_days']} days, {row['state']}"
    return f'{bar}<small style="color:{colour}">{said}</small>'


def _sparkline(course: pd.DataFrame) -> str:
    """The last values as a line that breaks where observations are missing."""
    latest = course.sort_values(["observation_date", "published_at"], kind="stable")
    latest = latest.drop_duplicates("observation_date", keep="last").tail(_SPARK_POINTS)
    days = latest["observation_date"].to_numpy("datetime64[D]").astype(float)
    values = latest["value"].to_numpy(float)
    span, spread = max(np.ptp(days), 1.0), np.ptp(values) or 1.0
    x = (days - days[0]) / span * (_SPARK_WIDTH - 2) + 1
    y = (values.max() - values) / spread * (_SPARK_HEIGHT - 4) + 2
    usual = np.median(np.diff(days)) if len(days) > 1 else 1.0
    holes = np.flatnonzero(np.diff(days) > 5 * usual) + 1
    lines = (
        " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
        for xs, ys in zip(np.split(x, holes), np.split(y, holes), strict=True)
    )
    drawn = "".join(f'<polyline points="{points}"/>' for points in lines)
    return f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}">{drawn}</svg>'


def _source_rows(sources: pd.DataFrame) -> str:
    return "".join(
        _row(
            f"<b>{escape(row['source'])}</b>",
            f"{row['bars']:,}",
            "" if pd.isna(row["first"]) else f"{row['first'].tz_convert(BOGOTA):%Y-%m-%d}",
            "" if pd.isna(row["last"]) else f"{row['last'].tz_convert(BOGOTA):%Y-%m-%d %H:%M}",
            "" if pd.isna(row["flat_share"]) else _share(row["flat_share"]),
            f"{row['quarantined']:,}",
        )
        for row in sources.to_dict("records")
    )


def _share(share: float) -> str:
    colour = WARNING if share > _MANY_FLAT else GOOD
    bar = f'<div class="gauge"><i style="width:{share:.0%};background:{colour}"></i></div>'
    return f"{bar}<small>{share:.1%}</small>"


def _finding_rows(findings: pd.DataFrame) -> str:
    """One row a rule, those that put rows aside first, with its first examples folded in."""
    groups = sorted(
        findings.groupby(["severity", "rule"]), key=lambda group: (group[0][0] != QUARANTINED, -len(group[1]))
    )
    if not groups:
        return '<tr><td colspan="5">Nothing was found.</td></tr>'
    return "".join(_rule_row(str(severity), str(rule), found) for (severity, rule), found in groups)


def _rule_row(severity: str, rule: str, found: pd.DataFrame) -> str:
    subjects = found["subject"].value_counts()
    named = ", ".join(f"{escape(str(name))} {n:,}" for name, n in subjects.head(6).items())
    more = f" and {len(subjects) - 6} more" if len(subjects) > 6 else ""
    times = found["at"].dt.tz_convert(BOGOTA if (subjects.index == SUBJECT).all() else "UTC")
    first = found.assign(at=times).drop_duplicates(["subject", "detail"]).head(_EXAMPLES)
    examples = "".join(
        f"<li><code>{at:%Y-%m-%d %H:%M}</code> {escape(str(subject))}: {escape(str(detail))}"
        for at, subject, detail in zip(first["at"], first["subject"], first["detail"], strict=True)
    )
    colour = BAD if severity == QUARANTINED else MUTED
    caption = f"{len(first)} example(s)"
    return _row(
        f"<b>{escape(rule)}</b><small>{escape(RULES.get(rule, ''))}</small>",
        f'<span class="tag" style="background:{colour};color:white">{escape(severity)}</span>',
        f"{len(found):,}",
        f"{_nowrap(f'{times.min():%Y-%m-%d}')} to {_nowrap(f'{times.max():%Y-%m-%d}')}",
        f"{named}{more}<details><summary>{caption}</summary><ul>{examples}</ul></details>",
    )


def _nowrap(content: object) -> str:
    return f'<span class="nowrap">{content}</span>'


def _row(*cells: object) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Data quality · $title</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<style>
 body { font: 14px/1.45 system-ui, sans-serif; color: #22303c; background: #f6f8fa; margin: 0; }
 main { max-width: 1320px; margin: 0 auto; padding: 24px; }
 h1 { font-size: 24px; margin: 0; }
 h2 { font-size: 17px; margin: 32px 0 4px; }
 p { color: #5b6b79; margin: 2px 0 10px; }
 section { background: white; border: 1px solid #dfe5ea; border-radius: 8px; padding: 4px 12px; }
 section { overflow-x: auto; }
 .tiles { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 16px; }
 .tile { background: white; border: 1px solid #dfe5ea; border-radius: 8px; padding: 10px 16px; }
 .tile { flex: 1 1 150px; }
 .tile b { display: block; font-size: 19px; white-space: nowrap; }
 .tile span { color: #5b6b79; font-size: 12px; }
 table { border-collapse: collapse; width: 100%; font-size: 13px; }
 th { text-align: left; font-weight: 600; color: #5b6b79; padding: 6px 8px; }
 th { border-bottom: 2px solid #dfe5ea; }
 td { border-bottom: 1px solid #eef1f4; padding: 5px 8px; vertical-align: top; }
 td { font-variant-numeric: tabular-nums; }
 small { display: block; color: #7a8894; font-size: 11px; }
 .tag { background: #e3ecf3; color: #1f5f8b; border-radius: 4px; padding: 1px 6px; font-size: 11px; }
 .nowrap, .gauge + small { white-space: nowrap; }
 .gauge { background: #eef1f4; border-radius: 4px; height: 7px; width: 130px; margin-top: 6px; }
 .gauge i { display: block; height: 7px; border-radius: 4px; }
 .spark { width: 120px; height: 26px; }
 .spark polyline { fill: none; stroke: #1f5f8b; stroke-width: 1.2; }
 details summary { cursor: pointer; color: #1f5f8b; white-space: nowrap; }
 details ul { margin: 4px 0; padding-left: 16px; overflow-wrap: anywhere; }
 #filter { font: inherit; padding: 4px 8px; width: 280px; margin: 8px 0; }
 #filter { border: 1px solid #c9d3db; border-radius: 6px; }
</style><script>$plotly</script></head><body><main>
<h1>Data quality · $title</h1>
<p>As of $as_of. Nothing here was repaired: a row is kept as it came or put aside.</p>
<div class="tiles">$tiles</div>

<h2>Macro variables</h2>
<p>Age counts from a value's publication; beyond its limit the value counts as missing. No value is carried
forward on this page: an old one shows its age.</p>
<section><table><thead><tr><th>Variable</th><th>Needed by</th><th>Frequency</th><th>Last value</th>
<th>Last $points values</th><th>Describes</th><th>Published (Bogota)</th><th>Age against limit</th>
<th>Coverage</th><th>Values</th><th>Put aside</th></tr></thead><tbody>$variables</tbody></table></section>

<h2>Bars a session</h2>
<p>One cell a scheduled session: green is whole (60 bars), red has none. Closed days are blank.</p>
<section>$calendar</section>

<h2>Sources of bars</h2>
<p>A flat bar has open = high = low = close: its close stands, its range does not. Flat bars are never put
aside. The plot shows their share month by month.</p>
<section><table><thead><tr><th>Source</th><th>Bars</th><th>First</th><th>Last</th><th>Flat</th>
<th>Put aside</th></tr></thead><tbody>$sources</tbody></table>$flat</section>

<h2>Findings by rule</h2>
<input id="filter" placeholder="Filter by rule, variable or text" aria-label="Filter findings">
<section><table id="findings"><thead><tr><th>Rule</th><th></th><th>Count</th><th>When</th>
<th>About</th></tr></thead><tbody>$findings</tbody></table></section>
</main>
<script>
document.getElementById("filter").addEventListener("input", function (event) {
  const wanted = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("#findings tbody tr"))
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
</script></body></html>
"""
