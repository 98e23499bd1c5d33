"""Whole frames into a table: shared values, times to the microsecond, and errors as SQLAlchemy's."""

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from dosvotos.database.bulk import insert_frame, read_frame
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import usdcop_m5_ohlcv
from dosvotos.errors import DatabaseError

TIMES = ["1969-12-31 23:59:59.999999", "2026-01-05 13:00", "2026-01-05 13:05:00.000001", "2199-12-31 23:55"]
SHARED = {
    "instrument": "USD/COP", "feed": "market", "source": "it's", "delivery_id": 7,
    "fetched_at": pd.Timestamp("2026-01-06 00:00:00.123456", tz="UTC"),
}  # fmt: skip


def frame() -> pd.DataFrame:
    times = pd.DatetimeIndex([pd.Timestamp(at, tz="America/Bogota") for at in TIMES]).as_unit("us")
    prices = {name: np.arange(4.0) + 1 / 3 for name in ("open", "high", "low", "close")}
    return pd.DataFrame({"timestamp": times, **prices, "volume": [1.0, np.nan, 0.0, 2.5]})


def stored(engine) -> pd.DataFrame:
    with reading(engine) as connection:
        return read_frame(connection, select(usdcop_m5_ohlcv).order_by(usdcop_m5_ohlcv.c.timestamp))


def test_values_that_rows_share_are_stored_as_if_each_row_had_its_own(engine):
    with writing(engine) as connection:
        insert_frame(connection, usdcop_m5_ohlcv, frame(), SHARED)
        own = frame().assign(**{**SHARED, "feed": "other"})
        insert_frame(connection, usdcop_m5_ohlcv, own)
    rows = stored(engine)
    shared, each = (
        rows[rows["feed"] == feed].drop(columns="feed").reset_index(drop=True) for feed in ("market", "other")
    )
    pd.testing.assert_frame_equal(shared, each)
    assert shared["timestamp"].tolist() == frame()["timestamp"].tolist()
    assert shared["fetched_at"].unique().tolist() == [SHARED["fetched_at"]]
    assert shared["source"].unique().tolist() == ["it's"]
    np.testing.assert_array_equal(shared["volume"], [1.0, np.nan, 0.0, 2.5])


def test_columns_are_of_the_same_kinds_where_no_row_is_found(engine):
    names = [column.name for column in usdcop_m5_ohlcv.columns if column.name != "delivery_id"]
    none = stored(engine)
    with writing(engine) as connection:
        insert_frame(connection, usdcop_m5_ohlcv, frame(), SHARED)
    assert len(none) == 0 and none[names].dtypes.to_dict() == stored(engine)[names].dtypes.to_dict()


def test_a_row_that_exists_is_refused_with_sqlalchemys_error_and_nothing_of_the_frame_stays(engine):
    with writing(engine) as connection:
        insert_frame(connection, usdcop_m5_ohlcv, frame().iloc[2:3], SHARED)
    with pytest.raises(IntegrityError), writing(engine) as connection:
        insert_frame(connection, usdcop_m5_ohlcv, frame(), SHARED)
    assert len(stored(engine)) == 1


def test_a_database_that_fails_meanwhile_is_named_in_one_message(engine, monkeypatch):
    refuse = "PRAGMA query_only=1" if engine.dialect.name == "sqlite" else "SET statement_timeout = 1"
    times = pd.date_range("2026-01-05", periods=5_000, freq="5min", tz="UTC").as_unit("us")
    rows = frame().iloc[[1] * len(times)].assign(timestamp=times)
    with pytest.raises(DatabaseError), writing(engine) as connection:
        connection.exec_driver_sql(refuse)
        insert_frame(connection, usdcop_m5_ohlcv, rows, SHARED)
