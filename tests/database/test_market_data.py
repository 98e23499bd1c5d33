import datetime as dt
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from dosvotos.database.connection import writing
from dosvotos.database.market_data import BarTable, MacroTables
from dosvotos.database.tables import macro_indicators, usdcop_m5_ohlcv
from dosvotos.errors import DataError

DAY = dt.datetime(2026, 1, 5, 18, tzinfo=dt.UTC)
FEED = "market"
VIX, CPI = "volt_vix_usa_d_vix", "infl_cpi_all_usa_m_cpiaucsl"


def bars(closes: list[float]) -> pd.DataFrame:
    times = pd.date_range("2026-01-05 13:00", periods=len(closes), freq="5min", tz="UTC")
    prices = dict.fromkeys(("open", "high", "low", "close"), closes)
    return pd.DataFrame({"timestamp": times, **prices, "volume": 0.0, "source": "test"})


def observations(values: dict[tuple[str, str], float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "variable": variable,
                "frequency": "daily" if variable == VIX else "monthly",
                "observation_date": dt.date.fromisoformat(day),
                "value": value,
                "published_at": pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=20),
                "vintage": "final",
                "source": "test",
            }
            for (variable, day), value in values.items()
        ]
    )


def later(hours: int) -> dt.datetime:
    return DAY + dt.timedelta(hours=hours)


def test_the_same_bars_again_store_nothing(engine):
    table = BarTable(engine, "USD/COP", FEED)
    assert table.store(bars([1, 2, 3]), DAY) == (3, 0, 0)
    assert table.store(bars([1, 2, 3]), later(1)) == (0, 0, 0)
    assert table.state(DAY).new == 3


def test_a_revised_bar_is_a_new_row_and_the_past_stays(engine):
    table = BarTable(engine, "USD/COP", FEED)
    table.store(bars([1, 2, 3]), DAY)
    assert table.store(bars([1, 2.5, 3, 4]), later(1)) == (1, 1, 0)
    assert table.as_of(DAY)["close"].tolist() == [1, 2, 3]
    assert table.as_of(later(1))["close"].tolist() == [1, 2.5, 3, 4]
    assert table.as_of(DAY - dt.timedelta(seconds=1)).empty


def test_a_change_at_the_same_moment_is_refused_and_nothing_written(engine):
    table = BarTable(engine, "USD/COP", FEED)
    table.store(bars([1, 2, 3]), DAY)
    with pytest.raises(DataError, match=r"13:05:00\+00:00: open changes from 2.0 to 9, but as_of"):
        table.store(bars([1, 9, 3, 4]), DAY)
    assert table.as_of(later(1))["close"].tolist() == [1, 2, 3]


def test_feeds_and_instruments_never_mix(engine):
    BarTable(engine, "USD/COP.SIM", "sample-1").store(bars([1, 2]), DAY)
    BarTable(engine, "USD/COP.SIM", "sample-2").store(bars([7, 8]), DAY)
    assert BarTable(engine, "USD/COP.SIM", "sample-2").as_of(DAY)["close"].tolist() == [7, 8]
    assert BarTable(engine, "USD/COP", "sample-1").as_of(DAY).empty


def test_what_is_stored_comes_back_bit_for_bit(engine):
    closes = [4000.1, np.nextafter(4000.1, 5000), 1e-300, 1 / 3]
    table = BarTable(engine, "USD/COP", FEED)
    table.store(bars(closes), DAY)
    back = table.as_of(DAY)
    assert back["close"].tolist() == closes
    assert str(back.index.dtype) == "datetime64[us, UTC]"


def test_a_revision_becomes_known_when_it_is_fetched(engine):
    table = MacroTables(engine, "USD/COP", FEED)
    table.store(observations({(VIX, "2025-12-31"): 15.0, (CPI, "2025-11-01"): 320.0}), DAY)
    revised = {(VIX, "2025-12-31"): 15.0, (CPI, "2025-11-01"): 321.0}
    assert table.store(observations(revised), later(2)) == (0, 1, 0)
    known = table.as_of(later(2))
    cpi = known[known["variable"] == CPI]
    assert cpi["value"].tolist() == [320.0, 321.0]
    assert cpi["published_at"].tolist() == [
        pd.Timestamp("2025-11-01 20:00", tz="UTC"),
        pd.Timestamp(later(2)),
    ]
    assert table.as_of(DAY)["value"].tolist() == [15.0, 320.0]


def test_live_sees_a_value_no_earlier_than_it_was_fetched(engine):
    table = MacroTables(engine, "USD/COP", FEED)
    table.store(observations({(VIX, "2025-12-31"): 15.0}), DAY)
    known = table.as_of(DAY, as_fetched=True)
    assert known["published_at"].tolist() == [pd.Timestamp(DAY)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), min_size=1, max_size=4))
def test_as_of_gives_exactly_what_had_been_fetched(engine, fetches):
    """Against a dictionary that is simply overwritten by each fetch."""
    table, known, history = BarTable(engine, "USD/COP", str(uuid.uuid4())), {}, []
    for hour, closes in enumerate(fetches):
        frame = bars([float(c) for c in closes])
        table.store(frame, later(hour))
        known = {**known, **dict(zip(frame["timestamp"], frame["close"], strict=True))}
        history.append(known)
    for hour, expected in enumerate(history):
        assert table.as_of(later(hour))["close"].to_dict() == expected


def test_another_source_never_overwrites_what_is_stored(engine):
    table = MacroTables(engine, "USD/COP", FEED)
    first = observations({(VIX, "2025-12-30"): 15.0})
    table.store(first, DAY)
    other = observations({(VIX, "2025-12-30"): 15.5, (VIX, "2025-12-31"): 16.0}).assign(source="other")
    assert table.store(other, later(1)) == (1, 0, 1)
    assert table.as_of(later(1))["value"].tolist() == [15.0, 16.0]
    assert table.store(first.assign(value=15.2), later(2)) == (0, 1, 0)


def test_dated_vintages_keep_their_days_and_replace_the_undated_value(engine):
    table = MacroTables(engine, "USD/COP", FEED)
    table.store(observations({(CPI, "2025-11-01"): 320.0, (CPI, "2025-12-01"): 330.0}), DAY)
    prints = pd.concat(
        observations({(CPI, "2025-11-01"): value}).assign(
            vintage=day, source="fred", published_at=pd.Timestamp(f"{day} 13:30", tz="UTC")
        )
        for day, value in (("2025-12-18", 319.0), ("2026-01-13", 320.5))
    )
    assert table.store(prints, later(1)) == (2, 0, 0)
    assert table.store(prints, later(2)) == (0, 0, 0)
    known = table.as_of(later(1)).sort_values("published_at")
    november = known[known["observation_date"] == dt.date(2025, 11, 1)]
    assert november["value"].tolist() == [319.0, 320.5]
    assert november["published_at"].dt.strftime("%Y-%m-%d").tolist() == ["2025-12-18", "2026-01-13"]
    assert len(known) == 3
    assert table.as_of(DAY)["value"].tolist() == [320.0, 330.0]


FETCH = st.tuples(
    st.sampled_from(["a", "b"]),
    st.dictionaries(
        st.tuples(st.integers(1, 3), st.sampled_from(["final", "2026-01-02", "2026-01-03"])),
        st.integers(1, 3),
        min_size=1,
        max_size=5,
    ),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FETCH, min_size=2, max_size=5))
def test_what_was_known_never_changes_afterwards(engine, fetches):
    """Whatever is fetched later, by whom and of which vintage, an as-of query repeats its answer."""
    table, answers = MacroTables(engine, "USD/COP", str(uuid.uuid4())), []
    for hour, (source, values) in enumerate(fetches):
        rows = pd.concat(
            observations({(VIX, f"2025-12-0{day}"): float(value)}).assign(vintage=vintage, source=source)
            for (day, vintage), value in values.items()
        )
        table.store(rows, later(hour))
        assert table.store(rows, later(hour))[:2] == (0, 0)
        answers.append(table.as_of(later(hour)))
        assert (answers[-1]["fetched_at"] <= pd.Timestamp(later(hour))).all()
    for hour, answer in enumerate(answers):
        pd.testing.assert_frame_equal(table.as_of(later(hour)), answer)
        for until in pd.to_datetime(["2025-12-02 20:00", later(hour - 1)], utc=True):
            by_then = answer[answer["published_at"] <= until].reset_index(drop=True)
            pd.testing.assert_frame_equal(table.as_of(later(hour), until=until), by_then)


def test_the_state_counts_rows_and_names_the_last(engine):
    bar_table, macro = BarTable(engine, "USD/COP", FEED), MacroTables(engine, "USD/COP", FEED)
    assert bar_table.state(DAY) is None and macro.state(DAY) == {}
    bar_table.store(bars([1, 2, 3]), DAY)
    bar_table.store(bars([1, 2, 3, 4]), later(1))
    macro.store(observations({(VIX, "2025-12-30"): 15.0, (VIX, "2025-12-31"): 16.0}), later(1))
    state = bar_table.state(later(1))
    assert (state.bars, state.new) == (4, 1)
    assert state.last == pd.Timestamp("2026-01-05 13:15", tz="UTC") == state.first + pd.Timedelta(minutes=15)
    series = macro.state(later(1))[VIX]
    assert series == (2, dt.date(2025, 12, 30), dt.date(2025, 12, 31), 2)
    assert bar_table.state(DAY).bars == 3


@pytest.mark.parametrize("kind", [BarTable, MacroTables])
def test_a_handle_says_what_it_is_and_gives_a_frame(engine, kind):
    table = kind(engine, "USD/COP", FEED)
    rows = bars([1, 2]) if kind is BarTable else observations({(VIX, "2025-12-31"): 15.0})
    table.store(rows, later(10_000))
    assert table.as_of(DAY).empty and len(table.frame()) == len(rows)
    assert repr(table).startswith(f"{kind.__name__}(USD/COP, feed market): a handle")
    assert ".frame() reads its rows" in repr(table)


def test_market_data_cannot_be_changed_or_removed(engine):
    BarTable(engine, "USD/COP", FEED).store(bars([1]), DAY)
    MacroTables(engine, "USD/COP", FEED).store(observations({(VIX, "2025-12-30"): 15.0}), DAY)
    for table in (usdcop_m5_ohlcv, macro_indicators["daily"]):
        for change in (update(table).values(source="x"), delete(table)):
            with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
                connection.execute(change)


def test_parts_of_a_long_batch_are_one_transaction(engine, monkeypatch):
    """A change refused in the last part leaves nothing of the first."""
    monkeypatch.setattr("dosvotos.database.market_data._CHUNK", 2)
    table = BarTable(engine, "USD/COP", FEED)
    table.store(bars([1, 2, 3, 4, 5]).iloc[4:], DAY)
    with pytest.raises(DataError, match="13:20"):
        table.store(bars([1, 2, 3, 4, 6]), DAY)
    assert table.as_of(later(1))["close"].tolist() == [5]
    assert table.store(bars([1, 2, 3, 4, 6]), later(1)) == (4, 1, 0)
