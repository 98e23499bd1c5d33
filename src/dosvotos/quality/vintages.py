"""Quality of the earlier dated vintages of an observation: each is judged, not the latest alone."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.quality_thresholds import MacroQualityParams
from dosvotos.market.alignment import is_dated
from dosvotos.quality.findings import CheckedRows, QualityCheck, no_findings
from dosvotos.quality.macro import check_macro
from dosvotos.quality.series import Variables, format_ratio, log_ratio, power_of_ten

OFF_VINTAGE: Final = "off_vintage"
_OBSERVATION: Final = ["variable", "observation_date"]


def is_superseded(macro: pd.DataFrame) -> pd.Series:
    """Mask the dated vintages of which the same frame holds a later one."""
    in_order = macro.sort_values("vintage", kind="stable")
    superseded = in_order.duplicated(_OBSERVATION, keep="last")
    return (superseded & is_dated(in_order["vintage"])).reindex(macro.index)


def check_superseded(
    superseded: pd.DataFrame,
    latest: pd.DataFrame,
    variables: Variables,
    thresholds: MacroQualityParams,
    as_of: pd.Timestamp,
) -> CheckedRows:
    """Quarantine the superseded vintages that violate a rule.

    Parameters
    ----------
    superseded : DataFrame
        variable, observation_date, value, vintage, source; several vintages of an observation.
    latest : DataFrame
        The latest vintage of each observation, where it was kept.
    variables, thresholds, as_of
        As for `check_macro`.

    Returns
    -------
    CheckedRows
        Findings are quarantined rows alone: anomalies are reported of the latest vintages.

    Notes
    -----
    The vintages before the last of each observation are a series, those before them another, and so on; each
    is checked by every rule of macro values. A value must also lie within its variable's step ratio of the
    latest vintage, and no power of ten away: unless ``lasting`` periods in a row are off alike, as before a
    new base year, which makes no splice either.
    """
    kept, findings = [superseded[:0]], [no_findings()]
    for rows in _by_age(superseded):
        alone = check_macro(rows, variables, thresholds, as_of)
        out = alone.quarantined
        out_keys = pd.MultiIndex.from_arrays([out["subject"], out["at"].dt.date])
        on_another_level = (out["rule"] == "splice").to_numpy() & out_keys.isin(_keys(latest))
        spliced = rows[_keys(rows).isin(out_keys[on_another_level])]
        beside = _compare(pd.concat([alone.kept, spliced]), latest, variables, thresholds)
        kept.append(beside.kept)
        findings += [out[~on_another_level], beside.findings]
    return CheckedRows(*(pd.concat(parts, ignore_index=True) for parts in (kept, findings)))


def _by_age(superseded: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the vintages before the last, then those before them ..., each observation once at most."""
    by_vintage = superseded.sort_values("vintage", ascending=False, kind="stable")
    age = by_vintage.groupby(_OBSERVATION).cumcount()
    yield from (rows for _, rows in by_vintage.groupby(age))


def _compare(
    rows: pd.DataFrame, latest: pd.DataFrame, variables: Variables, thresholds: MacroQualityParams
) -> CheckedRows:
    """Quarantine the values far from the latest vintage of their observation."""
    rows = rows.sort_values(_OBSERVATION, kind="stable", ignore_index=True)
    check = QualityCheck.of_macro(rows)
    newest = latest.drop_duplicates(_OBSERVATION, keep="last").set_index(_OBSERVATION)["value"]
    value = rows["value"].to_numpy(float)
    last = newest.reindex(_keys(rows)).to_numpy(float)
    described = [variables[name] for name in rows["variable"]]
    limit = np.array([v.max_step_ratio or np.inf for v in described])
    lasting = np.array([getattr(thresholds.lasting, v.frequency) for v in described])
    far = log_ratio(value, last) > np.log(limit)
    slips = far & (power_of_ten(value, last) != 0)
    violates = slips | (far & (_run_lengths(rows["variable"], far) < lasting))
    detail = [
        f"{v:g} of vintage {day} is {format_ratio(v, n)} the {n:g} of the latest vintage"
        for v, day, n in zip(value[violates], rows["vintage"][violates], last[violates], strict=True)
    ]
    check.quarantine(OFF_VINTAGE, violates, detail)
    return check.result()


def _keys(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[_OBSERVATION])


def _run_lengths(subject: pd.Series, mask: np.ndarray) -> np.ndarray:
    """Return how many rows in a row of its variable are marked like each."""
    changes = (np.diff(mask, prepend=mask[:1]) != 0) | (subject.ne(subject.shift()).to_numpy())
    run = np.cumsum(changes)
    return np.asarray(np.bincount(run, minlength=run.max(initial=0) + 1)[run])
