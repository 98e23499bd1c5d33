"""What a judgement says, and the sieve its rules work on."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

QUARANTINED: Final = "quarantined"
REPORTED: Final = "reported"
FINDING_COLUMNS: Final = ("rule", "severity", "subject", "at", "value", "detail", "source")
_DTYPES: Final = dict.fromkeys(FINDING_COLUMNS, "str") | {"at": "datetime64[us, UTC]", "value": "float64"}
_ORDER: Final = ["at", "subject", "rule", "source", "detail"]


class Judged(NamedTuple):
    """Rows after their judgement; no value of a row is ever changed."""

    kept: pd.DataFrame
    """The columns of the input, in order."""
    findings: pd.DataFrame
    """rule, severity ("quarantined": the row was put aside; "reported"), subject ("bars" or the variable), at
    (UTC: bar open, or midnight of the observation date), value (as found; NaN where there is none), detail (a
    sentence) and source, by time."""

    @property
    def quarantined(self) -> pd.DataFrame:
        """The findings that put a row aside, one a row."""
        return self.findings[self.findings["severity"] == QUARANTINED]


def no_findings() -> pd.DataFrame:
    """An empty frame of findings."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in _DTYPES.items()})


class Sieve:
    """Rows on their way through the rules; a rule takes out what breaks it and says why.

    Parameters
    ----------
    rows : DataFrame
        With a column ``source`` and a unique index.
    subject : Series
        What each row is about, by the index of `rows`.
    at : Series of UTC timestamps
        When, by the index of `rows`.
    """

    def __init__(self, rows: pd.DataFrame, subject: pd.Series, at: pd.Series) -> None:
        self.rows = rows
        self._subject = subject
        self._at = at.astype("datetime64[us, UTC]")
        self._findings: list[pd.DataFrame] = []
        self._reports: list[tuple[str, str, str, pd.Timestamp, float, str, str]] = []

    def take_out(
        self,
        rule: str,
        broken: np.ndarray,
        value: pd.Series,
        detail: Sequence[str],
        severity: str = QUARANTINED,
    ) -> None:
        """Put rows aside, each with its finding.

        Parameters
        ----------
        rule : str
        broken : ndarray of bool, shape (n_rows,)
        value : Series of shape (n_rows,)
            The value found.
        detail : sequence of str, shape (n_broken,)
        severity : str
            ``REPORTED`` only for a row whose twin stays, so that nothing is lost.
        """
        if not broken.any():
            return
        out = self.rows.index[broken]
        columns = {
            "rule": rule,
            "severity": severity,
            "subject": self._subject[out].to_numpy(),
            "at": self._at[out].array,
            "value": value.to_numpy(float)[broken],
            "detail": list(detail),
            "source": self.rows["source"][broken].to_numpy(),
        }
        self._findings.append(pd.DataFrame(columns))
        self.rows = self.rows[~broken]

    def doubt(
        self, rule: str, broken: np.ndarray, value: pd.Series, detail: Sequence[str], action: str
    ) -> None:
        """Put doubtful rows aside, or only report them, as `action` ("quarantine" or "report") says."""
        if action == "quarantine":
            self.take_out(rule, broken, value, detail)
            return
        rows = self.rows
        self.take_out(rule, broken, value, detail, REPORTED)
        self.rows = rows

    def report(
        self, rule: str, subject: str, at: pd.Timestamp, value: float, detail: str, source: str = ""
    ) -> None:
        """Say something about the rows that stay."""
        self._reports.append((rule, REPORTED, subject, at, float(value), detail, source))

    def judged(self) -> Judged:
        """What stays, and all that was found."""
        reports = pd.DataFrame(self._reports, columns=list(FINDING_COLUMNS))
        found = pd.concat([part.astype(_DTYPES) for part in (reports, *self._findings)], ignore_index=True)
        return Judged(
            self.rows.reset_index(drop=True), found.sort_values(_ORDER, kind="stable", ignore_index=True)
        )
