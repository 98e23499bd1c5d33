"""What is stored and what was found, for a person to judge: one HTML page, and one table of it.

The page needs no network, and all text that came with the data stands on it as text.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from html import escape
from typing import Any, Final

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.market.calendar import (
    BAR,
    BARS_PER_SESSION,
    BOGOTA,
    closed_days_around,
    in_session,
    last_ended_session,
    published_at,
    scheduled_sessions,
    session_bar_times,
    session_dates,
    slots,
)
from dosvotos.quality.bars import SUBJECT, flat_shares
from dosvotos.quality.findings import QUARANTINED, REPORTED

FRESH: Final = "fresh"
STALE: Final = "stale"
ABSENT: Final = "absent"
_PRIORITIES: Final = ("HIGH", "MEDIUM", "LOW")
_DAY: Final = pd.Timedelta(days=1)
_EXAMPLES: Final = 5
"""Examples a rule."""
_MAX_NAMES: Final = 60
_MAX_LETTERS: Final = 300

_GOOD, _NEAR, _BAD, _LINE, _MUTED, _VIOLET = "#2f7f79", "#d9a441", "#c0563b", "#1f5f8b", "#9aa7b3", "#7a5c93"
_SOURCE_COLOURS: Final = (_LINE, _GOOD, _NEAR, _VIOLET, _MUTED)
_NEAR_SHARE: Final = 0.75
"""Share of its limit from which an age counts as near it."""
_REACH: Final = 1.5
"""Largest share of the limit that the bar of an age shows."""
_SPARK: Final = (150, 30)
"""Width and height of a course, pixels."""
_PLOT: Final = {"displayModeBar": False, "responsive": True}

KINDS: Final = {
    "60 bars": _GOOD,
    "48 to 59": "#9ccac4",
    "24 to 47": "#f0d58a",
    "1 to 23": _NEAR,
    "none, though scheduled": _BAD,
    "closed day": "#e6eaee",
    "bars on a closed day": _VIOLET,
}
"""What a day can be by its bars, and the colour of each."""
_FEWEST: Final = {"60 bars": BARS_PER_SESSION, "48 to 59": 48, "24 to 47": 24, "1 to 23": 1}


def summary_table(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    """State of the bars and of each variable, as known at one moment.

    Parameters
    ----------
    bars : DataFrame
        Index ``timestamp`` (bar open, UTC), in order; open, high, low, close, source.
    observations : DataFrame
        variable, observation_date, published_at and fetched_at (UTC), value, source; a revision is a further
        row.
    findings : DataFrame
        severity and subject ("bars" or the variable).
    variables : mapping of MacroVariable by name
    as_of : Timestamp, timezone-aware
        What counts as now.

    Returns
    -------
    DataFrame
        One row for the bars, then one a variable: subject, priority, source (of the newest value),
        last_observation (a bar's open in UTC, or a date), last_value, unit, published_at (UTC; a bar's
        close), age_days since then, limit_days (NaN for bars), state, observations (bars, or dates with a
        published value), coverage, quarantined, reported. None, NaT or NaN where nothing is known.

    Notes
    -----
    Any frame may be empty. Bars are fresh if the last ended session has some, a variable while its age is
    within its limit. Coverage is the share of periods with a value (bars of sessions; business days where it
    is published, months, quarters), from the first observation to the last one that should be out.
    """
    return _summary(bars, _known(observations, as_of), findings, variables, as_of)


def _summary(
    bars: pd.DataFrame,
    known: Mapping[str, pd.DataFrame],
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    states = [_bar_state(bars, as_of)]
    for name, variable in variables.items():
        states.append(_series_state(name, variable, known.get(name), as_of))
    table = pd.DataFrame(states).astype({"source": "str", "last_observation": "str"})
    table["published_at"] = pd.to_datetime(table["published_at"], utc=True).astype("datetime64[us, UTC]")
    for severity in (QUARANTINED, REPORTED):
        subjects = findings.loc[findings["severity"] == severity, "subject"] if len(findings) else pd.Series()
        table[severity] = table["subject"].map(subjects.value_counts()).fillna(0).astype(int)
    return table


def session_calendar(bar_times: pd.DatetimeIndex, as_of: pd.Timestamp) -> pd.DataFrame:
    """Each Bogota date from the first bar to the last whose session is over, or that has none.

    Parameters
    ----------
    bar_times : DatetimeIndex, UTC, not empty
    as_of : Timestamp, timezone-aware

    Returns
    -------
    DataFrame
        By date (``datetime64``): ``bars`` and ``kind``, one of `KINDS`.
    """
    counts = pd.Series(*np.unique(session_dates(bar_times), return_counts=True)[::-1])
    first, today = counts.index[0].date(), as_of.tz_convert(BOGOTA).date()
    over = session_bar_times(np.datetime64(today))[-1] + BAR <= as_of
    days = pd.date_range(first, today if over else today - timedelta(days=1))
    n_bars = counts.reindex(days, fill_value=0).to_numpy()
    sessions = scheduled_sessions(first, today)
    kind = np.select(
        [n_bars >= fewest for fewest in _FEWEST.values()], list(_FEWEST), "none, though scheduled"
    )
    closed = ~days.isin(sessions)
    kind[closed] = np.where(n_bars[closed] > 0, "bars on a closed day", "closed day")
    return pd.DataFrame({"bars": n_bars, "kind": kind}, index=days)


def render_report(
    bars: pd.DataFrame,
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> str:
    """Draw what is stored and what was found at one moment as a self-contained HTML page.

    Parameters
    ----------
    bars, observations, findings, variables, as_of
        As for `summary_table`; findings also with rule, at, value, source and detail.

    Returns
    -------
    str
        Equal inputs give equal pages.
    """
    known = _known(observations, as_of)
    table = _summary(bars, known, findings, variables, as_of)
    sections = [
        _header(table, findings, as_of),
        _series_section(table, _courses(bars, known, variables, as_of)),
        "" if bars.empty else _library(),
        _calendar_section(bars, as_of),
        _flat_section(bars),
        _findings_section(findings),
    ]
    return _PAGE.format(style=_STYLE, script=_SCRIPT, body="\n".join(sections))


# ---- states


def _known(observations: pd.DataFrame, as_of: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Each variable's values published by `as_of`, the last one a date, in order of dates."""
    if observations.empty:
        return {}
    rows = observations[observations["published_at"] <= as_of]
    ordered = rows.sort_values(["variable", "observation_date", "published_at", "fetched_at"], kind="stable")
    latest = ordered.drop_duplicates(["variable", "observation_date"], keep="last")
    return {str(name): part for name, part in latest.groupby("variable")}


def _bar_state(bars: pd.DataFrame, as_of: pd.Timestamp) -> dict[str, Any]:
    if bars.empty:
        return _state(SUBJECT, "HIGH", "COP per USD", np.nan)
    times = pd.DatetimeIndex(bars.index)
    last = times[-1]
    return _state(
        SUBJECT, "HIGH", "COP per USD", np.nan,
        source=bars["source"].iloc[-1],
        last_observation=f"{last.tz_convert('UTC'):%Y-%m-%d %H:%M}",
        last_value=float(bars["close"].iloc[-1]),
        published_at=last + BAR,
        age_days=_age(last + BAR, as_of),
        state=FRESH if session_dates(times[-1:])[0] >= np.datetime64(last_ended_session(as_of)) else STALE,
        observations=len(bars),
        coverage=_bar_coverage(times, as_of),
    )  # fmt: skip


def _series_state(
    name: str, variable: MacroVariable, known: pd.DataFrame | None, as_of: pd.Timestamp
) -> dict[str, Any]:
    limit = float(variable.ffill_max_days)
    if known is None:
        return _state(name, variable.priority, variable.unit, limit)
    last: Any = known.iloc[-1]
    age = _age(last["published_at"], as_of)
    return _state(
        name, variable.priority, variable.unit, limit,
        source=last["source"],
        last_observation=str(last["observation_date"]),
        last_value=float(last["value"]),
        published_at=last["published_at"],
        age_days=age,
        state=FRESH if age <= limit else STALE,
        observations=len(known),
        coverage=_coverage(known, variable, as_of),
    )  # fmt: skip


def _state(subject: str, priority: str, unit: str, limit_days: float, **found: Any) -> dict[str, Any]:
    """One row of the summary; without anything found, that of something absent."""
    return {
        "subject": subject,
        "priority": priority,
        "source": found.get("source"),
        "last_observation": found.get("last_observation"),
        "last_value": found.get("last_value", np.nan),
        "unit": unit,
        "published_at": found.get("published_at", pd.NaT),
        "age_days": found.get("age_days", np.nan),
        "limit_days": limit_days,
        "state": found.get("state", ABSENT),
        "observations": found.get("observations", 0),
        "coverage": found.get("coverage", np.nan),
    }


def _age(since: pd.Timestamp, as_of: pd.Timestamp) -> float:
    return round((as_of - since) / _DAY, 2)


def _bar_coverage(times: pd.DatetimeIndex, as_of: pd.Timestamp) -> float:
    """Share of the sessions' bars from the first stored one to now that are stored."""
    stored = times[in_session(times)]
    if len(stored) == 0:
        return float("nan")
    today = as_of.tz_convert(BOGOTA).date()
    sessions = scheduled_sessions(session_dates(stored[:1])[0].astype(object), today)
    expected = BARS_PER_SESSION * len(sessions) - int(slots(stored[:1])[0])
    if len(sessions) and sessions[-1] == np.datetime64(today):
        expected -= int((session_bar_times(sessions[-1]) + BAR > as_of).sum())
    return len(stored) / expected


def _coverage(known: pd.DataFrame, variable: MacroVariable, as_of: pd.Timestamp) -> float:
    """Share of a variable's periods from its first observation to the last one due that have a value."""
    found = _period_starts(known["observation_date"].to_numpy("datetime64[D]"), variable)
    today = np.datetime64(as_of.tz_convert(variable.publication.zone).date())
    periods = np.unique(_period_starts(np.arange(found[0], today + 1), variable))
    if variable.frequency == "daily":
        closed = closed_days_around(periods, variable.publication.zone)
        periods = periods[np.is_busday(periods, holidays=closed)]
    due = published_at(periods.tolist(), variable.rule_of(known["source"].iloc[-1])) <= as_of
    return float(np.isin(periods[due], found).mean()) if due.any() else float("nan")


def _period_starts(days: np.ndarray, variable: MacroVariable) -> np.ndarray:
    """First day of the day, month or quarter each day lies in."""
    if variable.frequency == "daily":
        return days
    months = days.astype("datetime64[M]")
    if variable.frequency == "quarterly":
        months = months - months.astype(int) % 3
    starts: np.ndarray = months.astype("datetime64[D]")
    return starts


# ---- sections


def _header(table: pd.DataFrame, findings: pd.DataFrame, as_of: pd.Timestamp) -> str:
    series = table[table["subject"] != SUBJECT]
    states = series["state"].value_counts()
    severities = findings["severity"].value_counts() if len(findings) else pd.Series(dtype=int)
    tiles = {
        "bars": f"{table['observations'].iloc[0]:,}",
        "macro observations": f"{series['observations'].sum():,}",
        "variables": f"{len(series):,}",
        **{f"variables {state}": f"{states.get(state, 0):,}" for state in (FRESH, STALE, ABSENT)},
        **{f"findings {name}": f"{severities.get(name, 0):,}" for name in (QUARANTINED, REPORTED)},
    }
    drawn = "".join(f"<div><b>{value}</b>{_text(name)}</div>" for name, value in tiles.items())
    overdue = table[(table["priority"] == "HIGH") & (table["state"] != FRESH)]
    said = "All data of priority HIGH are within their limits."
    if len(overdue):
        names = ", ".join(f"{row.subject} ({row.state})" for row in overdue.itertuples())
        said = f"{len(overdue)} of priority HIGH are past their limit or absent: {names}."
    return (
        f"<h1>Data quality</h1><p class=lead>As known on {_minute(as_of)} UTC. Nothing on this page was "
        f"repaired or filled: a row is stored as it came, or put aside with its reason.</p>"
        f'<div class=tiles>{drawn}</div><p class="{"alarm" if len(overdue) else "calm"}">{_text(said)}</p>'
    )


def _series_section(table: pd.DataFrame, courses: Mapping[str, str]) -> str:
    order = table["priority"].map({name: place for place, name in enumerate(_PRIORITIES)})
    rows = [_series_row(row, courses) for row in table.iloc[order.argsort(kind="stable")].itertuples()]
    legend = _legend(
        {
            f"below {_NEAR_SHARE:.0%} of the limit": _GOOD,
            f"{_NEAR_SHARE:.0%} to 100% of it": _NEAR,
            "past it": _BAD,
        }
    )
    head = (
        "<th>subject<th>course<th class=n>last value<th>observed<th>published, UTC<th>age against its limit"
        "<th class=n>coverage<th class=n>values<th class=n>quaran&shy;tined<th class=n>reported"
    )
    return (
        "<h2>Freshness and coverage</h2><p>Age runs from a value's publication; a value carried forward only "
        "grows older. Past the tick, its limit, it counts as missing. Courses share one axis of time that "
        "ends now, so a series that stopped ends short of the right edge, and a course breaks where a value "
        "aged out before the next one came. Coverage counts the periods with a value from the first "
        f"observation to the last one that should be out.</p>{legend}"
        f"<table class=series><thead><tr>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _series_row(row: Any, courses: Mapping[str, str]) -> str:
    beside = row.priority if row.state == ABSENT else f"{row.priority} from {_clip(row.source, 40)}"
    name = f"<td><b>{_text(row.subject).replace('_', '_<wbr>')}</b><small>{_text(beside)}</small>"
    counts = f"<td class=n>{_count(row.quarantined)}<td class=n>{_count(row.reported)}"
    if row.state == ABSENT:
        return f"<tr class=absent>{name}<td colspan=5>no value{_limit(row)}<td class=n>-<td class=n>0{counts}"
    return (
        f"<tr>{name}<td>{courses.get(row.subject, '')}"
        f'<td class="n unit">{_number(row.last_value)}<small>{_text(row.unit)}</small>'
        f"<td class=t>{_text(row.last_observation)}<td class=t>{_minute(row.published_at)}<td>{_age_bar(row)}"
        f"<td class=n>{_share(row.coverage)}<td class=n>{row.observations:,}{counts}"
    )


def _limit(row: Any) -> str:
    return "" if np.isnan(row.limit_days) else f"; limit {row.limit_days:g} days"


def _age_bar(row: Any) -> str:
    """Draw an age against its limit; bars have none but the last session."""
    if np.isnan(row.limit_days):
        said = "the last session is there" if row.state == FRESH else "the last session is missing"
        colour = _GOOD if row.state == FRESH else _BAD
        return f'<span class=age>{row.age_days:,.1f} d</span><small style="color:{colour}">{said}</small>'
    used = row.age_days / row.limit_days
    colour = _BAD if row.state == STALE else _NEAR if used >= _NEAR_SHARE else _GOOD
    width, tick = 100 * min(used, _REACH) / _REACH, 100 / _REACH
    return (
        f"<span class=age>{row.age_days:,.1f} of {row.limit_days:g} d</span>"
        f'<div class=track><i style="width:{width:.1f}%;background:{colour}"></i>'
        f'<u style="left:{tick:.1f}%"></u></div>'
    )


def _calendar_section(bars: pd.DataFrame, as_of: pd.Timestamp) -> str:
    title = "<h2>Bars a session</h2>"
    if bars.empty:
        return f"{title}<p class=none>No bars are stored.</p>"
    calendar = session_calendar(pd.DatetimeIndex(bars.index), as_of)
    if calendar.empty:
        return f"{title}<p class=none>No session with bars is over yet.</p>"
    days = calendar["kind"].value_counts()
    legend = _legend({f"{kind} ({days.get(kind, 0):,})": colour for kind, colour in KINDS.items()})
    return (
        f"{title}<p>A column is a week, a row within a year a weekday, Monday on top. A full session has "
        f"{BARS_PER_SESSION} bars; {calendar.index[0]:%Y-%m-%d} to {calendar.index[-1]:%Y-%m-%d}, days of "
        f"each kind in brackets.</p>{legend}{_calendar_chart(calendar)}"
    )


def _calendar_chart(calendar: pd.DataFrame) -> str:
    import plotly.graph_objects as go

    days = pd.DatetimeIndex(calendar.index)
    first_year, kinds = int(days[0].year), list(KINDS)
    n_years = int(days[-1].year) - first_year + 1
    row = (days.year - first_year) * 8 + days.dayofweek
    column = _weeks_into_year(days)
    colour, said = np.full((8 * n_years, 54), np.nan), np.full((8 * n_years, 54), "", dtype=object)
    colour[row, column] = calendar["kind"].map(kinds.index)
    said[row, column] = [
        f"{day:%a %Y-%m-%d}: {n} bars" if n else f"{day:%a %Y-%m-%d}: {kind}"
        for day, n, kind in zip(days, calendar["bars"], calendar["kind"], strict=True)
    ]
    steps = [(edge / len(kinds), c) for k, c in enumerate(KINDS.values()) for edge in (k, k + 1)]
    figure = go.Figure(layout=_layout(40 + 96 * n_years))
    figure.add_heatmap(
        z=colour, text=said, hoverinfo="text", hoverongaps=False, colorscale=steps, showscale=False,
        zmin=-0.5, zmax=len(kinds) - 0.5, xgap=1, ygap=1,
    )  # fmt: skip
    months = pd.date_range(f"{first_year}-01-01", periods=12, freq="MS")
    figure.update_xaxes(
        tickvals=_weeks_into_year(months).tolist(), ticktext=[f"{m:%b}" for m in months], side="top",
        showgrid=False, zeroline=False, range=[-0.5, 53.5], ticks="",
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=[8 * year + 3 for year in range(n_years)],
        ticktext=[str(first_year + year) for year in range(n_years)],
        range=[8 * n_years - 0.5, -0.5], showgrid=False, zeroline=False, ticks="",
    )  # fmt: skip
    return _drawn(figure, "calendar")


def _weeks_into_year(days: pd.DatetimeIndex) -> np.ndarray:
    """Number of Mondays since the year began, the one of its first day left out."""
    new_year = days.to_numpy("datetime64[Y]").astype("datetime64[D]")
    weekday = (new_year.astype(int) + 3) % 7
    weeks: np.ndarray = (days.dayofyear.to_numpy() - 1 + weekday) // 7
    return weeks


def _flat_section(bars: pd.DataFrame) -> str:
    title = "<h2>Flat bars</h2>"
    if bars.empty:
        return f"{title}<p class=none>No bars are stored.</p>"
    sizes, shares = bars["source"].value_counts().to_dict(), flat_shares(bars)
    rows = "".join(
        f"<tr><td>{_text(_clip(source))}<td class=n>{sizes[source]:,}<td class=n>{share:.1%}"
        for source, share in shares.to_dict().items()
    )
    return (
        f"{title}<p>Share of bars with open = high = low = close, by source and year. The close of such a "
        "bar stands, its range does not.</p><div class=beside>"
        "<table><thead><tr><th>source<th class=n>bars<th class=n>flat</thead>"
        f"<tbody>{rows}</tbody></table>{_flat_chart(bars) if shares.any() else 'No bar is flat.'}</div>"
    )


def _flat_chart(bars: pd.DataFrame) -> str:
    import plotly.graph_objects as go

    years = session_dates(pd.DatetimeIndex(bars.index)).astype("datetime64[Y]").astype(str)
    parts = {str(year): part for year, part in bars.groupby(years)}
    shares = pd.DataFrame({year: flat_shares(part) for year, part in parts.items()})
    sizes = pd.DataFrame({year: part["source"].value_counts() for year, part in parts.items()})
    figure = go.Figure(layout=_layout(260))
    for place, source in enumerate(shares.index):
        figure.add_bar(
            x=list(parts),
            y=shares.loc[source].tolist(),
            customdata=sizes.loc[source].tolist(),
            name=_text(_clip(source, 40)),
            marker={"color": _SOURCE_COLOURS[place % len(_SOURCE_COLOURS)]},
            texttemplate="%{y:.1%}",
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.2%} of %{customdata:,} bars<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.2, "x": 0})
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(
        tickformat=".0%", range=[0, 1.08], tickvals=[0, 0.25, 0.5, 0.75, 1], title="flat bars"
    )
    return _drawn(figure, "flat-bars")


def _findings_section(findings: pd.DataFrame) -> str:
    title = "<h2>Findings</h2>"
    if findings.empty:
        return f"{title}<p class=none>Nothing was found.</p>"
    rules = [(str(rule), str(severity), rows) for (rule, severity), rows in _by_rule(findings)]
    rules.sort(key=lambda found: (found[1] != QUARANTINED, -len(found[2]), found[0]))
    blocks = "".join(_rule_block(*found) for found in rules)
    return (
        f"{title}<p>Quarantined: the row was put aside. Reported: it is stored, and odd. At most {_EXAMPLES} "
        "examples a rule, the earliest; all stand in the table data_quarantine.</p>"
        "<p><input id=filter type=search placeholder='rule, subject or text' aria-label='Filter findings'> "
        f"<span id=shown>{len(rules)} of {len(rules)}</span> rules</p>{blocks}"
    )


def _by_rule(findings: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    yield from findings.sort_values("at", kind="stable").groupby(["rule", "severity"])


def _rule_block(rule: str, severity: str, rows: pd.DataFrame) -> str:
    examples = "".join(_example(row) for row in rows.head(_EXAMPLES).itertuples())
    subjects = rows["subject"].value_counts()
    short, listed = _clip(subjects.index[0], 60), ""
    if len(subjects) > 1:
        short = f"{len(subjects):,} subjects"
        names = [f"{_clip(name, 60)} ({n:,})" for name, n in subjects.head(_MAX_NAMES).to_dict().items()]
        more = f" and {len(subjects) - len(names):,} more" if len(subjects) > len(names) else ""
        listed = f"<p>{_text(', '.join(names) + more)}</p>"
    return (
        f'<details class=rule><summary><b>{_text(_clip(rule, 60))}</b><span class="{_text(severity)}">'
        f"{_text(severity)}</span><span class=n>{len(rows):,}</span><span>{_text(short)}</span></summary>"
        f"{listed}<table><thead><tr><th>at, UTC<th>subject<th class=n>value<th>source<th>detail</thead>"
        f"<tbody>{examples}</tbody></table></details>"
    )


def _example(row: Any) -> str:
    subject, source, detail = (_text(_clip(cell)) for cell in (row.subject, row.source, row.detail))
    return (
        f"<tr><td class=t>{_minute(row.at)}<td>{subject}<td class=n>{_number(row.value)}<td>{source}"
        f"<td>{detail}"
    )


# ---- courses


def _courses(
    bars: pd.DataFrame,
    known: Mapping[str, pd.DataFrame],
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> dict[str, str]:
    """A small drawing a subject, all on one axis of time."""
    now = np.datetime64(as_of.tz_convert("UTC").tz_localize(None), "m")
    lines = {}
    if len(bars):
        times = pd.DatetimeIndex(bars.index).tz_convert("UTC").tz_localize(None)
        lines[SUBJECT] = times.to_numpy("datetime64[m]"), bars["close"].to_numpy(float), 5.0
    for name, rows in known.items():
        if name in variables:
            days = rows["observation_date"].to_numpy("datetime64[D]").astype("datetime64[m]")
            lines[name] = days, rows["value"].to_numpy(float), float(variables[name].ffill_max_days)
    begin = min((times[0] for times, _, _ in lines.values()), default=now)
    return {name: _course(*line, begin, now) for name, line in lines.items()}


def _course(
    times: np.ndarray, values: np.ndarray, max_gap_days: float, begin: np.datetime64, now: np.datetime64
) -> str:
    """Draw values over time, lowest and highest a pixel; a longer gap breaks the line."""
    width, height = _SPARK
    place = (times - begin) / max(now - begin, np.timedelta64(1, "m"))
    x = np.rint(place * (width - 6)).astype(int) + 2
    low, span = values.min(), np.ptp(values) or 1.0
    y = np.round((height - 4) * (1 - (values - low) / span) + 2, 1)
    breaks = np.diff(times, prepend=times[:1]) > np.timedelta64(1, "D") * max_gap_days
    breaks[0] = True
    starts = np.flatnonzero(breaks | (np.diff(x, prepend=x[:1]) > 0))
    bottom, top = np.maximum.reduceat(y, starts), np.minimum.reduceat(y, starts)
    path = "".join(
        f"{'M' if begins else 'L'}{across} {lower:g}V{upper:g}"
        for begins, across, lower, upper in zip(breaks[starts], x[starts], bottom, top, strict=True)
    )
    return (
        f'<svg width={width} height={height} role=img aria-label="from {low:g} to {values.max():g}">'
        f'<path d="{path}"/><line x1={width - 1} x2={width - 1} y1=0 y2={height} /></svg>'
    )


# ---- small tools


def _layout(height: int) -> dict[str, Any]:
    return {
        "height": height,
        "template": "none",
        "margin": {"l": 56, "r": 8, "t": 32, "b": 28},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1c2733"},
        "hoverlabel": {"align": "left"},
    }


def _drawn(figure: Any, name: str) -> str:
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=_PLOT)
    return f"<div class=plot>{html}</div>"


def _library() -> str:
    """plotly.js itself, once, for all figures of the page."""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def _legend(colours: Mapping[str, str]) -> str:
    items = "".join(
        f'<span><i style="background:{c}"></i>{_text(name)}</span>' for name, c in colours.items()
    )
    return f"<p class=legend>{items}</p>"


def _text(value: object) -> str:
    return escape(str(value))


def _clip(value: object, letters: int = _MAX_LETTERS) -> str:
    text = str(value)
    return text if len(text) <= letters else f"{text[: letters - 3]}..."


def _minute(moment: pd.Timestamp) -> str:
    return f"{moment.tz_convert('UTC'):%Y-%m-%d %H:%M}"


def _count(n: int) -> str:
    return f"{n:,}" if n else "-"


def _share(share: float) -> str:
    return "-" if np.isnan(share) else f"{np.floor(share * 1000) / 10:.1f}%"


def _number(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.5g}"


_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2733; max-width: 1320px; margin: 2rem auto 4rem;
  padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2.2rem 0 0.3rem; }
p { max-width: 60rem; margin: 0.3rem 0 0.8rem; } small { display: block; color: #5a6875; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; color: #5a6875; }
th, td { padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid #d9dfe5; vertical-align: top;
  overflow-wrap: anywhere; }
.n { text-align: right; } .n, .t, .age { font-variant-numeric: tabular-nums; }
.t, .age { white-space: nowrap; }
th.n, td.n { overflow-wrap: normal; }
.series { width: 100%; font-size: 0.87rem; }
.series td:first-child { min-width: 15rem; overflow-wrap: normal; } .unit { min-width: 7.5rem; }
.absent, .none { color: #5a6875; } .absent b { font-weight: 500; }
.lead { color: #5a6875; } .alarm { border-left: 4px solid #c0563b; } .calm { border-left: 4px solid #2f7f79; }
.alarm, .calm { padding-left: 0.7rem; overflow-wrap: anywhere; max-width: none; }
.tiles { display: flex; flex-wrap: wrap; gap: 0.6rem; margin: 1rem 0; }
.tiles div { background: #f4f6f8; border-radius: 0.4rem; padding: 0.5rem 0.9rem; color: #5a6875;
  font-size: 0.87rem; }
.tiles b { display: block; font-size: 1.3rem; color: #1c2733; }
.legend { max-width: none; font-size: 0.87rem; } .legend span { display: inline-block; margin-right: 1.2rem; }
.legend i { display: inline-block; width: 0.8rem; height: 0.8rem; margin-right: 0.35rem;
  vertical-align: -0.08rem; }
.track { position: relative; width: 9rem; height: 0.5rem; background: #e6eaee; margin-top: 0.15rem; }
.track i { display: block; height: 100%; }
.track u { position: absolute; top: -0.15rem; bottom: -0.15rem; width: 2px; background: #1c2733; }
svg path { fill: none; stroke: #1f5f8b; stroke-linecap: round; stroke-linejoin: round; }
svg line { stroke: #9aa7b3; }
td svg { display: block; } .beside { display: flex; gap: 2rem; align-items: flex-start; }
.beside .plot { flex: 1; min-width: 0; }
details { border-bottom: 1px solid #d9dfe5; padding: 0.35rem 0; font-size: 0.9rem; }
[hidden] { display: none; }
details table { width: 100%; font-size: 0.87rem; }
summary { cursor: pointer; display: grid; grid-template-columns: 0.6rem 14rem 8rem 5rem 1fr; gap: 1rem; }
summary::before { content: "+"; color: #5a6875; } [open] > summary::before { content: "-"; }
summary .quarantined { color: #c0563b; } summary .reported { color: #1f5f8b; }
input { font: inherit; padding: 0.3rem 0.6rem; width: 20rem; border: 1px solid #9aa7b3;
  border-radius: 0.4rem; }
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
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Data quality</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';
 style-src 'unsafe-inline'; img-src data: blob:">
<style>{style}</style></head>
<body>
{body}
<script>{script}</script>
</body></html>
"""
