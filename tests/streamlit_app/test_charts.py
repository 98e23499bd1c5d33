"""Figures and number formats, against numbers worked by hand."""

import time
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from dosvotos.backtest.report import Trade
from dosvotos.formats import Formats
from streamlit_app import charts, page, risk_charts


def test_thinning_keeps_first_last_and_every_extreme_of_a_long_series():
    values = np.random.default_rng(0).normal(size=20_000).cumsum()
    kept = charts.thin(values, 2_000)
    assert len(kept) <= 2_000
    assert (np.diff(kept) > 0).all()
    assert {0, len(values) - 1, int(values.argmin()), int(values.argmax())} <= set(kept)


@pytest.mark.parametrize("n", [0, 1, 5, 2_000])
def test_a_short_series_stays_whole(n: int):
    assert charts.thin(np.zeros(n), 2_000).tolist() == list(range(n))


def test_a_single_spike_survives_thinning():
    values = np.zeros(12_345)
    values[7_777] = -1
    assert 7_777 in charts.thin(values, 100)


def test_monthly_returns_compound():
    daily = {"2025-07-31": 0.1, "2025-08-01": 0.1, "2025-08-04": -0.5, "2025-09-01": 0.0}
    months = charts.monthly_returns(daily)
    assert list(months) == ["2025-07", "2025-08", "2025-09"]
    assert list(months.values()) == pytest.approx([0.1, -0.45, 0.0])


def test_charts_show_bogota_time_and_drawdown_below_zero():
    points = [("2025-07-01T13:00:00+00:00", 0.0), ("2025-07-01T13:05:00+00:00", 0.02)]
    (trace,) = charts.drawdown_chart(points, ".,").data
    assert str(trace.x[0]).startswith("2025-07-01T08:00")
    assert list(trace.y) == [0.0, -0.02]


def test_productions_equity_stands_under_the_candidates():
    curve = [("2025-07-01T13:00:00+00:00", 100_000.0), ("2025-07-01T13:05:00+00:00", 100_100.0)]
    both = charts.equity_chart(curve, curve, ("new", "old"), ".,")
    assert [(trace.name, len(trace.x)) for trace in both.data] == [("old", 2), ("new", 2)]
    assert both.layout.showlegend
    assert not charts.equity_chart(curve, None, ("new", "old"), ".,").layout.showlegend


def test_losses_and_gains_share_bins_and_split_at_zero():
    losses, gains = charts.trade_chart([-30.0, -1.0, 0.0, 2.0, 55.0], "losses", "gains", ".,").data
    assert list(losses.x) == [-30.0, -1.0, 0.0]
    assert list(gains.x) == [2.0, 55.0]
    assert losses.xbins.size == gains.xbins.size == 5
    assert losses.xbins.start % losses.xbins.size == 0


@pytest.mark.parametrize("pnl", [[], [3.0], [-2.0, -2.0]])
def test_few_trades_still_make_a_chart(pnl: list[float]):
    assert len(charts.trade_chart(pnl, "losses", "gains", ".,").data) == 2


def test_empty_series_still_make_charts():
    assert charts.equity_chart([], None, ("new", "old"), ".,").data[1].y.size == 0
    assert charts.monthly_chart({}, ".,").data[0].y is not None


def test_missing_signals_break_the_line():
    from pandas import Timestamp

    times = [Timestamp("2025-07-01T13:00Z"), Timestamp("2025-07-01T13:05Z")]
    signal, confidence = charts.signal_chart(times, [1.0, None], [0.8, None], ("s", "c"), ".,").data
    assert list(signal.x) == ["07-01 08:00", "07-01 08:05"]
    assert list(signal.y) == [1.0, None]
    assert not confidence.connectgaps


def test_times_are_bogotas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "formats", lambda: Formats("es"))
    assert page.in_bogota(datetime(2025, 7, 1, 3, 30, tzinfo=UTC)) == "2025-06-30 22:30"
    assert page.in_bogota(None) == "\u2013"


def test_a_curve_of_400_000_points_is_drawn_in_time_and_keeps_its_extremes():
    values = 1e5 + np.random.default_rng(5).normal(size=400_000).cumsum()
    values[123_456] = values.max() + 500
    times = pd.date_range("2000-01-03T13:00Z", periods=len(values), freq="5min")
    points = list(zip(times.strftime("%Y-%m-%dT%H:%M:%S+00:00"), values.tolist(), strict=True))
    started = time.process_time()
    drawn = charts.equity_chart(points, None, ("new", "old"), ".,").data[1]
    assert time.process_time() - started < 2.0
    assert len(drawn.y) <= 2_000
    assert (drawn.y.max(), drawn.y.min()) == (values.max(), values.min())


def test_the_price_carries_each_trade_once():
    times = pd.date_range("2025-07-01T13:00Z", periods=6, freq="5min")
    price = pd.Series(4000.0 + np.arange(6), times)
    stamps = [moment.isoformat() for moment in times]
    trades = [
        Trade(
            entry_time=stamps[n], exit_time=stamps[n + 2], direction=side, units=1.0,
            entry_price=price.iloc[n], exit_price=price.iloc[n + 2], pnl=1.0,
        )
        for n, side in ((0, 1), (2, -1), (3, 1))
    ]  # fmt: skip
    line, longs, shorts, exits = risk_charts.price_chart(price, trades, ("p", "l", "s", "x"), ".,").data
    assert list(line.y) == price.tolist()
    assert (list(longs.y), list(shorts.y), list(exits.y)) == ([4000, 4003], [4002], [4002, 4004, 4005])
    assert str(longs.x[0]).startswith("2025-07-01T08:00")


def test_months_stand_in_their_year_and_missing_ones_are_empty():
    months = {"2025-12": 0.02, "2026-01": -0.05}
    (cells,) = risk_charts.month_heatmap(months, [str(n) for n in range(1, 13)], ".,").data
    assert list(cells.y) == ["2025", "2026"]
    assert (cells.z[0][11], cells.z[1][0], cells.z[0][0]) == (0.02, -0.05, None)
    assert (cells.zmin, cells.zmax) == (-0.05, 0.05)


def test_tests_of_different_periods_grow_from_the_same_start():
    short = [("2025-07-01T13:00:00+00:00", 50.0), ("2025-07-02T13:00:00+00:00", 55.0)]
    first, second = charts.growth_chart({"this": short, "none": []}, ".,").data
    assert (list(first.x), list(first.y)) == ([1, 2], pytest.approx([100, 110])) and len(second.y) == 0


def test_a_target_s_turns_stand_on_the_price_and_what_is_missing_turns_nothing():
    bars = pd.date_range("2025-07-01T13:00Z", periods=7, freq="5min")
    targets = pd.Series([1.0, 1.0, np.nan, 1.0, -1.0, 0.0, 1.0], index=bars)
    price = pd.Series(np.arange(4100.0, 4107.0), index=bars).drop(bars[5])
    line, up, down, flat = risk_charts.target_chart(price, targets, ("p", "l", "s", "f"), ".,").data
    assert [(list(trace.x), list(trace.y)) for trace in (up, down, flat)] == [
        (["07-01 08:00", "07-01 08:30"], [4100.0, 4106.0]),
        (["07-01 08:20"], [4104.0]),
        ([], []),  # flat at a bar whose price is not known
    ]
    assert len(line.x) == 7 and np.isnan(line.y[5])


@pytest.mark.parametrize("colour", [charts.GAIN, charts.LOSS, charts.LINE])
@pytest.mark.parametrize("background", ["#ffffff", "#12181f"])
def test_curves_stand_out_from_both_backgrounds(colour: str, background: str):
    def luminance(code: str) -> float:
        parts = np.array([int(code[n : n + 2], 16) / 255 for n in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(colour), luminance(background)))
    assert (light + 0.05) / (dark + 0.05) >= 3  # WCAG 2.2, 1.4.11
