"""What a delivery would change of what is stored: counted, shown, and refused when too much."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.quality_thresholds import ChangeParams
from dosvotos.errors import DataError
from dosvotos.market.alignment import is_dated
from dosvotos.quality.findings import BARS, FINDING_COLUMNS, REPORTED, no_findings

CHANGES: Final = "changes"
"""Rule of the finding that counts the changes, and section of their limits."""
_FINE: Final = 0.01


class Changes(NamedTuple):
    """Stored values that a delivery holds too, and those of them that it changes."""

    subject: str
    """``bars``, or the macro variable."""
    stored: int
    changed: int
    largest: float
    """Largest change, as a share of the stored value."""
    first: pd.Timestamp
    """Of the first change: bar open or observation date, UTC."""
    before: float
    after: float
    origin: str
    """What an error calls the delivered values, such as their file."""

    def describe(self) -> str:
        """Say how many stored values change, by how much, and the first of them."""
        what = "closes" if self.subject == BARS else "values"
        when = f"{self.first:%Y-%m-%d %H:%M} UTC" if self.subject == BARS else f"{self.first:%Y-%m-%d}"
        largest = f"{self.largest:.1%}" if self.largest >= _FINE else f"{self.largest:.3%}"
        return (
            f"changes {self.changed:,} of {self.stored:,} stored {what}, largest {largest}, first "
            f"{when}: {self.before:,.6g} stored, {self.after:,.6g} delivered"
        )


def bar_changes(
    bars: pd.DataFrame, stored: pd.DataFrame, agree_within: float, origin: str = BARS
) -> list[Changes]:
    """Count the stored closes that bars of the same source change by more than `agree_within`; none is empty.

    Both frames have timestamp (UTC), close and source; `stored` each instant once.
    """
    both = bars.merge(stored, on=["timestamp", "source"], suffixes=("", "_stored"))
    keyed = both.assign(subject=BARS, at=both["timestamp"], after=both["close"], before=both["close_stored"])
    return _count(keyed, agree_within, origin)


def macro_changes(observations: pd.DataFrame, stored: pd.DataFrame, origin: str = "macro") -> list[Changes]:
    """Count, by variable, the stored values that observations of the same source and vintage change.

    Both frames have variable, observation_date, value, vintage and source; undated vintages are one another's
    revisions, and the last stored row of a value counts.
    """
    keys = ["variable", "observation_date", "source", "key"]
    new, old = (
        rows.assign(key=rows["vintage"].astype("str").where(is_dated(rows["vintage"]), ""))
        for rows in (observations, stored)
    )
    both = new.merge(old.drop_duplicates(keys, keep="last"), on=keys, suffixes=("", "_stored"))
    at = pd.to_datetime(both["observation_date"]).dt.tz_localize("UTC")
    keyed = both.assign(subject=both["variable"], at=at, after=both["value"], before=both["value_stored"])
    return _count(keyed, 0.0, origin)


def refuse_rewrites(
    changes: list[Changes], variables: Mapping[str, MacroVariable], limits: ChangeParams
) -> None:
    """Refuse a delivery that changes more than the limit; a variable its source revises may change at will.

    Raises
    ------
    DataError
        Naming the subject with most changes, their number and size, the limit, and the way out.
    """
    too_many = [
        found
        for found in changes
        if found.changed >= limits.min_changed
        and found.changed > limits.max_share * found.stored
        and not (found.subject in variables and variables[found.subject].revised)
    ]
    if not too_many:
        return
    worst = max(too_many, key=lambda found: found.changed)
    others = f"; {len(too_many) - 1} more subject(s) alike" if len(too_many) > 1 else ""
    subject = "" if worst.subject == BARS else f"{worst.subject}: "
    raise DataError(
        f"{worst.origin}: {subject}{worst.describe()}{others}; at most {limits.max_share:.0%} may change "
        "unasked (quality_thresholds.changes). Nothing is stored. If this delivery is the better history, "
        "add --params data_acquisition.revise=true: what is stored stays, and as-of queries still see it"
    )


def changes_found(changes: list[Changes], source: str) -> pd.DataFrame:
    """Return a finding, reported, about the changes of each subject."""
    rows = [
        (CHANGES, REPORTED, c.subject, c.first, c.changed / c.stored, c.describe(), source) for c in changes
    ]
    found = pd.DataFrame(rows, columns=list(FINDING_COLUMNS))
    return found.astype(no_findings().dtypes.to_dict())


def _count(both: pd.DataFrame, agree_within: float, origin: str) -> list[Changes]:
    """Count the rows of each subject in which ``before`` and ``after`` differ, in time order."""
    found = []
    for subject, rows in both.groupby("subject"):
        differs = np.abs(rows["after"] - rows["before"]) > agree_within * (1 + 1e-9)
        changed = rows[differs].sort_values("at", kind="stable")
        if len(changed):
            with np.errstate(divide="ignore"):
                largest = float(np.abs(changed["after"] / changed["before"] - 1).max())
            first = changed.iloc[0]
            size = len(rows), len(changed), largest
            found.append(Changes(str(subject), *size, first["at"], first["before"], first["after"], origin))
    return found
