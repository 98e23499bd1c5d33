"""What is stored and what was found, as known at one moment: a state a subject, a kind a day."""

from collections.abc import Mapping
from datetime import timedelta
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
from dosvotos.quality.bars import SUBJECT
from dosvotos.quality.findings import QUARANTINED, REPORTED

FRESH: Final = "fresh"
STALE: Final = "stale"
ABSENT: Final = "absent"
_DAY: Final = pd.Timedelta(days=1)
_FEWEST: Final = {"60 bars": BARS_PER_SESSION, "48 to 59": 48, "24 to 47": 24, "1 to 23": 1}
_NONE, _CLOSED, _CLOSED_WITH_BARS = "none, though scheduled", "closed day", "bars on a closed day"
KINDS: Final = (*_FEWEST, _NONE, _CLOSED, _CLOSED_WITH_BARS)
"""What a day can be by its bars."""


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
    known = known_values(observations, as_of)
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
    kind = np.select([n_bars >= fewest for fewest in _FEWEST.values()], list(_FEWEST), _NONE)
    closed = ~days.isin(sessions)
    kind[closed] = np.where(n_bars[closed] > 0, _CLOSED_WITH_BARS, _CLOSED)
    return pd.DataFrame({"bars": n_bars, "kind": kind}, index=days)


def known_values(observations: pd.DataFrame, as_of: pd.Timestamp) -> dict[str, pd.DataFrame]:
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
