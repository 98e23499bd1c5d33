"""The linear rival: its weights, its band, what it is chosen by, and that it finds what is planted."""

from datetime import date
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.run import trade
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.errors import DataError, ParameterError
from dosvotos.market.accounting import Tape
from dosvotos.market.calendar import session_dates
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.training.linear import (
    ENTRY_THRESHOLDS,
    RIDGE_PENALTIES,
    FittedRival,
    fit_linear_rival,
    linear_policy,
    rest_of_session_return,
    ridge_weights,
    train_linear,
)
from tests.conftest import parameters_of
from tests.training.short_training import signal_rows, small_parameters

PLAIN = NormStats(features=MARKET_FEATURES, mean=(0.0,) * 13, std=(1.0,) * 13)
PLANTED = MARKET_FEATURES.index("brent_change_1d")
LINEAR = small_parameters(engine="linear")


def session_signal_rows(seed: int, start: date, n_sessions: int, drift: float = 6e-5) -> pd.DataFrame:
    """Draw split rows whose daily features stand still in a session; one of them is the session's drift."""
    rows = signal_rows(seed, start, n_sessions, edge=0.0)
    random = np.random.default_rng(seed)
    of_sessions = np.repeat(random.normal(size=(n_sessions, 13)), 60, axis=0)
    rows[list(MARKET_FEATURES)] = of_sessions
    returns = random.normal(0, 5e-4, len(rows)) + drift * of_sessions[:, PLANTED]
    rows["close"] = 4000 * np.exp(np.cumsum(returns))
    return rows


@cache
def planted() -> tuple[pd.DataFrame, pd.DataFrame]:
    return session_signal_rows(3, date(2023, 1, 2), 120), session_signal_rows(4, date(2023, 7, 4), 40)


@cache
def fitted() -> FittedRival:
    train, val = planted()
    return fit_linear_rival(LINEAR, train, val, fit_norm_stats(train))


def test_what_a_decision_earns_until_its_session_ends_by_hand():
    rows = signal_rows(0, date(2024, 1, 2), 2).iloc[[0, 1, 2, 3, 60, 61, 62]].copy()
    rows["close"] = [100.0, 110.0, 121.0, 96.8, 50.0, 40.0, 50.0]
    earned = rest_of_session_return(rows)
    # bar 0 fills at 110 and ends at 96.8, bar 1 at 121; bar 2 would fill at the session's last close
    assert earned[:2] == pytest.approx([96.8 / 110 - 1, 96.8 / 121 - 1])
    assert earned[4] == pytest.approx(50 / 40 - 1)
    assert np.isnan(earned[[2, 3, 5, 6]]).all()


def test_weights_by_hand_and_as_scikit_learn_has_them():
    one = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    # covariance 2, variance 1, penalty 1: half of the slope 2; the mean return of 5 is no edge
    assert ridge_weights(one, np.array([7.0, 3.0, 7.0, 3.0]), 1.0) == pytest.approx([1.0])
    random = np.random.default_rng(1)
    features, earned = random.normal(0.3, 2, (500, 13)), random.normal(0.1, 1, 500)
    for penalty in RIDGE_PENALTIES:
        oracle = Ridge(alpha=500 * penalty).fit(features, earned).coef_
        assert ridge_weights(features, earned, penalty) == pytest.approx(oracle, rel=1e-9)


def band(forecasts: np.ndarray, threshold: float) -> list[int]:
    """Follow the band bar by bar, in words: open beyond the threshold, close at 0, turn beyond twice it."""
    held, path = 0, []
    for forecast in forecasts:
        if held == 0:
            held = int(np.sign(forecast)) if abs(forecast) > threshold else 0
        elif held * forecast <= 0:
            held = -held if -held * forecast > 2 * threshold else 0
        path.append(held)
    return path


def test_the_network_without_hidden_layers_trades_the_band():
    rows, random = signal_rows(5, date(2024, 1, 2), 8), np.random.default_rng(2)
    weights, of_train = random.normal(size=13), random.normal(size=(200, 13))
    forecasts = PLAIN.apply(rows[list(MARKET_FEATURES)].to_numpy()) @ weights / (of_train @ weights).std()
    for threshold in (0.25, *ENTRY_THRESHOLDS):
        policy = linear_policy(weights, of_train, threshold, PLAIN)
        expected = band(forecasts, threshold)
        assert policy_targets(policy, rows).tolist() == expected and {-1, 0, 1} == set(expected)


def test_a_forecast_that_never_moves_never_trades():
    policy = linear_policy(np.zeros(13), np.ones((5, 13)), 0.5, PLAIN)
    assert not policy_targets(policy, signal_rows(5, date(2024, 1, 2), 2)).any()


def test_it_finds_the_planted_feature_and_beats_costs_on_bars_it_has_not_seen():
    weights = fitted().policy.tensors["action.weight"]
    assert np.abs(weights[2, :13]).argmax() == PLANTED and weights[2, PLANTED] > 0
    unseen = session_signal_rows(5, date(2024, 1, 2), 60)
    account = trade(Tape.from_rows(unseen), policy_targets(fitted().policy, unseen), LINEAR)
    assert account.equity[-1] > 1.02 * account.equity[0]


def test_penalty_and_threshold_are_those_with_the_best_net_sharpe_ratio_on_val():
    train, val = planted()
    norm_stats, tape = fit_norm_stats(train), Tape.from_rows(val)
    sessions = np.unique(session_dates(tape.times))
    earned = rest_of_session_return(train)
    features = norm_stats.apply(train[list(MARKET_FEATURES)].to_numpy())[np.isfinite(earned)]
    found = {}
    for penalty, threshold in product(RIDGE_PENALTIES, ENTRY_THRESHOLDS):
        weights = ridge_weights(features, earned[np.isfinite(earned)], penalty)
        account = trade(
            tape, policy_targets(linear_policy(weights, features, threshold, norm_stats), val), LINEAR
        )
        found[penalty, threshold] = sharpe_ratio(daily_returns(account.equity, tape.times, sessions))
    fit = fitted().fit
    assert fit.val_sharpe == pytest.approx(max(found.values()))
    assert found[fit.ridge_penalty, fit.entry_threshold] == fit.val_sharpe
    assert len(set(found.values())) > 1


def test_the_same_rows_give_the_same_policy_whatever_the_threads():
    train, val = planted()
    norm_stats = fit_norm_stats(train)
    with threadpool_limits(2, user_api="blas"):
        again = fit_linear_rival(LINEAR, train, val, norm_stats)
    assert again.fit == fitted().fit
    assert again.policy.model_hash == again.fit.model_hash == fitted().policy.model_hash


def test_rows_without_all_features_are_left_out():
    train, val = planted()
    norm_stats, holed = fit_norm_stats(train), train.copy()
    holed.iloc[::7, 2] = np.nan
    kept = fit_linear_rival(LINEAR, holed, val, norm_stats)
    assert np.isfinite(kept.policy.tensors["action.weight"]).all()
    assert kept.policy.model_hash != fitted().policy.model_hash


def test_what_cannot_be_fitted_is_named():
    train, val = planted()
    norm_stats = fit_norm_stats(train)
    last_bars = train.iloc[58::60]
    with pytest.raises(DataError, match="of 120 bars none has all features and a later bar of its session"):
        fit_linear_rival(LINEAR, last_bars, val, norm_stats)
    blind = val.assign(vix_z=np.nan)
    with pytest.raises(DataError, match="val: no row of 2400 has all features"):
        fit_linear_rival(LINEAR, train, blind, norm_stats)


def test_as_a_candidate_it_is_the_same_policy_without_steps_or_sb3_file():
    train, val = planted()
    result = train_linear(LINEAR, train, val, fit_norm_stats(train))
    assert result.policy.model_hash == fitted().policy.model_hash
    assert (result.timesteps, result.sb3_zip, result.final_phase) == (0, None, "linear")
    (validation,) = result.curve
    assert validation.val_return == result.best_val_return == fitted().fit.val_return


def test_several_seeds_of_one_linear_model_are_refused():
    training = {**parameters_of().training.model_dump(), "engine": "linear", "seeds": [1, 2]}
    with pytest.raises(ParameterError, match=r"engine linear draws nothing.*state one of \(1, 2\)"):
        parameters_of(training=training)
