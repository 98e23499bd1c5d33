"""What is stored and what was found, for a person to judge, on one HTML page.

All text that came with the data stands on it as text.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import escape

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.formats import PERCENT
from dosvotos.market.calendar import BARS_PER_SESSION, REGULAR, session_dates
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
from dosvotos.reports.bilingual import BOTH, Text, Texts
from dosvotos.reports.figures import BAD, CAUTION, GOOD, GRID, VIOLET, figure
from dosvotos.reports.rendering import render
from dosvotos.reports.sparklines import HEIGHT, WIDTH, Sparkline, sparklines
from dosvotos.reports.tables import Table, table

_T: Final = Texts("quality")
_PRIORITIES: Final = ("HIGH", "MEDIUM", "LOW")
_EXAMPLES: Final = 5
"""Examples a rule."""
_MAX_NAMES: Final = 60
_MAX_LETTERS: Final = 300
_NEAR_SHARE: Final = 0.75
"""Share of its limit from which an age counts as near it."""
_REACH: Final = 1.5
"""Largest share of the limit that the bar of an age shows."""
_KIND_COLOURS: Final = dict(zip(KINDS, (GOOD, "#9ccac4", "#f0d58a", CAUTION, BAD, GRID, VIOLET), strict=True))
_NO_AXIS: Final = {"showgrid": False, "zeroline": False, "showline": False, "ticks": ""}


class _Series(NamedTuple):
    """A row of the summary, and what is drawn beside it."""

    row: Any
    origin: Text
    """Its priority, and its source where it has a value."""
    sparkline: Sparkline | None
    age_width: float
    """Of the bar that shows the age, percent of its track; 0 without a limit."""
    colour: str


class _Chart(NamedTuple):
    """A figure, and its legend or its table."""

    figure: Any
    colours: dict[Text, str] = {}
    first: str = ""
    last: str = ""
    table: Table | None = None


class _Rule(NamedTuple):
    """What one rule found."""

    name: str
    severity: Text
    is_quarantine: bool
    n_findings: int
    subject: Text
    subjects: Text | None
    """All their names; None where there is one."""
    examples: Table


def render_quality(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
    calendar: CalendarParams = REGULAR,
    summary: pd.DataFrame | None = None,
) -> str:
    """Draw what is stored and what was found at one moment.

    Parameters
    ----------
    bars, observations, findings, variables, as_of, calendar
        As for `summary_table`; findings also with rule, at, value, source and detail.
    summary : DataFrame, optional
        What `summary_table` returned for them, where that was asked already.
    """
    if summary is None:
        summary = summary_table(bars, observations, findings, variables, as_of, calendar)
    overdue = summary[(summary["priority"] == "HIGH") & (summary["state"] != FRESH)]
    lines = sparklines(bars, known_values(observations, as_of), variables, as_of)
    ranked = summary.sort_values("priority", key=lambda names: names.map(_PRIORITIES.index), kind="stable")
    return render(
        "quality",
        t=_T,
        as_of=as_of,
        tiles=_tiles(summary, findings),
        overdue=[_T(f"state.{row.state}", subject=row.subject) for row in overdue.itertuples()],
        age_colours=_age_colours(),
        limit_left=100 / _REACH,
        series=[_series(row, lines.get(str(row.subject))) for row in ranked.itertuples()],
        has_bars=len(bars) > 0,
        calendar=_calendar(bars, as_of, calendar),
        flat_bars=_flat_bars(bars),
        rules=_rules(findings),
        BARS_PER_SESSION=BARS_PER_SESSION, EXAMPLES=_EXAMPLES, HEIGHT=HEIGHT, WIDTH=WIDTH,
    )  # fmt: skip


def _tiles(summary: pd.DataFrame, findings: pd.DataFrame) -> list[tuple[Text, Text]]:
    series = summary[summary["subject"] != BARS]
    bars, values = summary["observations"].iloc[0], series["observations"].sum()
    counts = {"bars": bars, "observations": values, "variables": len(series)}
    counts |= {state: (series["state"] == state).sum() for state in (FRESH, STALE, ABSENT)}
    for severity in (QUARANTINED, REPORTED):
        counts[severity] = (findings["severity"] == severity).sum() if len(findings) else 0
    return [(_T(f"tile.{name}"), BOTH.number(count, 0)) for name, count in counts.items()]


def _age_colours() -> dict[Text, str]:
    near, limit = BOTH.percent(_NEAR_SHARE, 0), BOTH.percent(1, 0)
    steps = _T("age.below", near=near), _T("age.near", near=near, all=limit), _T("age.past")
    return dict(zip(steps, (GOOD, CAUTION, BAD), strict=True))


def _series(row: Any, line: Sparkline | None) -> _Series:
    absent, priority = row.state == ABSENT, _T.known("priority", row.priority)
    used = 0.0 if absent or np.isnan(row.limit_days) else row.age_days / row.limit_days
    return _Series(
        row=row,
        origin=priority if absent else _T("origin", priority=priority, source=_clip(row.source, 40)),
        sparkline=line,
        age_width=100 * min(used, _REACH) / _REACH,
        colour=BAD if row.state == STALE else CAUTION if used >= _NEAR_SHARE else GOOD,
    )


def _calendar(bars: pd.DataFrame, as_of: pd.Timestamp, exceptions: CalendarParams) -> _Chart | None:
    times = pd.DatetimeIndex(bars.index)
    if bars.empty or (calendar := session_calendar(times, as_of, exceptions)).empty:
        return None
    days: dict[Any, int] = calendar["kind"].value_counts().to_dict()
    counted = {
        kind: _T("counted", kind=_T(f"kind.{kind}"), days=BOTH.number(days.get(kind, 0), 0)) for kind in KINDS
    }
    return _Chart(
        _heatmap(calendar),
        colours={counted[kind]: colour for kind, colour in _KIND_COLOURS.items()},
        first=f"{calendar.index[0]:%Y-%m-%d}",
        last=f"{calendar.index[-1]:%Y-%m-%d}",
    )


def _heatmap(calendar: pd.DataFrame) -> Any:
    days = pd.DatetimeIndex(calendar.index)
    first_year, n_years = int(days[0].year), int(days[-1].year - days[0].year) + 1
    row = (days.year - first_year) * 8 + days.dayofweek
    column = _weeks_into_year(days)
    colour, text = np.full((8 * n_years, 54), np.nan), np.full((8 * n_years, 54), "", dtype=object)
    colour[row, column] = calendar["kind"].map(KINDS.index)
    text[row, column] = _days_in_words(days, calendar)
    colours = enumerate(_KIND_COLOURS.values())
    steps = [(edge / len(KINDS), shown) for i, shown in colours for edge in (i, i + 1)]
    drawn = figure(height=40 + 96 * n_years)
    drawn.add_heatmap(
        z=colour, text=text, hoverinfo="text", hoverongaps=False, colorscale=steps, showscale=False,
        zmin=-0.5, zmax=len(KINDS) - 0.5, xgap=1, ygap=1,
    )  # fmt: skip
    return _label_calendar(drawn, first_year, n_years)


def _days_in_words(days: pd.DatetimeIndex, calendar: pd.DataFrame) -> list[str]:
    """Say of each day how many bars it has, or what kind of a day without any it is."""
    weekdays = BOTH.weekdays()
    found = {n: _T.count("bars", int(n)) for n in calendar["bars"].unique() if n}
    found_none = {kind: _T(f"kind.{kind}") for kind in KINDS}
    return [
        _T(
            "day",
            weekday=weekdays[day.dayofweek],
            day=f"{day:%Y-%m-%d}",
            found=found.get(n, found_none[kind]),
        ).both
        for day, n, kind in zip(days, calendar["bars"], calendar["kind"], strict=True)
    ]


def _label_calendar(drawn: Any, first_year: int, n_years: int) -> Any:
    months = pd.date_range(f"{first_year}-01-01", periods=12, freq="MS")
    drawn.update_xaxes(
        tickvals=_weeks_into_year(months).tolist(), ticktext=[month.both for month in BOTH.months()],
        side="top", range=[-0.5, 53.5], **_NO_AXIS,
    )  # fmt: skip
    drawn.update_yaxes(
        tickvals=[8 * year + 3 for year in range(n_years)],
        ticktext=[str(first_year + year) for year in range(n_years)], range=[8 * n_years - 0.5, -0.5],
        **_NO_AXIS,
    )  # fmt: skip
    return drawn.update_layout(margin={"t": 28, "b": 8, "l": 44})


def _weeks_into_year(days: pd.DatetimeIndex) -> np.ndarray:
    """Count the Mondays since the year began, the one of its first day left out."""
    new_year = days.to_numpy("datetime64[Y]").astype("datetime64[D]")
    weekday = (new_year.astype(int) + 3) % 7
    weeks: np.ndarray = (days.dayofyear.to_numpy() - 1 + weekday) // 7
    return weeks


def _flat_bars(bars: pd.DataFrame) -> _Chart | None:
    if bars.empty:
        return None
    shares, sizes = flat_shares(bars).to_dict(), bars["source"].value_counts().to_dict()
    flat = _T("flat_share")
    rows = [
        {_T("source"): _clip(name), _T("tile.bars"): sizes[name], flat: share}
        for name, share in shares.items()
    ]
    return _Chart(_flat_figure(bars) if any(shares.values()) else None, table=table(rows, {flat: PERCENT}))


def _flat_figure(bars: pd.DataFrame) -> Any:
    years = session_dates(pd.DatetimeIndex(bars.index)).astype("datetime64[Y]").astype(str)
    parts = {str(year): part for year, part in bars.groupby(years)}
    shares = pd.DataFrame({year: flat_shares(part) for year, part in parts.items()})
    sizes = pd.DataFrame({year: part["source"].value_counts() for year, part in parts.items()})
    drawn = figure(height=260)
    for source in shares.index:
        drawn.add_bar(
            x=list(parts), y=shares.loc[source].tolist(), customdata=sizes.loc[source].tolist(),
            name=str(escape(_clip(source, 40))), texttemplate="%{y:.1%}", textposition="outside",
            cliponaxis=False,
            hovertemplate=_T("flat_hover").both,
        )  # fmt: skip
    drawn.update_layout(showlegend=True)
    drawn.update_xaxes(type="category", showgrid=False)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    return drawn.update_yaxes(tickformat=".0%", range=[0, 1.08], tickvals=ticks, title=_T("flat_axis").both)


def _rules(findings: pd.DataFrame) -> list[_Rule]:
    """List the rules that found something: those that quarantine first, then by their number of findings."""
    if findings.empty:
        return []
    grouped = findings.sort_values("at", kind="stable").groupby(["rule", "severity"])
    found = [(str(rule), str(severity), rows) for (rule, severity), rows in grouped]
    found.sort(key=lambda one: (one[1] != QUARANTINED, -len(one[2]), one[0]))
    return [_rule(*one) for one in found]


def _rule(rule: str, severity: str, rows: pd.DataFrame) -> _Rule:
    subjects = rows["subject"].value_counts()
    alone = len(subjects) == 1
    return _Rule(
        name=_clip(rule, 60),
        severity=_T.known("severity", _clip(severity, 60)),
        is_quarantine=severity == QUARANTINED,
        n_findings=len(rows),
        subject=_same(_clip(subjects.index[0], 60)) if alone else _T.count("subjects", len(subjects)),
        subjects=None if alone else _names(subjects),
        examples=_examples(rows.head(_EXAMPLES)),
    )


def _names(subjects: pd.Series) -> Text:
    counted = subjects.head(_MAX_NAMES).to_dict().items()
    names = Text.join(
        [_T("counted", kind=_same(_clip(name, 60)), days=BOTH.number(n, 0)) for name, n in counted]
    )
    n_more = len(subjects) - _MAX_NAMES
    return _T("and_more", names=names, more=BOTH.number(n_more, 0)) if n_more > 0 else names


def _same(name: str) -> Text:
    """Give what data call something, which is the same in both languages."""
    return Text(name, name)


def _examples(rows: pd.DataFrame) -> Table:
    texts = {name: rows[name].map(_clip) for name in ("subject", "source", "detail")}
    shown = pd.DataFrame({"at": rows["at"], "value": rows["value"], **texts})
    heads = {name: _T(f"example.{name}") for name in ("at", "subject", "value", "source", "detail")}
    return table(shown[list(heads)].rename(columns=heads))


def _clip(value: object, letters: int = _MAX_LETTERS) -> str:
    text = str(value)
    return text if len(text) <= letters else f"{text[: letters - 3]}..."
