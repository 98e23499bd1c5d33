"""Findings of the quality rules, and the check that collects them while it quarantines rows."""

from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple, Self

import numpy as np
import pandas as pd

from dosvotos.errors import DataError

BARS: Final = "bars"
"""Subject of findings and fetch outcomes about bars; those about a macro variable carry its name."""
QUARANTINED: Final = "quarantined"
REPORTED: Final = "reported"
FINDING_COLUMNS: Final = ("rule", "severity", "subject", "at", "value", "detail", "source")
_DTYPES: Final = dict.fromkeys(FINDING_COLUMNS, "str") | {"at": "datetime64[us, UTC]", "value": "float64"}
_ORDER: Final = ["at", "subject", "rule", "source", "detail"]


class CheckedRows(NamedTuple):
    """Rows that passed a check, and its findings; no value of a row is ever changed."""

    kept: pd.DataFrame
    """The columns of the input, in order."""
    findings: pd.DataFrame
    """One row a finding, by time: rule, severity ("quarantined": the row is not kept; "reported"), subject
    ("bars" or the variable), at (UTC: bar open, or midnight of the observation date), value (as it came; NaN
    where there is none), detail (a sentence), source."""

    @property
    def quarantined(self) -> pd.DataFrame:
        """The findings of severity "quarantined", one a quarantined row."""
        return self.findings[self.findings["severity"] == QUARANTINED]

    def followed_by(self, check: "QualityCheck") -> "CheckedRows":
        """Give the rows that a further check of these leaves, and the findings of both."""
        checked = check.result()
        return CheckedRows(checked.kept, pd.concat([self.findings, checked.findings], ignore_index=True))


def require_columns(what: str, frame: pd.DataFrame, columns: Iterable[str], hint: str = "") -> None:
    """Raise DataError that names the columns a frame lacks."""
    if missing := [name for name in columns if name not in frame]:
        raise DataError(
            f"{what}: column(s) {missing} are missing, found {list(frame.columns)}{hint}; name them so"
        )


def require_zone(what: str, times: pd.Series) -> None:
    """Raise DataError if times carry no zone."""
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise DataError(
            f"{what}: timestamps must carry their time zone, found naive ones; write "
            "2025-07-01T13:00:00+00:00"
        )


def no_findings() -> pd.DataFrame:
    """Return an empty frame of findings."""
    return _empty().copy()


@cache
def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in _DTYPES.items()})


class QualityCheck:
    """Rows under check: each rule removes or reports the rows that violate it, with a finding for each.

    Parameters
    ----------
    rows : DataFrame
        With a column ``source`` and a unique index.
    subject, at, value : Series, by the index of `rows`
        What findings about a row are filed under; `at` in UTC.

    Attributes
    ----------
    rows : DataFrame
        The rows that no rule has removed so far.

    Notes
    -----
    A rule passes ``violates``, a mask of the rows left, and ``detail``, a sentence for each row in it.
    """

    def __init__(self, rows: pd.DataFrame, subject: pd.Series, at: pd.Series, value: pd.Series) -> None:
        self.rows = rows
        self._columns = pd.DataFrame({"subject": subject, "at": at, "value": value})
        self._row_findings: list[pd.DataFrame] = []
        self._reports: list[tuple[str, str, str, pd.Timestamp, float, str, str]] = []

    @classmethod
    def of_macro(cls, rows: pd.DataFrame) -> Self:
        """Check macro rows: variable, observation_date, value, source; findings are dated at midnight."""
        midnight = pd.to_datetime(rows["observation_date"]).dt.tz_localize("UTC")
        return cls(rows, rows["variable"], midnight, rows["value"])

    def quarantine(self, rule: str, violates: np.ndarray, detail: list[str]) -> None:
        """Remove the rows that violate a rule, with a finding "quarantined" for each."""
        self.flag(rule, violates, detail, "quarantine")

    def remove_duplicates(self, rule: str, violates: np.ndarray, detail: list[str]) -> None:
        """Remove rows whose equal is kept, with a finding "reported" for each: nothing is lost."""
        self._add(rule, REPORTED, violates, detail, None)
        self.rows = self.rows[~violates]

    def flag(
        self, rule: str, violates: np.ndarray, detail: list[str], action: str, value: pd.Series | None = None
    ) -> None:
        """Quarantine the rows that violate a rule, or keep and report them, as `action` says.

        `value` stands in the findings instead of the row's own.
        """
        severity = QUARANTINED if action == "quarantine" else REPORTED
        self._add(rule, severity, violates, detail, value)
        if severity == QUARANTINED:
            self.rows = self.rows[~violates]

    def report(
        self, rule: str, subject: str, at: pd.Timestamp, value: float, detail: str, source: str = ""
    ) -> None:
        """Add a finding "reported" about several of the rows left, or about missing ones."""
        self._reports.append((rule, REPORTED, subject, at, float(value), detail, source))

    def result(self) -> CheckedRows:
        """Return the rows left and all findings."""
        reports = pd.DataFrame(self._reports, columns=list(FINDING_COLUMNS))
        findings = pd.concat([part.astype(_DTYPES) for part in (reports, *self._row_findings)])
        ordered = findings.sort_values(_ORDER, kind="stable", ignore_index=True)
        return CheckedRows(self.rows.reset_index(drop=True), ordered)

    def _add(
        self, rule: str, severity: str, violates: np.ndarray, detail: list[str], value: pd.Series | None
    ) -> None:
        rows = self.rows[violates]
        if len(rows):
            columns = self._columns.loc[rows.index].assign(
                rule=rule, severity=severity, detail=list(detail), source=rows["source"]
            )
            columns["value"] = columns["value"] if value is None else value[rows.index]
            self._row_findings.append(columns[list(FINDING_COLUMNS)])
