"""Live sessions' drift from train: alarms at a shift, none without, only whole sessions after the vote."""

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import insert

from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import production_rows
from dosvotos.database.tables import inference_features_5m
from dosvotos.live import drift
from dosvotos.live.drift import LiveDrift, live_drift, whole_sessions
from dosvotos.live.nightly import NightlyCheck
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.drift import DriftAlarms
from tests.live.limited_desk import ON_SQLITE
from tests.proposal_fixtures import INSTRUMENT


@pytest.fixture
def alarms() -> DriftAlarms:
    """Alarms of 400 sessions of noise with mean 0 and standard deviation 1."""
    noise = np.random.default_rng(3).normal(size=(400, len(MARKET_FEATURES)))
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0, ddof=1)
    days = pd.DatetimeIndex(scheduled_sessions("2021-01-01", "2022-12-30")[:400])
    return DriftAlarms.fit_means(pd.DataFrame(noise, index=days, columns=list(MARKET_FEATURES)))


def served(days: list[np.datetime64], **shifts: float) -> pd.DataFrame:
    """Features of a bar each session, at train's mean but for shifts."""
    times = pd.DatetimeIndex([session_bar_times(day)[30] for day in days])
    rows = pd.DataFrame(0.0, index=times, columns=list(MARKET_FEATURES))
    return rows.assign(**shifts)


def store(engine, rows: pd.DataFrame) -> None:
    other = {name: 0.0 for name in FEATURE_ORDER if name not in MARKET_FEATURES}
    hashes = {"feature_order_hash": "0" * 64, "feature_hash": "0" * 64}
    with writing(engine) as connection:
        for time, row in rows.iterrows():
            values = {**other, **row.to_dict(), **hashes, "instrument": INSTRUMENT}
            moment = time.to_pydatetime()
            connection.execute(
                insert(inference_features_5m).values(timestamp=moment, created_at=moment, **values)
            )


def test_a_session_counts_from_the_first_after_the_vote_and_once_it_is_over():
    days = list(scheduled_sessions("2026-03-02", "2026-03-06"))
    rows = served(days, rsi_9=2.0)
    vote, now = session_bar_times(days[0])[10], session_bar_times(days[-1])[59]
    means = whole_sessions(rows, vote, now)
    assert list(means.index.astype(str)) == [str(day) for day in days[1:-1]]
    assert (means["rsi_9"] == 2.0).all()
    assert len(whole_sessions(rows, vote, now + pd.Timedelta(minutes=5))) == len(days) - 1
    assert whole_sessions(rows.iloc[:0], vote, now).empty


@ON_SQLITE
def test_a_shift_of_live_sessions_is_found_told_and_over_when_the_model_is_another(
    make_desk, alarms, monkeypatch
):
    desk = make_desk(live=1)
    monkeypatch.setattr(drift, "_alarms", lambda *_: alarms)
    with reading(desk.engine) as connection:
        vote = production_rows(connection, INSTRUMENT).vote
    days = list(scheduled_sessions(vote.created_at.date(), "2027-12-31"))[1:21]
    now = session_bar_times(days[-1])[-1] + pd.Timedelta(minutes=5)
    calm = live_drift(desk.engine, INSTRUMENT, now)
    assert (calm.sessions, calm.alarms) == (0, ())
    store(desk.engine, served(days, rsi_9=2.05, dxy_z=9.0))
    found = live_drift(desk.engine, INSTRUMENT, now)
    since = {one.feature: one.first_alarm for one in found.alarms}
    # CUSUM: each session adds 2.05 less the allowance of 1, and 12 x 1.05 is the first beyond the limit of 12
    assert found.sessions == 20 and since == {"rsi_9": str(days[11]), "dxy_z": str(days[0])}
    desk.clock.time = now.to_pydatetime()
    check = NightlyCheck(desk.engine, desk.parameters, desk.clock, desk.alerts)
    check._watch_drift()
    told = desk.alerts.open["DRIFT"]
    assert f"rsi_9 since {days[11]}" in told and "5% of the years" in told
    monkeypatch.setattr("dosvotos.live.nightly.live_drift", lambda *_: LiveDrift("other", 0, ()))
    check._watch_drift()
    assert desk.alerts.open == {}


@ON_SQLITE
def test_without_a_model_or_without_its_train_nothing_is_judged(engine, make_desk):
    assert live_drift(engine, INSTRUMENT, pd.Timestamp("2026-03-02", tz="UTC")) is None
    desk = make_desk(live=1)
    found = live_drift(desk.engine, INSTRUMENT, desk.clock.now())
    assert found.features is None and found.alarms == ()
