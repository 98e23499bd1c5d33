"""Fills beside the model's book: worked by hand, each once, and no signal the wiser."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select, text

from dosvotos.database.connection import reading, writing
from dosvotos.database.fills import FillSource, add_fills, read_fill_rows
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.signals import add_signal
from dosvotos.live.fills import read_fills_report
from dosvotos.live.signals import _row
from tests.live.signal_rows import BAR, OPENED, signal_row
from tests.proposal_fixtures import INSTRUMENT

SOURCE = FillSource(INSTRUMENT, "market", 200_000.0, "fills.csv", "f" * 64)
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def traded(*rows: tuple[timedelta, str, float, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["time", "side", "quantity", "price"])
    return frame.assign(time=pd.to_datetime(OPENED + frame["time"], utc=True))


def store(engine, frame: pd.DataFrame, source: FillSource = SOURCE) -> int:
    with writing(engine) as connection:
        return add_fills(connection, frame, source, NOW)


MINUTE = timedelta(minutes=1)
TWO = traded((11 * MINUTE, "BUY", 150_000.0, 4004.0), (12 * MINUTE, "BUY", 50_000.0, 3998.0))


def test_the_same_fill_is_stored_once_whichever_files_hold_it(engine):
    assert store(engine, TWO) == 2
    assert store(engine, TWO) == 0
    more = pd.concat([TWO, traded((20 * MINUTE, "SELL", 1.0, 4000.0))], ignore_index=True)
    assert store(engine, more, SOURCE._replace(file="later.csv", file_hash="e" * 64)) == 1
    twins = pd.concat([more, more.iloc[[2]]], ignore_index=True)  # two alike in one file are two
    assert store(engine, twins) == 1
    assert store(engine, TWO, SOURCE._replace(instrument="USD/COP")) == 2
    with reading(engine) as connection:
        rows = read_fill_rows(connection, INSTRUMENT)
    assert [(row.side, row.quantity) for row in rows] == [
        ("BUY", 150_000.0), ("BUY", 50_000.0), ("SELL", 1.0), ("SELL", 1.0),
    ]  # fmt: skip
    for statement in ("UPDATE fills SET price = 1", "DELETE FROM fills"):
        with pytest.raises(Exception, match="append-only"), writing(engine) as connection:
            connection.execute(text(statement))


def test_position_and_slippage_are_those_worked_by_hand(engine):
    """Long from 14:35, which fills at 14:45 at 4000; flat from 14:50, which fills at 15:00 at 4010."""
    opens = [OPENED + n * BAR for n in range(5)]
    bars = pd.DataFrame(
        {"timestamp": pd.to_datetime(opens, utc=True), "close": [3990.0, 4000, 4005, 4008, 4010]}
    )
    bars = bars.assign(open=bars["close"], high=bars["close"], low=bars["close"], volume=np.nan, source="x")
    ahead = OPENED + timedelta(days=365)  # as a sample market's clock may be
    StoredMarket(engine, INSTRUMENT, "market").tables[0].store(bars, ahead)
    rows = [
        signal_row(0, 1.0, 0.0), signal_row(1, 1.0, 1.0), signal_row(2, None, 1.0), signal_row(3, 0.0, 1.0),
        signal_row(4, -1.0, 0.0, spooled=True),
    ]  # fmt: skip
    with writing(engine) as connection:
        for row in rows:
            add_signal(connection, _row(row, row.timestamp + BAR + timedelta(seconds=2)), None)
    early = (4 * MINUTE, "BUY", 10_000.0, 3999.0)
    out = (26 * MINUTE, "SELL", 200_000.0, 4008.0)
    store(engine, pd.concat([traded(early), TWO, traded(out)], ignore_index=True))
    report = read_fills_report(engine, INSTRUMENT)
    assert report.fills["assumed_price"].tolist()[1:] == [4000.0, 4000.0, 4010.0]
    slippage = report.fills["slippage_bps"]
    assert np.isnan(slippage[0])  # before the first order
    assert slippage.tolist()[1:] == pytest.approx([10.0, -5.0, 2 / 4010 * 1e4])
    assert report.held.tolist() == [10_000.0, 160_000.0, 210_000.0, 10_000.0]
    assert report.book.tolist() == [200_000.0, 0.0]
    assert list(report.book.index) == [OPENED + 2 * BAR, OPENED + 5 * BAR]
    assert report.difference == 10_000.0
    assert report.slippage_bps == pytest.approx((10 * 150 - 5 * 50 + 2 / 4010 * 1e4 * 200) / 400)
    assert report.slippage_cop == pytest.approx(150_000 * 4 - 50_000 * 2 + 200_000 * 2)
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(trading_signals)).scalar_one() == len(rows)


def test_without_fills_there_is_no_report_and_without_orders_no_slippage(engine):
    assert read_fills_report(engine, INSTRUMENT) is None
    store(engine, TWO)
    report = read_fills_report(engine, INSTRUMENT)
    assert report.difference == 200_000.0 and np.isnan(report.slippage_bps) and report.slippage_cop == 0.0
