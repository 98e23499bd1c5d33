"""What is stored, in tables: a row a variable, a row a source of bars."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES
from dosvotos.contracts.parameters import MacroVariable
from dosvotos.market.calendar import closed_days_around, published_at
from dosvotos.quality.bars import SUBJECT, flat_shares
from dosvotos.quality.findings import QUARANTINED

FRESH: Final = "fresh"
AGEING: Final = "ageing"
STALE: Final = "stale"
ABSENT: Final = "absent"
_AGEING_FROM: Final = 0.75


def summary_table(
    observations: pd.DataFrame,
    findings: pd.DataFrame,
    variables: Mapping[str, MacroVariable],
    as_of: pd.Timestamp,
) -> pd.DataFrame:
    """Say of each variable what is known of it at a moment, and how old that is.

    Parameters
    ----------
    observations : DataFrame
        variable, observation_date, published_at (UTC), value, as stored; a revision is a further row.
    findings : DataFrame
        As judgements return them.
    variables : mapping of MacroVariable by name
    as_of : Timestamp, timezone-aware

    Returns
    -------
    DataFrame, a row a variable: those behind features first, then those behind financing, then the others
        variable, description, used_by ("features", "financing" or ""), frequency, unit, last_value,
        observation_date, published_at (UTC), age_days since its publication, limit_days, state ("fresh",
        "ageing" from three quarters of the limit on, "stale" beyond it, "absent"), coverage (share of the
        periods due since the first value that have one), observations, quarantined. A value is never carried
        forward: an old one shows its age. NaN, None and NaT where nothing is known.
    """
    known = observations[observations["published_at"] <= as_of]
    aside = findings.loc[findings["severity"] == QUARANTINED, "subject"].value_counts()
    by_variable = dict(list(known.groupby("variable")))
    rows = [
        _summary(name, variable, by_variable.get(name, known.iloc[:0]), as_of)
        | {"quarantined": int(aside.get(name, 0))}
        for name, variable in variables.items()
    ]
    table = pd.DataFrame(rows)
    order = table["used_by"].map({"features": 0, "financing": 1, "": 2})
    frequency = table["frequency"].map({"daily": 0, "monthly": 1, "quarterly": 2})
    return table.iloc[np.lexsort((table["variable"], frequency, order))].reset_index(drop=True)


def source_table(bars: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Say of each source how many bars are stored, which part of them is flat, and how many were put aside.

    Parameters
    ----------
    bars : DataFrame
        timestamp (UTC), open, high, low, close, source.
    findings : DataFrame

    Returns
    -------
    DataFrame, a row a source
        source, bars, first, last (UTC), flat_share, quarantined.
    """
    times = bars.groupby("source")["timestamp"]
    table = pd.DataFrame({"bars": times.size(), "first": times.min(), "last": times.max()})
    aside = findings[(findings["severity"] == QUARANTINED) & (findings["subject"] == SUBJECT)]
    counts = aside["source"].value_counts()
    table = table.join(flat_shares(bars).rename("flat_share"), how="outer").reindex(
        sorted(set(table.index) | set(counts.index))
    )
    table = table.assign(quarantined=counts.reindex(table.index, fill_value=0))
    return table.fillna({"bars": 0}).astype({"bars": int}).rename_axis("source").reset_index()


def _summary(name: str, variable: MacroVariable, known: pd.DataFrame, as_of: pd.Timestamp) -> dict[str, Any]:
    row: dict[str, Any] = {
        "variable": name,
        "description": variable.description,
        "used_by": _used_by(name),
        "frequency": variable.frequency,
        "unit": variable.unit,
        "last_value": np.nan,
        "observation_date": None,
        "published_at": pd.NaT,
        "age_days": np.nan,
        "limit_days": variable.ffill_max_days,
        "state": ABSENT,
        "coverage": np.nan,
        "observations": 0,
    }
    if known.empty:
        return row
    last: Any = known.sort_values(["observation_date", "published_at"], kind="stable").iloc[-1]
    age = (as_of - last["published_at"]) / pd.Timedelta(days=1)
    return row | {
        "last_value": float(last["value"]),
        "observation_date": last["observation_date"],
        "published_at": last["published_at"],
        "age_days": age,
        "state": _state(age / variable.ffill_max_days),
        "coverage": _coverage(known, variable, as_of),
        "observations": known["observation_date"].nunique(),
    }


def _used_by(name: str) -> str:
    if name in MACRO_SOURCES.values():
        return "features"
    return "financing" if name in FINANCING_SOURCES.values() else ""


def _state(share_of_limit: float) -> str:
    if share_of_limit > 1:
        return STALE
    return AGEING if share_of_limit >= _AGEING_FROM else FRESH


def _coverage(known: pd.DataFrame, variable: MacroVariable, as_of: pd.Timestamp) -> float:
    """Share of the business days, months or quarters due since the first value that have one."""
    days = np.unique(known["observation_date"].to_numpy("datetime64[D]"))
    today = np.datetime64(as_of.tz_convert(variable.publication.zone).date(), "D")
    if variable.frequency == "daily":
        due = np.arange(days[0], today + 1)
        due = due[np.is_busday(due, holidays=closed_days_around(due, variable.publication.zone))]
        have = days
    else:
        step = 1 if variable.frequency == "monthly" else 3
        have = np.unique(days.astype("datetime64[M]").astype(int) // step * step).astype("datetime64[M]")
        months = np.arange(have[0].astype(int), today.astype("datetime64[M]").astype(int) + 1, step)
        due = months.astype("datetime64[M]").astype("datetime64[D]")
        have = have.astype("datetime64[D]")
    due = due[published_at(due.tolist(), variable.publication) <= as_of]
    return float(np.isin(due, have).mean()) if len(due) else np.nan
