import datetime as dt

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError

from dosvotos.database.connection import writing
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.database.tables import data_quarantine

DAY = dt.datetime(2026, 1, 5, 18, tzinfo=dt.UTC)


def findings(*values: float) -> pd.DataFrame:
    at = pd.date_range("2026-01-05 13:00", periods=len(values), freq="5min", tz="UTC").as_unit("us")
    return pd.DataFrame(
        {
            "rule": "out_of_range", "severity": "quarantined", "subject": "bars", "at": at, "value": values,
            "source": "test", "detail": [f"found {value}; it's \"odd\"" for value in values],
        }
    )  # fmt: skip


def test_a_finding_is_written_once_and_comes_back_as_it_was(engine):
    table = QuarantineTable(engine, "USD/COP", "market")
    assert table.store(findings(1.0, np.nan), DAY) == 2
    assert table.store(findings(1.0, np.nan, 3.0), DAY + dt.timedelta(hours=1)) == 1
    back = table.as_of(DAY)
    pd.testing.assert_frame_equal(
        back[["rule", "subject", "at", "value", "detail"]],
        findings(1.0, np.nan)[["rule", "subject", "at", "value", "detail"]],
        check_dtype=False,
    )
    assert len(table.as_of(DAY + dt.timedelta(hours=1))) == 3
    assert (
        QuarantineTable(engine, "USD/COP", "other").as_of(DAY).empty
        and QuarantineTable(engine, "X", "market").as_of(DAY).empty
    )


def test_nothing_found_writes_nothing(engine):
    assert QuarantineTable(engine, "USD/COP", "market").store(findings(), DAY) == 0


def test_a_finding_cannot_be_removed(engine):
    QuarantineTable(engine, "USD/COP", "market").store(findings(1.0), DAY)
    with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
        connection.execute(delete(data_quarantine))
