"""Deliveries and their retraction: as-of queries before it see what they saw, later ones do not."""

import datetime as dt

import pandas as pd
import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from dosvotos.database.connection import make_engine, reading, upgrade, writing
from dosvotos.database.deliveries import (
    Delivery,
    list_deliveries,
    retract,
    retracted_after,
    sees_delivery,
    taken_hashes,
)
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.database.tables import deliveries
from dosvotos.errors import DataError
from tests.database.migrating import upgrade_to
from tests.database.test_market_data import CPI, DAY, FEED, VIX, bars, later, observations
from tests.database.test_quarantine import findings

REASON = "the vendor sent closes of another pair"
FAR = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
LAST_BAR = dt.datetime(2026, 1, 5, 13, 5, tzinfo=dt.UTC)


def deliver(table: BarTable, hour: int, name: str = "a") -> int:
    return table.open_delivery(Delivery("files", f"/data/{name}", later(hour), name * 64))


def withdraw(engine, delivery_id: int, hour: int):
    with writing(engine) as connection:
        return retract(connection, delivery_id, REASON, later(hour))


def close_of(table: BarTable, hour: int) -> list[float]:
    return table.as_of(later(hour))["close"].tolist()


def test_a_delivery_knows_where_it_came_from_and_what_was_stored_of_it(engine):
    table, macro = BarTable(engine, "USD/COP", FEED), MacroTables(engine, "USD/COP", FEED)
    first = deliver(table, 0)
    table.store(bars([1, 2, 3]), later(0), first)
    macro.store(observations({(VIX, "2025-12-31"): 15.0, (CPI, "2025-11-01"): 320.0}), later(0), first)
    QuarantineTable(engine, "USD/COP", FEED).store(findings(9.0), later(0), first)
    assert table.close_deliveries(later(0)) == (first,)
    assert table.close_deliveries(later(0)) == ()
    with reading(engine) as connection:
        before, made = list_deliveries(connection)
    assert (before.id, before.origin) == (0, "before deliveries")
    assert (made.id, made.instrument, made.feed, made.origin) == (first, "USD/COP", FEED, "/data/a")
    assert made.rows == {
        "usdcop_m5_ohlcv": 3, "macro_indicators_daily": 1, "macro_indicators_monthly": 1,
        "data_quarantine": 1,
    }  # fmt: skip


def test_a_retraction_hides_rows_from_its_moment_on_and_shows_the_earlier_version_again(engine):
    table = BarTable(engine, "USD/COP", FEED)
    good, bad = deliver(table, 0), deliver(table, 1, "b")
    table.store(bars([1, 2]), later(0), good)
    table.store(bars([1, 9, 9]), later(1), bad)
    gone = withdraw(engine, bad, 5)
    assert (gone.retracts, gone.rows) == (bad, {"usdcop_m5_ohlcv": 2})
    assert close_of(table, 1) == close_of(table, 4) == [1, 9, 9]
    assert close_of(table, 5) == close_of(table, 9) == [1, 2]
    assert len(table.times(later(4))) == 3 and len(table.times(later(5))) == 2
    assert table.state(later(4)).bars == 4 and table.state(later(5)).bars == 2
    assert table.count_until(later(5), LAST_BAR) == 2
    assert [table.retractions(later(hour)) for hour in (4, 5)] == [0, 1]


def test_what_was_retracted_can_be_delivered_again_as_if_it_had_never_come(engine):
    table, macro = BarTable(engine, "USD/COP", FEED), MacroTables(engine, "USD/COP", FEED)
    bad = deliver(table, 1)
    table.store(bars([5, 6]), later(1), bad)
    macro.store(observations({(CPI, "2025-11-01"): 320.0}), later(1), bad)
    withdraw(engine, bad, 2)
    assert table.state(later(3)) is None and macro.state(later(3)) == {}
    right = deliver(table, 3, "b")
    assert table.store(bars([5, 7]), later(3), right) == (2, 0, 0)
    assert macro.store(observations({(CPI, "2025-11-01"): 310.0}), later(3), right) == (1, 0, 0)
    known = macro.as_of(later(3))
    assert known["value"].tolist() == [310.0]
    assert known["published_at"].tolist() == [pd.Timestamp("2025-11-01 20:00", tz="UTC")]
    assert macro.as_of(later(1))["value"].tolist() == [320.0]
    assert close_of(table, 1) == [5, 6] and close_of(table, 3) == [5, 7]


def test_the_moment_of_a_retracted_delivery_is_used_up(engine):
    table, macro = BarTable(engine, "USD/COP", FEED), MacroTables(engine, "USD/COP", FEED)
    bad = deliver(table, 1)
    table.store(bars([5, 6]), later(1), bad)
    withdraw(engine, bad, 2)
    with pytest.raises(DataError, match=f"moment of delivery {bad}, .* later as_of"):
        table.store(bars([5, 6]), later(1), bad)
    with pytest.raises(DataError, match=f"moment of delivery {bad}"):
        macro.store(observations({(CPI, "2025-11-01"): 310.0}), later(1), bad)


def test_another_market_is_not_touched_and_all_before_deliveries_can_be_withdrawn(engine):
    table, other = BarTable(engine, "USD/COP", FEED), BarTable(engine, "USD/COP.SIM", "sample-1")
    table.store(bars([1, 2]), later(0))
    own = deliver(other, 1)
    other.store(bars([3]), later(1), own)
    withdraw(engine, 0, 2)
    assert close_of(table, 3) == [] and close_of(other, 3) == [3]
    assert table.retractions(later(3)) == other.retractions(later(3)) == 1
    withdraw(engine, own, 4)
    assert close_of(other, 4) == []
    assert table.retractions(later(4)) == 1


def test_findings_of_a_retracted_delivery_are_gone_and_may_be_found_again(engine):
    table = QuarantineTable(engine, "USD/COP", FEED)
    book = BarTable(engine, "USD/COP", FEED)
    for hour in (0, 2, 4):
        own = deliver(book, hour, "abcde"[hour])
        assert table.store(findings(1.0, 2.0), later(hour), own) == 2
        assert table.store(findings(1.0, 2.0), later(hour), own) == 0
        assert len(table.as_of(later(hour))) == 2
        withdraw(engine, own, hour + 1)
        assert table.as_of(later(hour + 1)).empty
        assert len(table.as_of(later(hour))) == 2


@pytest.mark.parametrize(
    ("delivery_id", "reason", "message"),
    [
        (77, REASON, "delivery 77: does not exist; 'dosvotos data list'"),
        (1, "too short", "at least 20 characters, was 9"),
        (1, " " * 30, "at least 20 characters, was 0"),
        (2, REASON, "was retracted 2026-01-06"),
        (3, REASON, "is the retraction of 2"),
    ],
)
def test_a_retraction_that_says_or_means_nothing_is_refused(engine, delivery_id, reason, message):
    table = BarTable(engine, "USD/COP", FEED)
    assert [deliver(table, 0), deliver(table, 1, "b")] == [1, 2]
    assert withdraw(engine, 2, 10).id == 3
    with pytest.raises(DataError, match=message), writing(engine) as connection:
        retract(connection, delivery_id, reason, later(20))
    with reading(engine) as connection:
        assert len(list_deliveries(connection)) == 4


def test_deliveries_are_append_only_but_for_counts_written_once(engine):
    table = BarTable(engine, "USD/COP", FEED)
    own = deliver(table, 0)
    changes = [
        update(deliveries).where(deliveries.c.id == own).values(origin="elsewhere", rows={}),
        update(deliveries).where(deliveries.c.id == own).values(retracts=0, reason=REASON),
        delete(deliveries),
    ]
    table.close_deliveries(later(0))
    changes.append(update(deliveries).where(deliveries.c.id == own).values(rows={"usdcop_m5_ohlcv": 7}))
    for change in changes:
        with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
            connection.execute(change)


def test_a_history_sees_a_delivery_only_where_its_rows_were_the_latest_within_it(engine):
    table = BarTable(engine, "USD/COP", FEED)
    first, second = deliver(table, 0), deliver(table, 2, "b")
    table.store(bars([1, 2]), later(0), first)
    table.store(bars([1, 3]), later(2), second)

    def sees(delivery_id: int, hour: int, until: dt.datetime = LAST_BAR) -> bool:
        with reading(engine) as connection:
            return sees_delivery(connection, "USD/COP", FEED, delivery_id, later(hour), until)

    assert sees(first, 0) and sees(first, 2)
    assert not sees(second, 1) and sees(second, 2)
    assert not sees(second, 2, LAST_BAR - dt.timedelta(minutes=5))
    third = deliver(table, 3, "c")
    table.store(bars([8, 8]), later(3), third)
    assert not sees(first, 3) and not sees(second, 3)
    withdraw(engine, third, 4)
    assert sees(second, 4) and sees(third, 3) and not sees(third, 4)


def test_only_retractions_after_a_moment_of_what_was_fetched_by_it_concern_a_contract(engine):
    table = BarTable(engine, "USD/COP", FEED)
    early, late = deliver(table, 0), deliver(table, 6, "b")
    withdraw(engine, early, 3)
    withdraw(engine, late, 8)

    def concerned(hour: int) -> list[int]:
        with reading(engine) as connection:
            return [row.retracts for row in retracted_after(connection, "USD/COP", FEED, later(hour))]

    assert [concerned(hour) for hour in (1, 4, 7, 9)] == [[early], [], [late], []]


def test_a_retracted_files_hash_stays_taken(engine):
    table = BarTable(engine, "USD/COP", FEED)
    own = deliver(table, 0)
    withdraw(engine, own, 1)
    with reading(engine) as connection:
        assert taken_hashes(connection, "USD/COP", FEED) == {"a" * 64}
        assert taken_hashes(connection, "USD/COP", "other") == set()


def test_a_bar_without_volume_is_stored_once_and_comes_back_without(engine):
    table = BarTable(engine, "USD/COP", FEED)
    plain = bars([1, 2]).assign(volume=[float("nan"), 7.0])
    assert table.store(plain, later(0)) == (2, 0, 0)
    assert table.store(plain, later(1)) == (0, 0, 0)
    back = table.as_of(later(1))["volume"]
    assert back.isna().tolist() == [True, False] and back.dtype == float
    assert table.store(plain.assign(volume=[float("nan"), float("nan")]), later(2)) == (0, 1, 0)
    empty = BarTable(engine, "USD/COP", "none")
    empty.store(plain.assign(volume=float("nan")), later(0))
    assert empty.as_of(FAR)["volume"].isna().all() and empty.as_of(FAR)["volume"].dtype == float


def test_a_change_of_a_bar_without_volume_names_the_column_that_changed(engine):
    table = BarTable(engine, "USD/COP", FEED)
    plain = bars([1, 2]).assign(volume=float("nan"))
    table.store(plain, later(0))
    with pytest.raises(DataError, match="close changes from 2"):
        table.store(plain.assign(close=[1.0, 9.0]), later(0))


def test_rows_of_an_older_schema_belong_to_before_deliveries_and_stay_append_only(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path}/old.db")
    upgrade_to(engine, "0006")
    with writing(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO usdcop_m5_ohlcv (instrument, feed, timestamp, fetched_at, open, high, low, "
                "close, volume, source) VALUES ('USD/COP', 'market', '2026-01-05 13:00:00.000000', "
                "'2026-01-05 18:00:00.000000', 1, 1, 1, 1, 0, 'test')"
            )
        )
    upgrade(engine)
    table = BarTable(engine, "USD/COP", FEED)
    assert table.as_of(DAY)["close"].tolist() == [1]
    for change in ("UPDATE usdcop_m5_ohlcv SET close = 2", "DELETE FROM usdcop_m5_ohlcv"):
        with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
            connection.execute(text(change))
    withdraw(engine, 0, 1)
    assert close_of(table, 1) == []
