"""What is stored and what was found, for a person to judge, on one HTML page.

All text that came with the data stands on it as text.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.market.calendar import BARS_PER_SESSION, session_dates
from dosvotos.quality import courses
from dosvotos.quality.bars import flat_shares
from dosvotos.quality.findings import BARS, QUARANTINED, REPORTED
from dosvotos.quality.freshness import (
    ABSENT,
    FRESH,
    KINDS,
    STALE,
    known_values,
    session_calendar,
    summary_table,
)
from dosvotos.reports import pages

_PRIORITIES: Final = ("HIGH", "MEDIUM", "LOW")
_EXAMPLES: Final = 5
"""Examples a rule."""
_MAX_NAMES: Final = 60
_MAX_LETTERS: Final = 300
_NEAR_SHARE: Final = 0.75
"""Share of its limit from which an age counts as near it."""
_REACH: Final = 1.5
"""Largest share of the limit that the bar of an age shows."""
_KIND_COLOURS: Final = dict(
    zip(
        KINDS,
        (pages.GOOD, "#9ccac4", "#f0d58a", pages.NEAR, pages.BAD, "#e6eaee", pages.VIOLET),
        strict=True,
    )
)


def render_report(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> str:
    """Draw what is stored and what was found at one moment.

    Parameters
    ----------
    bars, observations, findings, variables, as_of
        As for `summary_table`; findings also with rule, at, value, source and detail.

    Returns
    -------
    str
        One HTML page that needs no network. Equal inputs give equal pages.
    """
    table = summary_table(bars, observations, findings, variables, as_of)
    drawn = courses.courses(bars, known_values(observations, as_of), variables, as_of)
    return pages.page(
        "Data quality",
        f"As known on {pages.minute(as_of)} UTC. Nothing on this page was repaired or filled: a row is "
        "stored as it came, or put aside with its reason.",
        pages.tiles(_figures(table, findings)),
        _overdue(table),
        pages.section("Freshness and coverage", *_freshness(table, drawn)),
        pages.section("Bars a session", *_calendar(bars, as_of)),
        pages.section("Flat bars", *_flat_bars(bars)),
        pages.section("Findings", *_findings(findings)),
        style=courses.STYLE + _STYLE,
        script=_SCRIPT,
    )


def _figures(table: pd.DataFrame, findings: pd.DataFrame) -> dict[str, object]:
    series = table[table["subject"] != BARS]
    states = series["state"].value_counts()
    severities = findings["severity"].value_counts() if len(findings) else pd.Series(dtype=int)
    return {
        "bars": f"{table['observations'].iloc[0]:,}",
        "macro observations": f"{series['observations'].sum():,}",
        "variables": f"{len(series):,}",
        **{f"variables {state}": f"{states.get(state, 0):,}" for state in (FRESH, STALE, ABSENT)},
        **{f"findings {name}": f"{severities.get(name, 0):,}" for name in (QUARANTINED, REPORTED)},
    }


def _overdue(table: pd.DataFrame) -> Markup:
    overdue = table[(table["priority"] == "HIGH") & (table["state"] != FRESH)]
    if overdue.empty:
        return pages.verdict("All data of priority HIGH are within their limits.", good=True)
    names = ", ".join(f"{row.subject} ({row.state})" for row in overdue.itertuples())
    return pages.verdict(
        f"{len(overdue)} of priority HIGH are past their limit or absent: {names}.", good=False
    )


# ---- freshness


def _freshness(table: pd.DataFrame, drawn: Mapping[str, Markup]) -> list[str]:
    order = table["priority"].map({name: place for place, name in enumerate(_PRIORITIES)})
    rows = [_series_row(row, drawn) for row in table.iloc[order.argsort(kind="stable")].itertuples()]
    counts = [name for name, cell in rows[0].items() if isinstance(cell, int)]
    colours = {
        f"below {_NEAR_SHARE:.0%} of the limit": pages.GOOD,
        f"{_NEAR_SHARE:.0%} to 100% of it": pages.NEAR,
        "past it": pages.BAD,
    }
    return [
        "Age runs from a value's publication; a value carried forward only grows older. Past the tick, its "
        "limit, it counts as missing. Courses share one axis of time that ends now, so a series that stopped "
        "ends short of the right edge, and a course breaks where a value aged out before the next one came. "
        "Coverage counts the periods with a value from the first observation to the last one that should be "
        "out.",
        pages.legend(colours),
        pages.table(pd.DataFrame(rows, dtype=object), dict.fromkeys(counts, ",d"), right=_TO_THE_RIGHT),
    ]


_TO_THE_RIGHT: Final = ("last value", "coverage")


def _series_row(row: Any, drawn: Mapping[str, Markup]) -> dict[str, object]:
    absent = row.state == ABSENT
    beside = row.priority if absent else f"{row.priority} from {_clip(row.source, 40)}"
    name = escape(row.subject).replace("_", Markup("_<wbr>"))
    value = Markup("{}<small>{}</small>").format(pages.number(row.last_value), row.unit)
    return {
        "subject": Markup("<b>{}</b><small>{}</small>").format(name, beside),
        "course": drawn.get(row.subject, ""),
        "last value": None if absent else value,
        "observed": None if absent else Markup("<span class=t>{}</span>").format(row.last_observation),
        "published, UTC": row.published_at,
        "age against its limit": _absence(row.limit_days) if absent else _age(row),
        "coverage": None if np.isnan(row.coverage) else f"{np.floor(row.coverage * 1000) / 10:.1f}%",
        "values": row.observations,
        "quaran\u00adtined": row.quarantined,
        "reported": row.reported,
    }


def _absence(limit_days: float) -> str:
    return "no value" if np.isnan(limit_days) else f"no value; limit {limit_days:g} d"


def _age(row: Any) -> Markup:
    """Draw an age against its limit; bars have none but the last session."""
    if np.isnan(row.limit_days):
        there = row.state == FRESH
        said = "the last session is there" if there else pages.mark("the last session is missing")
        return Markup("{:,.1f} d<small>{}</small>").format(row.age_days, said)
    used = row.age_days / row.limit_days
    colour = pages.BAD if row.state == STALE else pages.NEAR if used >= _NEAR_SHARE else pages.GOOD
    return Markup(
        "{:,.1f} of {:g} d<div class=track>"
        '<i style="width:{:.1f}%;background:{}"></i><u style="left:{:.1f}%"></u></div>'
    ).format(row.age_days, row.limit_days, 100 * min(used, _REACH) / _REACH, colour, 100 / _REACH)


# ---- bars


def _calendar(bars: pd.DataFrame, as_of: pd.Timestamp) -> list[str]:
    if bars.empty:
        return ["No bars are stored."]
    calendar = session_calendar(pd.DatetimeIndex(bars.index), as_of)
    if calendar.empty:
        return ["No session with bars is over yet."]
    days = calendar["kind"].value_counts()
    return [
        f"A column is a week, a row within a year a weekday, Monday on top. A full session has "
        f"{BARS_PER_SESSION} bars; {calendar.index[0]:%Y-%m-%d} to {calendar.index[-1]:%Y-%m-%d}, days of "
        "each kind in brackets.",
        pages.legend({f"{kind} ({days.get(kind, 0):,})": colour for kind, colour in _KIND_COLOURS.items()}),
        _heatmap(calendar),
    ]


def _heatmap(calendar: pd.DataFrame) -> Markup:
    days = pd.DatetimeIndex(calendar.index)
    first_year, n_years = int(days[0].year), int(days[-1].year - days[0].year) + 1
    row = (days.year - first_year) * 8 + days.dayofweek
    column = _weeks_into_year(days)
    colour, said = np.full((8 * n_years, 54), np.nan), np.full((8 * n_years, 54), "", dtype=object)
    colour[row, column] = calendar["kind"].map(KINDS.index)
    said[row, column] = [
        f"{day:%a %Y-%m-%d}: {n} bars" if n else f"{day:%a %Y-%m-%d}: {kind}"
        for day, n, kind in zip(days, calendar["bars"], calendar["kind"], strict=True)
    ]
    colours = enumerate(_KIND_COLOURS.values())
    steps = [(edge / len(KINDS), shown) for place, shown in colours for edge in (place, place + 1)]
    drawn = pages.figure(height=40 + 96 * n_years)
    drawn.add_heatmap(
        z=colour, text=said, hoverinfo="text", hoverongaps=False, colorscale=steps, showscale=False,
        zmin=-0.5, zmax=len(KINDS) - 0.5, xgap=1, ygap=1,
    )  # fmt: skip
    months = pd.date_range(f"{first_year}-01-01", periods=12, freq="MS")
    drawn.update_xaxes(
        tickvals=_weeks_into_year(months).tolist(), ticktext=[f"{month:%b}" for month in months], side="top",
        showgrid=False, zeroline=False, showline=False, range=[-0.5, 53.5], ticks="",
    )  # fmt: skip
    drawn.update_yaxes(
        tickvals=[8 * year + 3 for year in range(n_years)],
        ticktext=[str(first_year + year) for year in range(n_years)],
        range=[8 * n_years - 0.5, -0.5], showgrid=False, zeroline=False, showline=False, ticks="",
    )  # fmt: skip
    drawn.update_layout(margin={"t": 28, "b": 8, "l": 44})
    return pages.plot(drawn, "calendar")


def _weeks_into_year(days: pd.DatetimeIndex) -> np.ndarray:
    """Number of Mondays since the year began, the one of its first day left out."""
    new_year = days.to_numpy("datetime64[Y]").astype("datetime64[D]")
    weekday = (new_year.astype(int) + 3) % 7
    weeks: np.ndarray = (days.dayofyear.to_numpy() - 1 + weekday) // 7
    return weeks


def _flat_bars(bars: pd.DataFrame) -> list[str]:
    if bars.empty:
        return ["No bars are stored."]
    shares, sizes = flat_shares(bars), bars["source"].value_counts().to_dict()
    rows = [
        {"source": _clip(source), "bars": sizes[source], "flat": share}
        for source, share in shares.to_dict().items()
    ]
    table = pages.table(pd.DataFrame(rows), {"flat": ".1%"})
    return [
        "Share of bars with open = high = low = close, by source and year. The close of such a bar stands, "
        "its range does not.",
        pages.grid(table, _flat_plot(bars)) if shares.any() else table,
    ]


def _flat_plot(bars: pd.DataFrame) -> Markup:
    years = session_dates(pd.DatetimeIndex(bars.index)).astype("datetime64[Y]").astype(str)
    parts = {str(year): part for year, part in bars.groupby(years)}
    shares = pd.DataFrame({year: flat_shares(part) for year, part in parts.items()})
    sizes = pd.DataFrame({year: part["source"].value_counts() for year, part in parts.items()})
    drawn = pages.figure(height=260)
    for source in shares.index:
        drawn.add_bar(
            x=list(parts), y=shares.loc[source].tolist(), customdata=sizes.loc[source].tolist(),
            name=str(escape(_clip(source, 40))), texttemplate="%{y:.1%}", textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.2%} of %{customdata:,} bars<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    drawn.update_layout(showlegend=True)
    drawn.update_xaxes(type="category", showgrid=False)
    drawn.update_yaxes(tickformat=".0%", range=[0, 1.08], tickvals=[0, 0.25, 0.5, 0.75, 1], title="flat bars")
    return pages.plot(drawn, "flat-bars")


# ---- findings


def _findings(findings: pd.DataFrame) -> list[str]:
    if findings.empty:
        return ["Nothing was found."]
    grouped = findings.sort_values("at", kind="stable").groupby(["rule", "severity"])
    rules = [(str(rule), str(severity), rows) for (rule, severity), rows in grouped]
    rules.sort(key=lambda found: (found[1] != QUARANTINED, -len(found[2]), found[0]))
    search = Markup(
        "<p><input id=filter type=search placeholder='rule, subject or text' aria-label='Filter findings'> "
        "<span id=shown>{0} of {0}</span> rules</p>"
    ).format(len(rules))
    return [
        f"Quarantined: the row was put aside. Reported: it is stored, and odd. At most {_EXAMPLES} examples "
        "a rule, the earliest; all stand in the table data_quarantine.",
        search,
        *(_rule(*found) for found in rules),
    ]


def _rule(rule: str, severity: str, rows: pd.DataFrame) -> Markup:
    subjects = rows["subject"].value_counts()
    short = _clip(subjects.index[0], 60) if len(subjects) == 1 else f"{len(subjects):,} subjects"
    listed = pages.note(_names(subjects)) if len(subjects) > 1 else Markup()
    return Markup(
        "<details class=rule><summary><b>{}</b><span class={}>{}</span><span class=n>{:,}</span>"
        "<span>{}</span></summary>{}{}</details>"
    ).format(
        _clip(rule, 60), "bad" if severity == QUARANTINED else "none", _clip(severity, 60), len(rows), short,
        listed, _examples(rows.head(_EXAMPLES)),
    )  # fmt: skip


def _names(subjects: pd.Series) -> str:
    names = [f"{_clip(name, 60)} ({n:,})" for name, n in subjects.head(_MAX_NAMES).to_dict().items()]
    more = f" and {len(subjects) - len(names):,} more" if len(subjects) > len(names) else ""
    return ", ".join(names) + more


def _examples(rows: pd.DataFrame) -> Markup:
    texts = {name: rows[name].map(_clip) for name in ("subject", "source", "detail")}
    return pages.table(
        pd.DataFrame(
            {
                "at, UTC": rows["at"],
                "subject": texts["subject"],
                "value": rows["value"],
                "source": texts["source"],
                "detail": texts["detail"],
            }
        )
    )


def _clip(value: object, letters: int = _MAX_LETTERS) -> str:
    text = str(value)
    return text if len(text) <= letters else f"{text[: letters - 3]}..."


_STYLE: Final = """
td.n small { white-space: normal; min-width: 6rem; } td:first-child b { display: block; min-width: 11rem; }
.track { position: relative; width: 8rem; height: 0.5rem; background: #e6eaee; margin-top: 0.15rem; }
.track i { display: block; height: 100%; }
.track u { position: absolute; top: -0.15rem; bottom: -0.15rem; width: 2px; background: #1c2733; }
details { border-bottom: 1px solid #d9dfe5; padding: 0.35rem 0; font-size: 0.9rem; }
[hidden] { display: none; }
summary { cursor: pointer; display: grid; grid-template-columns: 0.6rem 12rem 7rem 4rem 1fr; gap: 1rem;
  overflow-wrap: anywhere; }
summary::before { content: "+"; color: #5a6875; } [open] > summary::before { content: "-"; }
input { font: inherit; padding: 0.3rem 0.6rem; width: 20rem; max-width: 60%; border: 1px solid #9aa7b3;
  border-radius: 0.4rem; }
@media (max-width: 760px) { summary { grid-template-columns: 0.6rem 1fr auto auto; gap: 0.5rem; }
  summary span:last-child { grid-column: 2 / -1; color: #5a6875; } }
"""
_SCRIPT: Final = """
const box = document.getElementById("filter"), rules = [...document.querySelectorAll("details.rule")];
if (box) box.addEventListener("input", () => {
  const wanted = box.value.trim().toLowerCase();
  for (const rule of rules) rule.hidden = !rule.textContent.toLowerCase().includes(wanted);
  const shown = rules.filter(rule => !rule.hidden).length;
  document.getElementById("shown").textContent = `${shown} of ${rules.length}`;
});
"""
