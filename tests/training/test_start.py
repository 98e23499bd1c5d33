"""What the network is before the first step, what of it training leaves, and what it may not be."""

from functools import cache

import numpy as np
import pytest

from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import ParameterError
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.linear import ENTRY_THRESHOLDS, fit_linear_rival
from dosvotos.training.ppo import new_model, train
from dosvotos.training.start import served_policy, set_start
from tests.training.market_envs import environment, training_data
from tests.training.short_training import ROLLOUT, SEED, norm_stats, small_parameters, train_rows, val_rows
from tests.training.test_linear import planted

SHAPES = [[16], [8, 5], [6, 6, 6, 6], [2, 2]]


def started(parameters: Parameters) -> ServedPolicy:
    rows, val = planted()
    stats = fit_norm_stats(rows)
    model = new_model(environment(training_data()), parameters.training, SEED)
    set_start(model, parameters, rows, val, stats)
    return served_policy(model, stats)


@pytest.mark.parametrize("hidden", SHAPES)
def test_a_linear_start_decides_as_the_linear_rival_whatever_the_shape(hidden: list[int]):
    rows, val = planted()
    rival = fit_linear_rival(small_parameters(), rows, val, fit_norm_stats(rows)).policy
    start = started(small_parameters(own={"start": "linear"}, hidden_sizes=hidden))
    for split in (rows, val):
        expected = policy_targets(rival, split)
        assert {-1, 0, 1} == set(expected)
        np.testing.assert_array_equal(policy_targets(start, split), expected)


@pytest.mark.parametrize("hidden", SHAPES)
def test_flat_overnight_leaves_at_the_last_close_and_changes_no_logit_before(hidden: list[int]):
    policy = started(small_parameters(own={"start": "linear", "flat_overnight": True}, hidden_sizes=hidden))
    random, n = np.random.default_rng(7), 3000
    features, positions = random.normal(0, 2, (n, 13)), random.integers(-1, 2, n).astype(float)
    slots = random.integers(0, 60, n)
    logits = policy.logits(policy.observe(features, positions, slots / 59))
    at_night = slots >= 58
    assert (logits[at_night, 1] - logits[at_night][:, [0, 2]].max(axis=1) > 1000).all()
    day = logits[~at_night]
    of_flat = 0.5 * np.array(ENTRY_THRESHOLDS)
    for _ in hidden:
        of_flat = np.tanh(of_flat)
    assert np.ptp(day[:, 1]) < 1e-3
    assert np.abs(100 * of_flat - day[0, 1]).min() < 1e-3
    np.testing.assert_allclose(day[:, 0], -day[:, 2], atol=1e-3)


@cache
def trained_flat(engine: str, start: str) -> ServedPolicy:
    """Train long and fast enough that untouched units would move."""
    parameters = small_parameters(
        phases=(("final", 12 * ROLLOUT, 0.0, 0.0),),
        engine=engine,
        own={"start": start, "flat_overnight": True},
        learning_rate=5e-3,
        gamma=0.0,
        n_epochs=4,
    )
    return train(parameters, SEED, train_rows(), val_rows(), norm_stats()).policy


@pytest.mark.parametrize(("engine", "start"), [("fast", "random"), ("fast", "linear"), ("sb3", "random")])
def test_training_moves_the_policy_but_never_into_the_night(engine: str, start: str):
    policy, rows = trained_flat(engine, start), val_rows()
    targets, slots = policy_targets(policy, rows), np.rint(rows["time_normalized"].to_numpy() * 59)
    assert not targets[slots >= 58].any()
    assert (targets[slots == 57] != 0).any()
    long, short = (policy.tensors["action.weight"][row, 1:-1] for row in (2, 0))
    assert np.abs(long).max() > 0.01 < np.abs(short).max()  # 0 at a linear start, 0.01 at most as drawn
    if start == "random":
        agreed = targets == np.sign(rows["dxy_z"])
        assert agreed[slots < 58].mean() > 0.7


def test_without_a_statement_the_start_is_the_drawn_one():
    model = new_model(environment(training_data()), small_parameters().training, SEED)
    drawn = served_policy(model, norm_stats()).model_hash
    set_start(model, small_parameters(), train_rows(), val_rows(), norm_stats())
    assert served_policy(model, norm_stats()).model_hash == drawn


@pytest.mark.parametrize("stated", [{"start": "linear"}, {"flat_overnight": True}])
def test_a_start_without_units_to_hold_it_is_refused(stated: dict):
    with pytest.raises(ParameterError, match=r"training: .*hidden_sizes must be 2 or more, were \(8, 1\)"):
        small_parameters(own=stated, hidden_sizes=[8, 1])
    with pytest.raises(ParameterError, match="engine linear has no hidden units"):
        small_parameters(own=stated, engine="linear")
