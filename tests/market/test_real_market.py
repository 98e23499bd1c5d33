"""The market rules on five years of real bars and macro series, where they are at hand."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import talib

from dosvotos.backtest.metrics import measure
from dosvotos.contracts.features import MACRO_SOURCES, MARKET_FEATURES
from dosvotos.contracts.records import SplitRecord
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.calendar import BAR, scheduled_sessions, session_dates, slots
from dosvotos.market.dataset import describe_split, resolve_test_end, select_bars, select_macro
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.missing import missing_reasons
from dosvotos.market.splits import Split, make_splits
from dosvotos.sources.checks import add_published_at
from dosvotos.sources.files import read_folder
from tests.conftest import parameters_of

pytestmark = pytest.mark.slow

COST = 3.5e-4


class RealMarket(NamedTuple):
    history: MarketHistory
    features: pd.DataFrame
    splits: dict[str, Split]


PARAMETERS = parameters_of("exp2_interbank_costs_v1", data_acquisition={"folder": "shared"})
VARIABLES = PARAMETERS.macro_variables.variables


@pytest.fixture(scope="module")
def real(shared_data: Path) -> RealMarket:
    raw = read_folder(shared_data)
    bars = raw.bars.sort_values("timestamp").set_index("timestamp")
    macro = add_published_at(raw.macro, VARIABLES)
    end = resolve_test_end(PARAMETERS, pd.DatetimeIndex(bars.index))
    bars = select_bars(bars, end)
    history = MarketHistory(bars, select_macro(macro, bars, PARAMETERS.macro_variables))
    features = market_features(history, VARIABLES).assign(close=bars["close"])
    return RealMarket(history, features, make_splits(PARAMETERS.date_ranges, end, PARAMETERS.splits))


def described(real: RealMarket, name: str) -> SplitRecord:
    rows = real.splits[name].select(real.features)
    return describe_split(real.splits[name], rows, missing_reasons(rows, real.history, VARIABLES), "x")


def test_so_many_bars_lie_in_a_session_and_in_each_split(real: RealMarket):
    assert len(real.features) == 85_891
    rows = {name: split.select(real.features) for name, split in real.splits.items()}
    assert {name: len(taken) for name, taken in rows.items()} == {
        "train": 28_960,
        "val": 7_108,
        "test": 7_876,
    }
    test = described(real, "test")
    assert test.complete_rows == 4_486
    assert rows["train"][list(MARKET_FEATURES)].notna().all(axis=None)


def test_what_is_missing_in_test_is_brent_alone(real: RealMarket):
    test = described(real, "test")
    assert test.missing_by_feature == {"brent_change_1d": 7_876 - 4_486}
    brent = MACRO_SOURCES["brent"]
    assert test.missing_by_reason == {
        f"brent_change_1d: aged_out {brent}": 3_330, f"brent_change_1d: undefined {brent}": 60,
    }  # fmt: skip
    assert (test.sessions, test.uncovered_sessions) == (133, 58)


def test_always_long_over_test_has_the_known_sharpe_and_drawdown(real: RealMarket):
    rows = real.splits["test"].select(real.features)
    tape, sessions = Tape.from_rows(rows), real.splits["test"].sessions()
    account = run_account(tape, np.ones(len(rows)), COST, 1e5)
    metrics = measure(account, tape.times, sessions)
    assert metrics.sharpe_ratio == pytest.approx(-1.570, abs=5e-4)
    assert metrics.max_drawdown == pytest.approx(0.1373, abs=5e-5)
    # the same by pandas: one purchase at the second close, marked, sold at the last
    bought = 1e5 / rows["close"].iloc[1]
    equity = 1e5 * (1 - COST) + bought * (rows["close"] - rows["close"].iloc[1])
    equity.iloc[0] = 1e5
    equity.iloc[-1] -= COST * bought * rows["close"].iloc[-1]
    daily = equity.groupby(session_dates(pd.DatetimeIndex(rows.index))).last().reindex(sessions).ffill()
    returns = np.diff(np.concatenate([[1e5], daily.to_numpy()])) / np.concatenate([[1e5], daily[:-1]])
    assert metrics.sharpe_ratio == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(245))
    assert metrics.max_drawdown == pytest.approx((1 - equity / equity.cummax()).max())


def test_indicators_over_all_bars_equal_talib(real: RealMarket):
    close = real.history.bars["close"].to_numpy()
    pairs = {
        "rsi_9": talib.RSI(close, 9),
        "atr_pct": talib.ATR(close, close, close, 10) / close,
        "adx_14": talib.ADX(close, close, close, 14),
    }
    for name, expected in pairs.items():
        np.testing.assert_allclose(real.features[name].iloc[28:], expected[28:], rtol=0, atol=1e-9)


def test_a_history_cut_at_a_bar_gives_that_bar_the_same_features(real: RealMarket):
    t = 30_007
    now = real.history.bars.index[t] + BAR
    known = real.history.macro[real.history.macro["published_at"] <= now]
    cut = MarketHistory(real.history.bars.iloc[: t + 1], known)
    latest = market_features(cut, VARIABLES).iloc[-1]
    pd.testing.assert_series_equal(latest, real.features.drop(columns="close").iloc[t], check_exact=True)


def test_every_bar_has_its_clock_and_every_scheduled_session_its_date(real: RealMarket):
    times = pd.DatetimeIndex(real.features.index)
    assert (real.features["time_normalized"] * 59).round().astype(int).tolist() == slots(times).tolist()
    days = np.unique(session_dates(times))
    assert np.isin(days, scheduled_sessions(days[0].astype(object), days[-1].astype(object))).all()
