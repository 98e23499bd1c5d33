from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.database.connection import reading, writing
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.registry import lock_instrument
from dosvotos.database.tables import inference_features_5m, instruments
from dosvotos.errors import DecisionConflictError
from dosvotos.live.controls import Control, Controls
from dosvotos.live.market import live_features
from dosvotos.live.schedule import ScheduledBar
from dosvotos.live.signals import Entry, SignalTable
from dosvotos.live.tick import (
    BookState,
    LiveFeatures,
    decide,
    feature_vector,
    inference_hash,
    make_record,
    row_in_words,
    served_model,
)
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.features.inputs import bar_arrays, publication_arrays
from dosvotos.market.stream import FeatureStream
from dosvotos.quality.releases import Releases
from tests.live.markets import simulated
from tests.live.signal_rows import signal_row
from tests.proposal_fixtures import INSTRUMENT, tiny_policy

OPENED = datetime(2026, 11, 20, 17, 40, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CODES = {np.nan: "FEATURE_MISSING", np.inf: "FEATURE_OUT_OF_RANGE", -np.inf: "FEATURE_OUT_OF_RANGE",
         1e6: "FEATURE_OUT_OF_RANGE", -1e6: "FEATURE_OUT_OF_RANGE"}  # fmt: skip


def bar(slots: int = 0) -> ScheduledBar:
    opened = OPENED + slots * 5 * MINUTE
    return ScheduledBar(opened, opened + 5 * MINUTE, opened + 10 * MINUTE)


@pytest.fixture
def engine(engine):
    """The database of an instrument whose head row names demo_1."""
    with writing(engine) as connection:
        lock_instrument(connection, INSTRUMENT)
        connection.execute(instruments.update().values(production_model_id="demo_1"))
    return engine


def served(epoch: int = 0):
    return served_model("demo_1", "m" * 64, epoch, tiny_policy(1))


def features(slots: int = 0, **changed: float) -> LiveFeatures:
    values = np.linspace(-1, 1, len(MARKET_FEATURES))
    for name, value in changed.items():
        values[MARKET_FEATURES.index(name)] = value
    return LiveFeatures(bar(slots).opened, values, 1.0)


def entry(live: LiveFeatures, book: BookState = BookState(), epoch: int = 0, slots: int = 0) -> Entry:  # noqa: B008
    model = served(epoch)
    decision = decide(live, model, book.position)
    return Entry(make_record(bar(slots), INSTRUMENT, book, decision, model, live), live, book)


def test_a_signal_is_the_policy_s_likeliest_target_and_its_probability():
    record = entry(features(), BookState(1.0)).record
    policy = served().policy
    probabilities = policy.probabilities(
        policy.observe(features().market[None], np.array([1.0]), np.array([1.0]))
    )
    assert record.status == "SIGNAL"
    assert record.signal == (-1.0, 0.0, 1.0)[int(probabilities.argmax())]
    assert record.confidence == pytest.approx(probabilities.max())
    assert record.inference_id == "inf_20261120_174500"
    assert record.valid_until == OPENED + 10 * MINUTE


@pytest.mark.parametrize("name", MARKET_FEATURES)
@pytest.mark.parametrize("value", list(CODES))
def test_a_missing_infinite_or_absurd_feature_gives_no_signal_and_is_named(name, value):
    record = entry(features(**{name: value})).record
    assert (record.status, record.reason_code, record.signal) == ("NO_SIGNAL", CODES[value], None)
    assert record.detail.endswith(f": {name}")


@pytest.mark.parametrize("position", [0.5, 2.0, -1.0001, np.nan, np.inf])
def test_a_position_that_is_none_gives_no_signal(position):
    record = entry(features(), BookState(position)).record
    assert (record.status, record.reason_code) == ("NO_SIGNAL", "POSITION_OUT_OF_RANGE")


@pytest.mark.parametrize("time", [-0.001, 1.001, np.nan, np.inf])
def test_a_time_outside_the_session_gives_no_signal(time):
    record = entry(features()._replace(time_normalized=time)).record
    assert (record.status, record.reason_code) == ("NO_SIGNAL", "TIME_OUT_OF_RANGE")


def test_the_feature_hash_covers_the_position():
    assert (
        entry(features(), BookState(1.0)).record.feature_hash
        != entry(features(), BookState(0.0)).record.feature_hash
    )
    assert feature_vector(features(), -1.0)[-2:].tolist() == [-1.0, 1.0]


def test_the_inference_hash_covers_what_decided_and_not_how_long_it_took():
    record = entry(features()).record
    assert inference_hash(record) == record.inference_hash
    assert inference_hash(record.model_copy(update={"latency_ms": 99.0})) == record.inference_hash
    for field, value in (("epoch", 5), ("signal", 0.5), ("manifest_hash", "x"), ("confidence", 0.1)):
        assert inference_hash(record.model_copy(update={field: value})) != record.inference_hash


def test_reducing_lets_the_position_stay_or_close_and_nothing_else():
    seen = set()
    for seed in range(40):
        model = served_model("m", "m" * 64, 0, tiny_policy(seed))
        for position in (-1.0, 0.0, 1.0):
            wanted = decide(features(), model, position).signal
            got = decide(features(), model, position, Control("REDUCING", "drawdown"))
            seen.add((wanted, position))
            assert got.signal == (wanted if wanted in (0.0, position) else 0.0)
            assert (got.reason == "REDUCING") == (wanted not in (0.0, position))
    assert len(seen) == 9


@pytest.mark.parametrize(("silent", "advised"), [(0, 1.0), (1, 1.0), (2, 0.0)])
def test_from_the_third_bar_without_a_signal_on_flat_is_advised(silent, advised):
    record = entry(features(rsi_9=np.nan), BookState(1.0, False, silent)).record
    assert record.advised_target == advised


@pytest.fixture(scope="module")
def market(variables):
    bars, macro = simulated(variables)
    stream = FeatureStream(variables)
    stream.add_bars(bar_arrays(bars, "close"), publication_arrays(macro))
    return MarketHistory(bars, macro), stream


def test_l1_computes_what_l2_computed(market, variables):
    history, stream = market
    live = live_features(stream, Releases(variables))
    batch = market_features(history, variables)
    assert live.timestamp == batch.index[-1]
    np.testing.assert_array_equal(live.market, batch[list(MARKET_FEATURES)].to_numpy()[-1])
    assert live.time_normalized == 1.0
    assert np.isfinite(live.market).all()
    assert live.macro_late == ()


def table(engine, tmp_path) -> SignalTable:
    return SignalTable(engine, INSTRUMENT, Controls(INSTRUMENT, tmp_path / "HALT"))


def stored(engine) -> list:
    with reading(engine) as connection:
        return connection.execute(trading_signals.select().order_by(trading_signals.c.timestamp)).all()


def in_time() -> datetime:
    return bar().deadline


def test_a_bar_gets_exactly_one_row(engine, tmp_path):
    signals = table(engine, tmp_path)
    first = entry(features())
    assert signals.store(first, in_time).status == "SIGNAL"
    assert signals.store(entry(features(rsi_9=np.nan)), in_time) is None
    assert [row.status for row in stored(engine)] == ["SIGNAL"]
    with reading(engine) as connection:
        row = connection.execute(inference_features_5m.select()).one()
    assert row.rsi_9 == pytest.approx(features().market[MARKET_FEATURES.index("rsi_9")])
    assert row.feature_hash == first.record.feature_hash


def test_what_is_written_after_its_deadline_is_no_signal_and_the_target_stays(engine, tmp_path):
    signals = table(engine, tmp_path)
    signals.store(entry(features()), in_time)
    late = entry(features(1), signals.state_before(bar(1).opened), slots=1)
    signals.store(late, lambda: bar(1).deadline + timedelta(microseconds=1))
    rows = stored(engine)
    assert [row.reason_code for row in rows] == [None, "TOO_LATE"]
    assert rows[1].advised_target == rows[0].signal
    assert signals.state_before(bar(2).opened) == BookState(rows[0].signal, False, 1)


def test_a_halt_that_comes_first_takes_the_signal_and_writes_the_flat_row_once(engine, tmp_path):
    signals = table(engine, tmp_path)
    signals.store(entry(features()), in_time)
    (tmp_path / "HALT").write_text("somebody pulled the plug\n")
    for slots in (1, 2, 3):
        made = entry(features(slots), signals.state_before(bar(slots).opened), slots=slots)
        signals.store(made, lambda: bar(slots).close)  # noqa: B023
    rows = stored(engine)
    assert [(row.signal, row.reason_code) for row in rows[1:]] == [
        (0.0, "HALTED"), (None, "HALTED"), (None, "HALTED"),
    ]  # fmt: skip
    assert rows[1].detail.endswith("HALT: somebody pulled the plug; delete the file to end it")


def test_missing_and_infinite_features_are_stored_as_missing(engine, tmp_path):
    table(engine, tmp_path).store(entry(features(embi_z=np.nan, rsi_9=np.inf)), in_time)
    with reading(engine) as connection:
        row = connection.execute(inference_features_5m.select()).one()
    assert row.embi_z is None and row.rsi_9 is None
    assert row.vix_z is not None


def test_a_signal_of_a_replaced_model_is_not_written(engine, tmp_path):
    for head, epoch in (({"epoch": 3}, 2), ({"epoch": 2, "production_model_id": "demo_2"}, 2)):
        with writing(engine) as connection:
            connection.execute(instruments.update().values(head))
        with pytest.raises(DecisionConflictError, match=r"changed from epoch 2 \(demo_1\) to"):
            table(engine, tmp_path).store(entry(features(), epoch=epoch), in_time)
    assert stored(engine) == []


def test_a_row_in_words_says_by_whom_and_why_where_it_is_known():
    head = f"{INSTRUMENT} 2026-11-30 14:35 UTC: "
    assert row_in_words(signal_row()) == head + "target +1 with confidence 90%, by demo_1"
    flat = signal_row(target=0.0, confidence=None, reason_code="HALTED", detail="the desk\n  is closed")
    assert row_in_words(flat) == head + "target +0 (HALTED), by demo_1: the desk is closed"
    missed = signal_row(target=None, confidence=None, model_id=None)
    assert row_in_words(missed) == head + "NO_SIGNAL (NO_BAR)"
