from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import lock_instrument
from dosvotos.database.tables import inference_features_5m, instruments, trading_signals
from dosvotos.errors import DataError, DecisionConflictError
from dosvotos.live.signals import SignalTable
from dosvotos.live.tick import LiveFeatures, ServedModel, decide_tick, feature_vector, live_features
from dosvotos.market.features import MarketHistory, market_features
from dosvotos.market.features.inputs import bar_arrays, publication_arrays
from dosvotos.market.stream import FeatureStream
from tests.conftest import parameters_of
from tests.live.markets import simulated
from tests.proposal_fixtures import INSTRUMENT, tiny_policy

BAR = datetime(2026, 11, 20, 17, 55, tzinfo=UTC)


@pytest.fixture
def engine(engine):
    """The database of an instrument whose head row names demo_1."""
    with writing(engine) as connection:
        lock_instrument(connection, INSTRUMENT)
        connection.execute(instruments.update().values(production_model_id="demo_1"))
    return engine


def served_model(epoch: int = 0) -> ServedModel:
    policy = tiny_policy(1)
    return ServedModel("demo_1", policy.model_hash, epoch, policy)


def features(age_minutes: float = 0.0, **missing: float) -> LiveFeatures:
    values = np.linspace(-1, 1, len(MARKET_FEATURES))
    for name, value in missing.items():
        values[MARKET_FEATURES.index(name)] = value
    now = BAR + timedelta(minutes=5 + age_minutes)
    return LiveFeatures(BAR, now, values, 1.0)


def tick(live: LiveFeatures, position: float = 0.0, epoch: int = 0):
    return decide_tick(live, served_model(epoch), position, parameters_of().inference, INSTRUMENT)


def test_a_signal_is_the_policy_s_likeliest_target_and_its_probability():
    record = tick(features(), position=1.0)
    policy = served_model().policy
    probabilities = policy.probabilities(
        policy.observe(features().market[None], np.array([1.0]), np.array([1.0]))
    )
    assert record.status == "SIGNAL"
    assert record.signal == (-1.0, 0.0, 1.0)[int(probabilities.argmax())]
    assert record.confidence == pytest.approx(probabilities.max())
    assert record.inference_id == "inf_20261120_175500"


@pytest.mark.parametrize("age", [0.0, 7.5])
def test_a_fresh_bar_signals(age):
    assert tick(features(age)).status == "SIGNAL"


def test_a_stale_bar_gives_no_signal_with_its_reason():
    record = tick(features(7.6))
    assert (record.status, record.reason_code, record.signal) == ("NO_SIGNAL", "STALE_BAR", None)


@pytest.mark.parametrize("name", MARKET_FEATURES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_missing_or_infinite_feature_gives_no_signal(name, value):
    record = tick(features(**{name: value}))
    assert (record.status, record.reason_code) == ("NO_SIGNAL", "FEATURE_MISSING")


def test_the_feature_hash_covers_the_position():
    assert tick(features(), 1.0).feature_hash != tick(features(), 0.0).feature_hash
    assert feature_vector(features(), -1.0)[-2:].tolist() == [-1.0, 1.0]


@pytest.fixture(scope="module")
def market(variables):
    bars, macro = simulated(variables)
    stream = FeatureStream(variables)
    stream.add_bars(bar_arrays(bars, "close"), publication_arrays(macro))
    return MarketHistory(bars, macro), stream


def test_l1_computes_what_l2_computed(market, variables):
    history, stream = market
    live = live_features(parameters_of(), stream, BAR)
    batch = market_features(history, variables)
    assert live.timestamp == batch.index[-1]
    np.testing.assert_array_equal(live.market, batch[list(MARKET_FEATURES)].to_numpy()[-1])
    assert live.time_normalized == 1.0
    assert np.isfinite(live.market).all()


def test_under_the_market_s_clock_the_last_bar_s_close_is_now(market):
    history, stream = market
    assert live_features(parameters_of(), stream, BAR).now == history.bars.index[-1] + timedelta(minutes=5)
    assert live_features(parameters_of(inference={"clock": "wall"}), stream, BAR).now == BAR


def test_without_bars_the_message_says_what_to_run(variables):
    with pytest.raises(DataError, match=r"none stored for USD/COP.SIM; run 'kedro run --pipelines data_acq"):
        live_features(parameters_of(), FeatureStream(variables), BAR)


def stored(engine) -> list:
    with reading(engine) as connection:
        return connection.execute(trading_signals.select().order_by(trading_signals.c.timestamp)).all()


def test_a_bar_gets_exactly_one_row(engine):
    signals, now = SignalTable(engine, INSTRUMENT), datetime.now(UTC)
    record = tick(features())
    signals.store(record, features(), now)
    again = tick(features(9))
    signals.store(again, features(9), now)
    assert [row.status for row in stored(engine)] == ["SIGNAL"]
    with reading(engine) as connection:
        row = connection.execute(inference_features_5m.select()).one()
    assert row.rsi_9 == pytest.approx(features().market[MARKET_FEATURES.index("rsi_9")])
    assert row.feature_hash == record.feature_hash


def test_no_signal_leaves_the_model_s_position_unchanged(engine):
    signals, now = SignalTable(engine, INSTRUMENT), datetime.now(UTC)
    first = tick(features())
    signals.store(first, features(), now)
    stale = features(60)._replace(timestamp=BAR + timedelta(minutes=5), now=BAR + timedelta(minutes=90))
    second = tick(stale, first.signal)
    signals.store(second, stale, now)
    assert [row.status for row in stored(engine)] == ["SIGNAL", "NO_SIGNAL"]
    assert signals.position_at(BAR) == 0.0
    assert signals.position_at(BAR + timedelta(minutes=10)) == first.signal


def test_missing_features_are_stored_as_missing(engine):
    live = features(embi_z=np.nan)
    record = tick(live)
    SignalTable(engine, INSTRUMENT).store(record, live, datetime.now(UTC))
    with reading(engine) as connection:
        row = connection.execute(inference_features_5m.select()).one()
    assert row.embi_z is None
    assert row.vix_z is not None


def test_a_signal_of_a_replaced_model_is_not_written(engine):
    for head, epoch in (({"epoch": 3}, 2), ({"epoch": 2, "production_model_id": "demo_2"}, 2)):
        with writing(engine) as connection:
            connection.execute(instruments.update().values(head))
        record = tick(features(), epoch=epoch)
        with pytest.raises(DecisionConflictError, match=r"changed from epoch 2 \(demo_1\) to"):
            SignalTable(engine, INSTRUMENT).store(record, features(), datetime.now(UTC))
    assert stored(engine) == []
