import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from dosvotos.market.accounting import Tape, run_account
from dosvotos.training.environment import MarketEnv, MarketVectorEnv
from dosvotos.training.episodes import TrainingArrays
from dosvotos.training.reward import COMPONENTS, RewardWeights
from tests.training.market_envs import (
    ALL_COMPONENTS,
    COST,
    ROWS,
    environment,
    hand_made,
    rows_seen,
    training_data,
)

# ---- what SB3 expects


def test_shapes_and_kinds_are_those_of_the_spaces():
    env = environment(training_data(), n_envs=3)
    assert isinstance(env, VecEnv) and env.num_envs == 3
    assert env.observation_space.shape == (15,) and env.action_space.n == 3
    observations = env.reset()
    for _ in range(130):
        assert observations.shape == (3, 15) and observations.dtype == np.float32
        assert all(env.observation_space.contains(one) for one in observations)
        actions = np.array([env.action_space.sample() for _ in range(3)])
        observations, rewards, dones, infos = env.step(actions)
        assert rewards.shape == (3,) and rewards.dtype == np.float32
        assert dones.shape == (3,) and dones.dtype == bool
        assert len(infos) == 3
        for i in np.flatnonzero(dones):
            assert env.observation_space.contains(infos[i]["terminal_observation"])


def test_an_observation_handed_out_is_not_written_to_later():
    env = environment(training_data())
    first = env.reset()
    kept = first.copy()
    env.step(np.ones(4, dtype=int))
    assert np.array_equal(first, kept)


def test_the_vecenv_interface_answers():
    env = environment(training_data(), n_envs=3)
    assert env.get_attr("num_envs") == [3, 3, 3] and env.get_attr("num_envs", [1]) == [3]
    assert env.env_is_wrapped(object) == [False] * 3
    env.set_attr("render_mode", "human")
    assert env.render_mode == "human"
    assert env.unwrapped is env
    env.close()


def test_sb3_takes_it_as_it_is():
    env = environment(training_data(), n_envs=2)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
    assert model.get_env() is env
    model.learn(16)
    assert model.num_timesteps == 16


# ---- three interfaces, one step


def gymnasium_env(
    data: TrainingArrays, episode_bars: int = 60, weights: RewardWeights = ALL_COMPONENTS
) -> MarketEnv:
    return MarketEnv(data, episode_bars, COST, weights)


@given(seed=st.integers(0, 2**16), episode_bars=st.integers(2, 90))
@settings(max_examples=8, deadline=None)
def test_the_three_interfaces_give_the_same_trajectories(seed: int, episode_bars: int):
    data, n_envs = training_data(ROWS, episode_bars), 3
    vec = environment(data, n_envs, episode_bars, weights=ALL_COMPONENTS, seed=seed)
    vector = MarketVectorEnv(data, n_envs, episode_bars, COST, ALL_COMPONENTS)
    singles = [gymnasium_env(data, episode_bars) for _ in range(n_envs)]
    staggered = {"staggered": True}
    shown = [vec.reset(), vector.reset(seed=seed, options=staggered)[0]]
    shown.append(np.array([env.reset(seed=seed + i, options=staggered)[0] for i, env in enumerate(singles)]))
    random = np.random.default_rng(seed)
    for _ in range(150):
        assert np.array_equal(shown[0], shown[1]) and np.array_equal(shown[0], shown[2])
        actions = random.integers(0, 3, n_envs)
        seen, rewards, dones, infos = vec.step(actions)
        seen_2, rewards_2, terminated, truncated, infos_2 = vector.step(actions)
        assert np.array_equal(rewards, rewards_2) and np.array_equal(dones, terminated | truncated)
        seen_3 = []
        for i, env in enumerate(singles):
            observation, reward, terminated_3, truncated_3, info = env.step(int(actions[i]))
            assert (reward, terminated_3, truncated_3) == (rewards[i], terminated[i], truncated[i])
            assert info["reward"] == {name: infos_2["reward"][name][i] for name in COMPONENTS}
            if dones[i]:
                assert np.array_equal(observation, infos[i]["terminal_observation"])
                assert np.array_equal(observation, infos_2["final_obs"][i])
                assert infos_2["_final_obs"][i]
                assert infos[i]["TimeLimit.truncated"] is truncated_3
                observation, _ = env.reset()
            seen_3.append(observation)
        shown = [seen, seen_2, np.array(seen_3)]


def test_gymnasiums_checker_finds_nothing(recwarn: pytest.WarningsRecorder):
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium_env(training_data()), skip_render_check=True)
    assert [str(w.message) for w in recwarn if "market" in str(w.message).lower()] == []


def test_sb3s_checker_finds_nothing(recwarn: pytest.WarningsRecorder):
    from stable_baselines3.common.env_checker import check_env

    check_env(gymnasium_env(training_data()), warn=True)
    assert [str(w.message) for w in recwarn] == []


def test_gymnasiums_own_vector_of_single_environments_agrees_with_the_batched_one():
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    data = training_data()
    theirs = SyncVectorEnv(
        [lambda: gymnasium_env(data)] * 4, autoreset_mode=AutoresetMode.SAME_STEP, copy=True
    )
    ours = MarketVectorEnv(data, 4, 60, COST, ALL_COMPONENTS)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    shown = ours.reset(seed=8)[0], theirs.reset(seed=8)[0]
    random = np.random.default_rng(8)
    for _ in range(130):
        assert np.array_equal(*shown)
        actions = random.integers(0, 3, 4)
        one, other = ours.step(actions), theirs.step(actions)
        for k in (2, 3):
            assert np.array_equal(one[k], other[k])
        np.testing.assert_array_equal(one[1], other[1])
        shown = one[0], other[0]
    assert ours.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_an_episode_under_gymnasium_begins_at_a_session_unless_it_is_staggered():
    data, env = training_data(), gymnasium_env(training_data())
    assert all(rows_seen(data, env.reset(seed=i)[0][None])[0] in data.starts for i in range(5))
    middles = [rows_seen(data, env.reset(seed=i, options={"staggered": True})[0][None])[0] for i in range(5)]
    assert not set(middles) <= set(data.starts.tolist())


def test_an_ended_episode_under_gymnasium_takes_no_step():
    from gymnasium.error import ResetNeeded

    env = gymnasium_env(training_data(ROWS, 2), episode_bars=2)
    with pytest.raises(ResetNeeded):
        env.step(1)
    env.reset(seed=0)
    assert [env.step(1)[3] for _ in range(2)] == [False, True]
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.step(1)


def test_episodes_go_on_from_a_state_that_was_written_as_json():
    data, random = training_data(), np.random.default_rng(9)
    env = environment(data, weights=ALL_COMPONENTS, seed=9)
    env.reset()
    for _ in range(70):
        env.step(random.integers(0, 3, 4))
    written = json.dumps(env.episodes.state())
    other = environment(data, weights=ALL_COMPONENTS, seed=10)
    other.reset()
    other.episodes.restore(json.loads(written))
    for _ in range(130):
        actions = random.integers(0, 3, 4)
        left, right = env.step(actions), other.step(actions)
        for k in range(3):
            assert np.array_equal(left[k], right[k])
        assert [info.get("episode") for info in left[3]] == [info.get("episode") for info in right[3]]


BAD_ACTIONS = (1.5, -1, 3, np.nan, np.inf, -0.5, 2.0000001, "1", None, True)


@pytest.mark.parametrize("action", BAD_ACTIONS)
def test_an_action_that_is_none_of_three_is_refused_by_every_environment(action):
    data = training_data()
    single = MarketEnv(data, 60, COST, ALL_COMPONENTS)
    vector, vec = MarketVectorEnv(data, 1, 60, COST, ALL_COMPONENTS), environment(data, n_envs=1)
    single.reset(seed=1)
    vector.reset(seed=1)
    vec.reset()
    before = vector.episodes.state()
    for step in (single.step, lambda a: vector.step(np.array([a])), lambda a: vec.step(np.array([a]))):
        with pytest.raises(ValueError, match="must be 0"):
            step(action)
    assert vector.episodes.state() == before


def test_a_whole_float_is_an_action_and_a_wrong_number_of_them_is_none():
    vector = MarketVectorEnv(training_data(), 2, 60, COST, ALL_COMPONENTS)
    vector.reset(seed=1)
    vector.step(np.array([2.0, 0.0]))
    with pytest.raises(ValueError, match=r"shape \(2,\), was \(3,\)"):
        vector.step(np.array([0, 1, 2]))


@given(seed=st.integers(0, 2**32 - 1), cost=st.sampled_from([0.0, 0.05, 0.3]))
@settings(max_examples=30, deadline=None)
def test_an_episode_ends_on_the_bar_on_which_the_account_is_ruined(seed, cost):
    random = np.random.default_rng(seed)
    close, actions = 100 * np.exp(np.cumsum(random.normal(0, 0.2, 60))), random.integers(0, 3, 57)
    env = MarketEnv(hand_made(close.tolist()), 57, cost, ALL_COMPONENTS)
    env.reset(seed=0)
    ended = next((t for t, action in enumerate(actions) if env.step(int(action))[2]), None)
    times = pd.date_range("2024-07-02 13:00", periods=60, freq="5min", tz="UTC")
    targets = np.append(actions - 1.0, [actions[-1] - 1.0] * 3)
    account = run_account(Tape(times, close, np.zeros(60)), targets, cost, 1.0)
    if ended is None:
        assert not account.ruined or account.equity[57] > account.equity[-1]  # after the last mark
        return
    held, row = env.episodes.accounts, int(env.episodes.accounts.row[0])
    closing_fee = cost * abs(held.units[0]) * close[row + 1]
    assert account.ruined and (account.position[row + 1 :] == 0).all()
    assert account.equity[-1] == pytest.approx(max(held.equity[0] - closing_fee, 0.0), abs=1e-12)
