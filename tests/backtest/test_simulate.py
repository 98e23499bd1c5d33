import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.backtest import simulate
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.market.accounting import Tape, run_account
from dosvotos.policy.forward import ServedPolicy
from tests.backtest.windows import split_rows
from tests.policy.policies import norm_stats, random_policy


def bar_by_bar(policy: ServedPolicy, rows: pd.DataFrame) -> list[int]:
    """Ask the policy at each bar with the position it then holds, as L5 does."""
    held, targets = 0, []
    for _, row in rows.iterrows():
        features = row[list(MARKET_FEATURES)].to_numpy(float)
        if not np.isnan(features).any():
            observation = policy.observe(
                features[None, :], np.array([held]), np.array([row["time_normalized"]])
            )
            held = [-1, 0, 1][int(np.argmax(policy.probabilities(observation)[0]))]
        targets.append(held)
    return targets


@given(
    seed=st.integers(0, 2**16),
    missing=st.sampled_from([0.0, 0.1, 0.7]),
    scale=st.sampled_from([0.3, 1.0, 4.0]),
)
@settings(max_examples=12, deadline=None)
def test_batched_targets_equal_a_loop_that_asks_at_each_bar_with_the_position_held(seed, missing, scale):
    policy, rows = random_policy(seed, (8,), scale), split_rows(3, seed, missing)
    assert policy_targets(policy, rows).tolist() == bar_by_bar(policy, rows)


@pytest.mark.parametrize("batch", [1, 7, 60, 179, 180, 1024])
def test_where_a_batch_ends_plays_no_part(monkeypatch, batch: int):
    policy, rows = random_policy(3, (16, 8), 2.0), split_rows(3, 3, missing=0.2)
    monkeypatch.setattr(simulate, "_BATCH_BARS", batch)
    assert policy_targets(policy, rows).tolist() == bar_by_bar(policy, rows)


@pytest.mark.slow
def test_targets_are_those_sb3_predicts_wherever_its_two_best_logits_differ():
    import torch as th
    from stable_baselines3 import PPO

    from dosvotos.training.start import served_policy

    rows = split_rows(40, 11, missing=0.1)
    features = rows[list(MARKET_FEATURES)].to_numpy(float)
    complete = np.isfinite(features).all(axis=1)
    compared = 0
    for seed in range(3):
        model = PPO("MlpPolicy", box_env(), seed=seed, device="cpu", policy_kwargs={"net_arch": [64, 64]})
        with th.no_grad():
            model.policy.action_net.weight.mul_(100)  # SB3 begins with logits too equal to argue about
        policy = served_policy(model, norm_stats(seed))
        targets = policy_targets(policy, rows)
        held = np.concatenate([[0], targets[:-1]])[complete]
        observations = policy.observe(features[complete], held, rows["time_normalized"].to_numpy()[complete])
        answers, _ = model.predict(observations.astype(np.float32), deterministic=True)
        best = np.sort(policy.logits(observations), axis=1)
        clear = best[:, 2] - best[:, 1] > 1e-4
        assert np.array_equal(answers[clear] - 1, targets[complete][clear])
        assert len(np.unique(targets)) == 3
        compared += clear.sum()
    assert compared > 0.99 * 3 * complete.sum()


def box_env() -> object:
    """Spaces only: nothing is ever stepped."""
    import gymnasium as gym

    class Spaces(gym.Env):
        observation_space = gym.spaces.Box(-5.0, 5.0, (len(FEATURE_ORDER),), np.float32)
        action_space = gym.spaces.Discrete(3)

    return Spaces()


def test_the_loop_above_argues_because_the_position_does_decide():
    rows = split_rows(20, 1)
    stubborn = 0
    for seed in range(5):
        policy = random_policy(seed, (8,), 1.0)
        features, clock = rows[list(MARKET_FEATURES)].to_numpy(), rows["time_normalized"].to_numpy()
        answers = [
            policy.logits(policy.observe(features, np.full(len(rows), held), clock)).argmax(axis=1)
            for held in (-1.0, 0.0, 1.0)
        ]
        stubborn += (answers[0] != answers[2]).sum()
    assert stubborn > 100


def follower(sign: float) -> ServedPolicy:
    """Long while dxy_z is above 0, short below; `sign` -1 does the opposite."""
    weight = np.zeros((1, 15), dtype="f4")
    weight[0, FEATURE_ORDER.index("dxy_z")] = 10.0
    tensors = {
        "hidden.0.weight": weight,
        "hidden.0.bias": np.zeros(1, dtype="f4"),
        "action.weight": np.array([[-5 * sign], [0], [5 * sign]], dtype="f4"),
        "action.bias": np.zeros(3, dtype="f4"),
    }
    stats = norm_stats().model_copy(update={"mean": (0.0,) * 13, "std": (1.0,) * 13})
    return ServedPolicy(tensors, stats)


def test_a_policy_that_follows_one_feature_gives_its_sign():
    rows = split_rows(2, 3)
    expected = np.sign(rows["dxy_z"]).astype(int)
    assert np.array_equal(policy_targets(follower(1.0), rows), expected)
    assert np.array_equal(policy_targets(follower(-1.0), rows), -expected)


def test_a_bar_with_a_missing_feature_leaves_the_target_as_it_was():
    rows = split_rows(1, 3)
    rows["dxy_z"] = 1.0
    rows.iloc[20:, rows.columns.get_loc("dxy_z")] = -1.0
    rows.iloc[:3, rows.columns.get_loc("vix_z")] = np.nan
    rows.iloc[18:25, rows.columns.get_loc("embi_z")] = np.nan
    targets = policy_targets(follower(1.0), rows).tolist()
    assert targets == [0] * 3 + [1] * 22 + [-1] * 35


@pytest.mark.parametrize("feature", MARKET_FEATURES)
def test_any_missing_feature_counts_even_one_the_policy_does_not_use(feature: str):
    rows = split_rows(1, 3)
    rows[feature] = np.nan
    assert policy_targets(follower(1.0), rows).tolist() == [0] * 60


def test_what_comes_later_moves_no_target():
    policy, rows = random_policy(7, (8,)), split_rows(4, 7, missing=0.2)
    targets = policy_targets(policy, rows)
    later = rows.copy()
    later.iloc[101:, :13] = np.random.default_rng(0).normal(0, 9, (len(rows) - 101, 13))
    assert np.array_equal(policy_targets(policy, later)[:101], targets[:101])
    assert np.array_equal(policy_targets(policy, rows.iloc[:101]), targets[:101])


def test_every_split_starts_flat():
    policy, rows = random_policy(8, (8,)), split_rows(4, 8)
    second_half = rows.iloc[120:]
    assert policy_targets(policy, second_half).tolist() == bar_by_bar(policy, second_half)


def test_the_position_the_policy_sees_is_the_one_the_account_holds():
    policy, rows = random_policy(9, (8,), 2.0), split_rows(3, 9, missing=0.3)
    targets = policy_targets(policy, rows)
    account = run_account(Tape.from_rows(rows), targets, 3.5e-4, 1e5)
    complete = rows[list(MARKET_FEATURES)].notna().all(axis=1).to_numpy()
    for t in np.flatnonzero(complete[:-1]):
        row = rows.iloc[t]
        observation = policy.observe(
            row[list(MARKET_FEATURES)].to_numpy(float)[None, :],
            account.position[t : t + 1],
            np.array([row["time_normalized"]]),
        )
        assert policy.logits(observation).argmax() - 1 == targets[t]


def test_a_tape_is_the_rows_times_closes_and_rates():
    rows = split_rows(1, 2)
    tape = Tape.from_rows(rows)
    assert tape.times.equals(rows.index)
    assert tape.close.tolist() == rows["close"].tolist()
    assert tape.rate_difference.tolist() == rows["policy_rate_difference"].tolist()
