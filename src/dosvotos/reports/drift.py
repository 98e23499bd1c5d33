"""Val's drift from train, as a page shows it."""

from collections.abc import Sequence
from typing import Final

from dosvotos.contracts.records import FeatureDrift
from dosvotos.formats import RATIO
from dosvotos.reports.tables import EN, Cell, Table, rows_table

_COLUMNS: Final = ("feature", "rule", "largest", "limit", "alarm since", "sessions beyond")


def drift_table(drift: Sequence[FeatureDrift]) -> Table:
    """Write one row a feature; what alarms asks for attention."""
    rows = [
        (
            found.feature, found.rule,
            Cell(EN.write(found.statistic, RATIO), bad=found.first_alarm is not None),
            EN.write(found.limit, RATIO), found.first_alarm, found.sessions_beyond,
        )
        for found in drift
    ]  # fmt: skip
    return rows_table(rows, _COLUMNS, right=("largest", "limit"))
