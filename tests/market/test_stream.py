"""The stream against the batch, to the last bit, and the batch against plain Python."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.errors import DataError, LateDataError, LineageError
from dosvotos.market.calendar import BAR, LAST_SLOT, session_bar_times
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.features.compute import technical_features
from dosvotos.market.features.definition import COLUMNS
from dosvotos.market.features.inputs import NO_PUBLICATIONS, PublicationArrays, bar_arrays, publication_arrays
from dosvotos.market.microseconds import moment_to_microseconds, to_timestamp
from dosvotos.market.stream import CHECKPOINTS, VERSION, FeatureStream
from tests.conftest import parameters_of

VARIABLES = parameters_of().macro_variables.variables
N_BARS = 8 * 60


@pytest.fixture(scope="module")
def market(small_market: MarketHistory) -> MarketHistory:
    """The last eight sessions with holes in them, and all publications."""
    bars = small_market.bars.iloc[-N_BARS:]
    return MarketHistory(bars.drop(bars.index[[70, 71, 200, *range(300, 360)]]), small_market.macro)


@pytest.fixture(scope="module")
def batch(market: MarketHistory) -> np.ndarray:
    return rows_of(market)


def rows_of(history: MarketHistory) -> np.ndarray:
    return market_features(history, VARIABLES).to_numpy()


def published_after(publications: PublicationArrays, moment: float) -> PublicationArrays:
    """The publications after a moment (microseconds)."""
    first = int(np.searchsorted(publications.published_at, moment, side="right"))
    return publications.select(first)


def run(stream: FeatureStream, history: MarketHistory, stop: int) -> list[np.ndarray]:
    """Add a history's bars after the stream's last one, up to index `stop`, one by one."""
    opened = history.bars.index
    closes = history.bars["close"].tolist()
    publications, rows = publication_arrays(history.macro), []
    for i in range(stop):
        if moment_to_microseconds(opened[i] + BAR) > stream.last_close_time:
            bar = opened[i].to_pydatetime(), closes[i], closes[i], closes[i]
            rows.append(stream.add_bar(*bar, published_after(publications, stream.last_close_time)))
    return rows


def test_bar_by_bar_gives_the_batch_to_the_last_bit(market, batch):
    np.testing.assert_array_equal(np.array(run(FeatureStream(VARIABLES), market, len(batch))), batch)


@given(cuts=st.lists(st.integers(0, N_BARS - 63), max_size=5), restart=st.booleans())
@settings(max_examples=12, deadline=None)
def test_any_portions_and_restarts_between_them_give_the_batch(market, batch, cuts, restart):
    stream, publications, found = FeatureStream(VARIABLES), publication_arrays(market.macro), []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(batch)], strict=True):
        part = bar_arrays(market.bars.iloc[start:stop], "close")
        found.append(stream.add_bars(part, published_after(publications, stream.last_close_time)))
        if restart:
            content, stream = stream.to_bytes({"seen": stop}), FeatureStream(VARIABLES)
            assert stream.restore(content) == {"seen": stop}
    np.testing.assert_array_equal(np.hstack(found).T, batch)


@given(index=st.integers(0, N_BARS - 64), bars_since=st.integers(1, 230), factor=st.floats(0.98, 1.02))
@settings(max_examples=12, deadline=None)
def test_after_a_rollback_a_late_or_changed_bar_gives_the_batch(market, index, bars_since, factor):
    seen = min(index + bars_since, N_BARS - 63)
    changed = MarketHistory(market.bars.copy(), market.macro)
    changed.bars.iloc[index, changed.bars.columns.get_loc("close")] *= factor
    stream = FeatureStream(VARIABLES)
    run(stream, market, seen)
    moment = moment_to_microseconds(market.bars.index[index] + BAR)
    stream.roll_back(moment)
    assert stream.last_close_time < moment
    since = to_timestamp(max(stream.last_close_time, 0))
    n_again = seen - int((market.bars.index + BAR <= since).sum())
    found = run(stream, changed, seen)
    assert len(found) == n_again <= bars_since + 60
    np.testing.assert_array_equal(np.array(found), rows_of(changed)[seen - n_again : seen])


@given(index=st.integers(60, N_BARS - 64), back=st.integers(0, 400), value=st.floats(80, 120))
@settings(max_examples=12, deadline=None)
def test_after_a_rollback_a_late_or_revised_value_gives_the_batch(market, index, back, value):
    moment = market.bars.index[index] + BAR - timedelta(seconds=back)
    dxy = market.macro[market.macro["variable"] == MACRO_SOURCES["dxy"]]
    row = dxy[dxy["published_at"] < moment].iloc[[-1 - back % 9]].assign(published_at=moment, value=value)
    changed = MarketHistory(market.bars, pd.concat([market.macro, row], ignore_index=True))
    stream, seen = FeatureStream(VARIABLES), min(index + 100, N_BARS - 63)
    run(stream, market, seen)
    with pytest.raises(LateDataError, match="published"):
        stream.add_bars(bar_arrays(market.bars.iloc[seen : seen + 1], "close"), publication_arrays(row))
    stream.roll_back(moment_to_microseconds(moment))
    found = run(stream, changed, seen)
    np.testing.assert_array_equal(np.array(found), rows_of(changed)[seen - len(found) : seen])


def test_a_rollback_before_the_oldest_checkpoint_is_refused_and_nothing_changes(market, batch):
    stream = FeatureStream(VARIABLES)
    run(stream, market, len(batch))
    before = stream.to_bytes({})
    with pytest.raises(LateDataError, match=f"oldest of {CHECKPOINTS} checkpoints; rebuild"):
        stream.roll_back(moment_to_microseconds(market.bars.index[5] + BAR))
    assert stream.to_bytes({}) == before


def test_an_empty_stream_has_no_checkpoint():
    with pytest.raises(LateDataError, match="of 0 checkpoints"):
        FeatureStream(VARIABLES).roll_back(0)


@pytest.mark.parametrize("again", [0, -1])
def test_a_bar_not_later_than_the_last_is_refused_and_nothing_changes(market, again):
    stream = FeatureStream(VARIABLES)
    run(stream, market, 60)
    before = stream.to_bytes({})
    with pytest.raises(LateDataError, match="not later"):
        stream.add_bar(market.bars.index[59 + again].to_pydatetime(), 4000.0, 4000.0, 4000.0)
    with pytest.raises(DataError, match="positive and finite"):
        stream.add_bar(market.bars.index[60].to_pydatetime(), np.nan, 4000.0, 4000.0)
    assert stream.to_bytes({}) == before


def test_a_damaged_state_or_one_of_another_definition_or_version_is_refused(market, monkeypatch):
    stream = FeatureStream(VARIABLES)
    run(stream, market, 130)
    content = stream.to_bytes({"seen": 130})
    for index in range(100, len(content), len(content) // 40):
        broken = bytearray(content)
        broken[index] ^= 1
        with pytest.raises(LineageError, match="feature state"):
            FeatureStream(VARIABLES).restore(bytes(broken))
    for broken in (b"", b"x" * 1000, content[:-1], content + b"x"):
        with pytest.raises(LineageError, match="feature state"):
            FeatureStream(VARIABLES).restore(broken)
    with pytest.raises(LineageError, match="definition"):
        FeatureStream(VARIABLES, "bars").restore(content)
    older = {n: v.model_copy(update={"ffill_max_days": v.ffill_max_days + 1}) for n, v in VARIABLES.items()}
    with pytest.raises(LineageError, match="definition"):
        FeatureStream(older).restore(content)
    monkeypatch.setattr("dosvotos.market.stream.VERSION", VERSION + 1)
    with pytest.raises(LineageError, match=f"version is {VERSION}, this one needs {VERSION + 1}"):
        FeatureStream(VARIABLES).restore(content)


def test_the_state_of_a_long_history_is_no_larger(small_market):
    sizes = []
    for n_bars in (10 * 60, 60 * 60):
        stream = FeatureStream(VARIABLES)
        stream.add_bars(
            bar_arrays(small_market.bars.iloc[:n_bars], "close"), publication_arrays(small_market.macro)
        )
        sizes.append(len(stream.to_bytes({})))
    assert sizes[0] == sizes[1]


# ---- degenerate input


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0, np.inf])
@pytest.mark.parametrize("index", [0, 30, 59])
def test_a_price_that_is_not_positive_and_finite_is_refused_with_its_bar(bad, index):
    close = np.full(60, 4000.0)
    close[index] = bad
    bars = pd.DataFrame({"close": close}, index=session_bar_times(np.datetime64("2024-07-02")))
    macro = pd.DataFrame({"variable": [], "observation_date": [], "published_at": [], "value": []})
    macro["published_at"] = pd.to_datetime(macro["published_at"], utc=True)
    with pytest.raises(DataError, match=f"{bars.index[index]:%H:%M}:.* must be positive and finite"):
        market_features(MarketHistory(bars, macro), VARIABLES)


def test_no_bars_give_no_rows():
    none = pd.DataFrame({"close": []}, index=pd.DatetimeIndex([], tz="UTC"))
    assert FeatureStream(VARIABLES).add_bars(bar_arrays(none, "close"), NO_PUBLICATIONS).shape == (15, 0)
    assert technical_features(*[np.empty(0)] * 3).shape == (0, 6)


# ---- against plain Python


def plain_features(close: np.ndarray) -> np.ndarray:
    """The six features by their textbook formulas, whole histories at once."""
    n = len(close)
    rows = np.full((n, 6), np.nan)
    moves = np.diff(close)
    for column, bars in enumerate((1, 12, 48)):
        for i in range(bars, n):
            rows[i, column] = np.log(close[i] / close[i - bars])
    wilder = {
        "gain": averages(np.maximum(moves, 0), 9),
        "loss": averages(np.maximum(-moves, 0), 9),
        "range": averages(np.abs(moves), 10),
    }
    for i in range(9, n):
        up, down = wilder["gain"][i - 1], wilder["loss"][i - 1]
        rows[i, 3] = 100 * up / (up + down) if up + down > 0 else 0.0
    rows[10:, 4] = wilder["range"][9:] / close[10:]
    plus, minus = sum(np.maximum(moves[:13], 0)), sum(np.maximum(-moves[:13], 0))
    strengths: list[float] = []
    for i in range(14, n):
        plus = plus * 13 / 14 + max(moves[i - 1], 0)
        minus = minus * 13 / 14 + max(-moves[i - 1], 0)
        strengths.append(100 * abs(plus - minus) / (plus + minus) if plus + minus > 0 else np.nan)
    if n > 27:
        average = np.nansum(strengths[:14]) / 14
        rows[27, 5] = average
        for i in range(28, n):
            if not np.isnan(strengths[i - 14]):
                average = (average * 13 + strengths[i - 14]) / 14
            rows[i, 5] = average
    return rows


def averages(values: np.ndarray, period: int) -> np.ndarray:
    found = np.full(len(values), np.nan)
    if len(values) >= period:
        found[period - 1] = values[:period].mean()
        for i in range(period, len(values)):
            found[i] = (found[i - 1] * (period - 1) + values[i]) / period
    return found


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 150), still=st.sampled_from([0.0, 0.5, 0.97, 1.0]))
@settings(max_examples=40, deadline=None)
def test_technical_features_equal_plain_python(seed, n, still):
    random = np.random.default_rng(seed)
    moves = random.normal(0, 2, n).round(2) * (random.random(n) >= still)
    close = 4000 + moves.cumsum()
    np.testing.assert_allclose(
        technical_features(close, close, close), plain_features(close), rtol=1e-9, atol=1e-12
    )


def test_stamps_off_session_and_off_the_grid_give_the_batch_too():
    times = pd.DatetimeIndex(
        [
            "2025-07-01 01:00", "2025-07-01 12:55", "2025-07-01 13:00", "2025-07-01 13:07",
            "2025-07-01 17:55",
            "2025-07-01 18:00", "2025-07-01 23:55", "2025-07-02 13:00:00.000001", "2025-07-02 13:05",
        ],
        tz="UTC",
    ).as_unit("us")  # fmt: skip
    bars = pd.DataFrame({name: 4000.0 + np.arange(len(times)) for name in ("high", "low", "close")}, times)
    expected = FeatureStream(VARIABLES).add_bars(bar_arrays(bars, "close")).T
    stream = FeatureStream(VARIABLES)
    rows = [stream.add_bar(at.to_pydatetime(), *bars.loc[at, ["close", "high", "low"]]) for at in times]
    np.testing.assert_array_equal(np.array(rows), expected)
    slots = expected[:, COLUMNS.index("time_normalized")] * LAST_SLOT
    np.testing.assert_allclose(slots, [-1, -1, 0, -1, 59, -1, -1, -1, 1], atol=1e-12)
