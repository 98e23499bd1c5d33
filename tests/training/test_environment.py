import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.errors import DataError
from dosvotos.market.accounting import Account, Tape, run_account
from dosvotos.market.calendar import session_dates
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.environment import MarketEnv, MarketVecEnv, MarketVectorEnv
from dosvotos.training.episodes import Episodes, MarketTape, market_tape
from dosvotos.training.reward import COMPONENTS, RewardWeights
from tests.policy.policies import random_policy
from tests.training.short_training import norm_stats, signal_rows

NET = RewardWeights(pnl=1.0, transaction_cost=1.0, drawdown=0.0)
COST = 3.5e-4
POSITION = FEATURE_ORDER.index("position")
ROWS = signal_rows(5, date(2024, 1, 2), 12)


def tape_of(rows: pd.DataFrame = ROWS, episode_bars: int = 60) -> MarketTape:
    return market_tape(rows, norm_stats(), episode_bars)


def environment(
    tape: MarketTape,
    n_envs: int = 4,
    episode_bars: int = 60,
    cost: float = COST,
    weights: RewardWeights = NET,
    seed: int = 0,
) -> MarketVecEnv:
    return MarketVecEnv(tape, n_envs, episode_bars, cost, weights, seed)


def rows_seen(tape: MarketTape, observations: np.ndarray) -> list[int]:
    """Which row of the tape each observation shows."""
    shown = observations[:, :13]
    return [int(np.flatnonzero((tape.observations == one).all(axis=1))[0]) for one in shown]


def account_over(tape: MarketTape, first: int, targets: np.ndarray, cost: float) -> Account:
    """The account on an episode's bars: its decisions, then the closes that fill and mark the last."""
    close = tape.close[first : first + len(targets) + 2]
    times = pd.date_range("2024-07-02 13:00", periods=len(close), freq="5min", tz="UTC")
    unused = np.zeros(len(close))
    return run_account(Tape(times, close, unused), np.append(targets, [0, 0]), cost, 1.0)


# ---- the account's own marks and fills


@given(seed=st.integers(0, 2**16), cost=st.sampled_from([0.0, COST, 0.00375]), lazy=st.floats(0, 0.95))
@settings(max_examples=15, deadline=None)
def test_an_episodes_equity_is_the_accounts_on_the_same_bars_and_targets(seed: int, cost: float, lazy: float):
    tape = tape_of()
    env, random = environment(tape, n_envs=3, cost=cost, seed=seed), np.random.default_rng(seed)
    first = rows_seen(tape, env.reset())
    actions, rewards, running = [], [], np.ones(3, dtype=bool)
    length = np.zeros(3, dtype=int)
    before = random.integers(0, 3, 3)
    while running.any():
        fresh = random.integers(0, 3, 3)
        before = np.where(random.random(3) < lazy, before, fresh)
        _, reward, dones, _ = env.step(before)
        actions.append(before)
        rewards.append(reward)
        length[running] += 1
        running &= ~dones
    for i in range(3):
        targets = np.array(actions)[: length[i], i] - 1
        account = account_over(tape, first[i], targets, cost)
        # after decision k the episode stands at the close two bars on, before that close's own fill
        marked = (account.equity + account.fees)[2:]
        grown = np.cumprod(1 + np.array(rewards, dtype=float)[: length[i], i])
        np.testing.assert_allclose(grown, marked, rtol=1e-8)
        assert grown[-1] == pytest.approx(account.equity[-1] + account.fees[-1])


def test_pnl_and_fees_are_fractions_of_the_equity_before_the_step():
    tape = tape_of()
    actions = np.random.default_rng(1).integers(0, 3, 60)
    parts = {}
    for name, weights in (("pnl", (1, 0, 0)), ("fees", (0, 1, 0))):
        env = environment(tape, n_envs=1, cost=0.00375, weights=RewardWeights(*weights), seed=3)
        first = rows_seen(tape, env.reset())[0]
        steps = [env.step(np.array([action])) for action in actions]
        done = [bool(step[2][0]) for step in steps].index(True) + 1
        parts[name] = np.array([step[1][0] for step in steps], dtype=float)[:done]
    account = account_over(tape, first, actions[: len(parts["pnl"])] - 1, 0.00375)
    before = np.concatenate([[1.0], (account.equity + account.fees)[2:-1]])
    fees = account.fees[1:-1]
    gross = (account.equity + account.fees)[2:] - before + fees
    np.testing.assert_allclose(parts["fees"], -fees / before, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(parts["pnl"], gross / before, rtol=1e-5, atol=1e-10)


def hand_made(close: list[float]) -> MarketTape:
    n = len(close)
    marks = np.arange(n, dtype=np.float32)[:, None] * np.ones((1, 13), dtype=np.float32) / n
    flat = np.zeros(n)
    return MarketTape(marks, np.zeros(n, np.float32), np.array(close, dtype=float), flat, np.array([0]))


def steps_from_the_start(env: MarketVecEnv, actions: list[int]) -> list[float]:
    """Rewards of a whole episode: the first, staggered one is run off."""
    env.reset()
    while not env.step(np.array([1]))[2][0]:
        pass
    return [float(env.step(np.array([action]))[1][0]) for action in actions]


def test_drawdown_is_charged_as_it_grows_and_never_paid_back():
    close = [100, 100, 110, 99, 88, 99, 121, 121, 121]
    env = environment(hand_made(close), 1, 6, cost=0.0, weights=RewardWeights(0, 0, 1))
    # long from the second close on: 1, 1.1, .99, .88, .99, 1.21 of the start
    for _ in range(2):  # the next episode knows nothing of this one's peak
        assert steps_from_the_start(env, [2] * 6) == pytest.approx([0, -0.1, -0.1, 0, 0, 0], abs=1e-6)


def test_a_decision_fills_at_the_next_close_and_earns_until_the_one_after():
    close = [100, 200, 220, 200, 300, 300, 300]
    env = environment(hand_made(close), 1, 4, cost=0.01, weights=RewardWeights(1, 1, 0))
    # long: filled at 200, fee 0.01, marked at 220; then flat: sold at 220 for 0.011
    first, second, third, _ = steps_from_the_start(env, [2, 1, 0, 1])
    assert first == pytest.approx(0.10 - 0.01, rel=1e-6)
    assert second == pytest.approx(-0.011 / 1.09, rel=1e-6)
    equity = 1.09 - 0.011
    assert third == pytest.approx((-0.01 * equity - equity * 0.5) / equity, rel=1e-6)


def test_ruin_ends_an_episode_and_is_no_time_limit():
    close = [100, 100, 150, 199.5, 100, 100, 100, 100, 100]
    env = environment(hand_made(close), 1, 6, cost=0.0)
    env.reset()
    while not env.step(np.array([1]))[2][0]:
        pass
    outcomes = [env.step(np.array([0])) for _ in range(3)]
    assert [bool(dones[0]) for _, _, dones, _ in outcomes] == [False, True, False]
    info = outcomes[1][3][0]
    assert info["TimeLimit.truncated"] is False and info["episode"]["l"] == 2
    assert info["terminal_observation"][POSITION] == -1
    assert outcomes[1][0][0, POSITION] == 0


# ---- observations


def test_observations_are_the_served_policys_own():
    rows = signal_rows(6, date(2024, 1, 2), 8, missing=0.1)
    tape = tape_of(rows)
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    policy = ServedPolicy(random_policy().tensors, norm_stats())
    env = environment(tape, seed=1)
    observations, random = env.reset(), np.random.default_rng(1)
    position = np.zeros(4)
    for _ in range(150):
        shown = complete.iloc[rows_seen(tape, observations)]
        expected = policy.observe(
            shown[list(MARKET_FEATURES)].to_numpy(), position, shown["time_normalized"].to_numpy()
        )
        np.testing.assert_array_equal(observations, expected.astype(np.float32))
        actions = random.integers(0, 3, 4)
        observations, _, dones, _ = env.step(actions)
        position = np.where(dones, 0.0, actions - 1.0)


def test_each_step_shows_the_next_row_until_the_episode_ends():
    tape = tape_of()
    env = environment(tape, seed=2)
    rows = rows_seen(tape, env.reset())
    for _ in range(200):
        observations, _, dones, infos = env.step(np.ones(4, dtype=int))
        terminal = [info.get("terminal_observation") for info in infos]
        shown = rows_seen(
            tape, np.array([o if t is None else t for o, t in zip(observations, terminal, strict=True)])
        )
        assert shown == [row + 1 for row in rows]
        rows = rows_seen(tape, observations)
        assert all(rows[i] in tape.starts for i in np.flatnonzero(dones))


# ---- episodes


def test_episodes_begin_where_a_session_does():
    rows = signal_rows(7, date(2024, 1, 2), 12, missing=0.2)
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    days = session_dates(pd.DatetimeIndex(complete.index))
    firsts = [i for i in range(len(days)) if i == 0 or days[i] != days[i - 1]]
    for episode_bars in (2, 60, 300):
        fits = [i for i in firsts if i + episode_bars + 2 <= len(complete)]
        assert tape_of(rows, episode_bars).starts.tolist() == fits


def test_the_longest_episode_that_fits_uses_the_very_last_close():
    n_rows = len(ROWS)
    tape = tape_of(ROWS, n_rows - 2)
    assert tape.starts.tolist() == [0]
    with pytest.raises(DataError, match=r"training\.episode_bars.*719.*720"):
        tape_of(ROWS, n_rows - 1)


def test_a_tape_holds_the_complete_rows_only():
    rows = signal_rows(8, date(2024, 1, 2), 5, missing=0.3)
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    tape = tape_of(rows)
    assert 0 < len(complete) < len(rows)
    assert tape.close.tolist() == complete["close"].tolist()
    assert np.isfinite(tape.observations).all() and np.abs(tape.observations).max() <= 5
    with pytest.raises(DataError, match="0 complete rows of train; of its 300 rows 300 miss vix_z"):
        tape_of(rows.assign(vix_z=np.nan))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("rsi_9", np.inf, "train: rsi_9 must be finite, found NaN or infinity in 1 complete row"),
        ("time_normalized", np.nan, "train: time_normalized must be finite"),
        ("close", np.nan, "train: every close must be a positive number"),
        ("close", 0.0, r"train: every close must be a positive number, found 0\.0"),
    ],
)
def test_what_no_episode_can_use_is_refused_by_name(column: str, value: float, said: str):
    rows = ROWS.copy()
    rows.iloc[100, rows.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=said):
        tape_of(rows)


def test_an_episode_lasts_its_bars_and_ends_by_the_time_limit():
    tape = tape_of()
    env = environment(tape, n_envs=5, seed=3)
    assert not np.isin(rows_seen(tape, env.reset()), tape.starts).any()
    ends: dict[int, list[int]] = {i: [] for i in range(5)}
    for step in range(1, 201):
        observations, _, dones, infos = env.step(np.full(5, 2))
        for i in range(5):
            if dones[i]:
                ends[i].append(step)
                assert infos[i]["TimeLimit.truncated"] is True
                assert infos[i]["terminal_observation"][POSITION] == 1
                assert infos[i]["episode"]["l"] == 60
                assert observations[i, POSITION] == 0
            else:
                assert infos[i] == {}
    first = [steps[0] for steps in ends.values()]
    assert all(1 <= step <= 60 for step in first) and len(set(first)) > 1, "the first ones are staggered"
    assert all((np.diff(steps) == 60).all() for steps in ends.values())


def test_an_episodes_return_is_the_sum_of_its_rewards():
    env = environment(tape_of(), n_envs=2, seed=4)
    env.reset()
    sums, random = np.zeros(2), np.random.default_rng(4)
    for _ in range(150):
        _, rewards, dones, infos = env.step(random.integers(0, 3, 2))
        sums += rewards
        for i in np.flatnonzero(dones):
            assert infos[i]["episode"]["r"] == pytest.approx(sums[i], rel=1e-6, abs=1e-9)
            sums[i] = 0


@given(episode_bars=st.integers(2, 700), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_no_episode_ever_looks_past_the_tape(episode_bars: int, seed: int):
    tape = tape_of(ROWS, episode_bars)
    env = environment(tape, n_envs=4, episode_bars=episode_bars, seed=seed)
    env.episodes._tape = tape._replace(close=np.append(tape.close, [np.nan, np.nan]))
    env.reset()
    for _ in range(min(3 * episode_bars, 800)):
        _, rewards, _, _ = env.step(np.full(4, 2))
        assert np.isfinite(rewards).all()


def test_a_seed_decides_the_episodes_and_sb3_may_set_it_again():
    tape = tape_of()
    shown = {}
    for seed in (1, 2):
        env = environment(tape, seed=seed)
        shown[seed] = rows_seen(tape, env.reset())
        env.seed(seed)
        assert rows_seen(tape, env.reset()) == shown[seed]
    assert shown[1] != shown[2]


def test_weights_can_change_between_phases():
    tape = tape_of()
    env = environment(tape, n_envs=1, weights=RewardWeights(0, 1, 0), cost=0.01)
    env.reset()
    assert env.step(np.array([2]))[1][0] == pytest.approx(-0.01)
    env.weights = RewardWeights(0, 100, 0)
    assert env.step(np.array([0]))[1][0] == pytest.approx(-2.0, rel=0.02)


# ---- what SB3 expects


def test_shapes_and_kinds_are_those_of_the_spaces():
    env = environment(tape_of(), n_envs=3)
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
    env = environment(tape_of())
    first = env.reset()
    kept = first.copy()
    env.step(np.ones(4, dtype=int))
    assert np.array_equal(first, kept)


def test_the_vecenv_interface_answers():
    env = environment(tape_of(), n_envs=3)
    assert env.get_attr("num_envs") == [3, 3, 3] and env.get_attr("num_envs", [1]) == [3]
    assert env.env_is_wrapped(object) == [False] * 3
    env.set_attr("weights", RewardWeights(1, 2, 3))
    assert env.weights == RewardWeights(1, 2, 3)
    assert env.unwrapped is env
    env.close()


def test_sb3_takes_it_as_it_is():
    env = environment(tape_of(), n_envs=2)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
    assert model.get_env() is env
    model.learn(16)
    assert model.num_timesteps == 16


def test_a_position_held_overnight_is_rewarded_with_its_financing():
    rows = ROWS.assign(policy_rate_difference=-7.3)
    plain = market_tape(rows, norm_stats(), 60)
    financed = market_tape(rows, norm_stats(), 60, financed=True)
    results = []
    for tape in (plain, financed):
        episodes = Episodes(tape, 1, 60, 0.0, RewardWeights(1.0, 0.0, 0.0))
        episodes.accounts.row[:] = tape.starts[0] + 58
        results.append(float(episodes.step(np.array([2])).rewards[0]))
    days = (rows.index[60].date() - rows.index[59].date()).days
    assert results[1] - results[0] == pytest.approx(-0.073 / 365 * days, rel=1e-3)


def test_an_unknown_rate_refuses_a_financed_training():
    rows = ROWS.assign(policy_rate_difference=np.nan)
    with pytest.raises(DataError, match="financing: fed funds or TPM is unknown"):
        market_tape(rows, norm_stats(), 60, financed=True)


# ---- components of the reward


EVERY = RewardWeights(
    pnl=2.0, transaction_cost=3.0, drawdown=5.0, volatility=7.0, holding=0.01, inactivity=0.02, turnover=0.03
)


def test_each_component_by_hand():
    close = [100, 100, 110, 99, 99, 99, 99]
    episodes = Episodes(hand_made(close), 1, 5, cost=0.01, weights=EVERY)
    episodes.reset([0])
    steps = [episodes.step(np.array([action])) for action in (2, 0, 1)]
    # long at 100 for a fee and marked at 110; flipped at 110 for two fees and marked at 99; flat at 99
    first = 1 - 0.01 + 0.1
    fee_out = 0.01 * 1.1
    units = (first - fee_out) / 110
    second = first - fee_out - 0.01 * units * 110 + units * 11
    fees = (0.01, (fee_out + 0.01 * units * 110) / first, 0.01 * units * 99 / second)
    equity = (1.0, first, second, second * (1 - fees[2]))
    for t, (step, fee) in enumerate(zip(steps, fees, strict=True)):
        net = equity[t + 1] / equity[t] - 1
        drawdown = [1 - e / max(equity[: i + 1]) for i, e in enumerate(equity)]
        expected = {
            "pnl": 2.0 * (net + fee),
            "transaction_cost": -3.0 * fee,
            "drawdown": -5.0 * max(drawdown[t + 1] - drawdown[t], 0),
            "volatility": -7.0 * net**2,
            "holding": -0.01 * (1, 1, 0)[t],
            "inactivity": -0.02 * (0, 0, 1)[t],
            "turnover": -0.03 * (1, 2, 1)[t],
        }
        found = dict(zip(COMPONENTS, step.contributions[0], strict=True))
        assert found == pytest.approx(expected, abs=1e-12)
        assert step.rewards[0] == pytest.approx(sum(expected.values()), rel=1e-6)


def test_an_episode_tells_what_each_component_added_to_its_return():
    env = environment(tape_of(), n_envs=3, weights=EVERY, seed=6)
    env.reset()
    random, ended = np.random.default_rng(6), []
    for _ in range(130):
        ended += [info["episode"] for info in env.step(random.integers(0, 3, 3))[3] if info]
    assert len(ended) >= 6
    for episode in ended:
        parts = {name: episode[f"reward/{name}"] for name in COMPONENTS}
        assert sum(parts.values()) == pytest.approx(episode["r"], rel=1e-9)
        assert parts["holding"] / 0.01 + parts["inactivity"] / 0.02 == pytest.approx(
            -(parts["holding"] / -0.01 + parts["inactivity"] / -0.02)
        )
        assert all(value != 0 for value in parts.values())


def test_an_action_that_is_none_of_the_three_is_refused():
    for wrong in (-1, 3):
        env = environment(tape_of(), n_envs=2)
        env.reset()
        with pytest.raises(ValueError, match=r"action: must be 0 \(short\), 1 \(flat\) or 2 \(long\)"):
            env.step(np.array([1, wrong]))


# ---- three interfaces, one step


def gymnasium_env(tape: MarketTape, episode_bars: int = 60, weights: RewardWeights = EVERY) -> MarketEnv:
    return MarketEnv(tape, episode_bars, COST, weights)


@given(seed=st.integers(0, 2**16), episode_bars=st.integers(2, 90))
@settings(max_examples=8, deadline=None)
def test_the_three_interfaces_give_the_same_trajectories(seed: int, episode_bars: int):
    tape, n_envs = tape_of(ROWS, episode_bars), 3
    vec = environment(tape, n_envs, episode_bars, weights=EVERY, seed=seed)
    vector = MarketVectorEnv(tape, n_envs, episode_bars, COST, EVERY)
    singles = [gymnasium_env(tape, episode_bars) for _ in range(n_envs)]
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

    check_env(gymnasium_env(tape_of()), skip_render_check=True)
    assert [str(w.message) for w in recwarn if "market" in str(w.message).lower()] == []


def test_sb3s_checker_finds_nothing(recwarn: pytest.WarningsRecorder):
    from stable_baselines3.common.env_checker import check_env

    check_env(gymnasium_env(tape_of()), warn=True)
    assert [str(w.message) for w in recwarn] == []


def test_gymnasiums_own_vector_of_single_environments_agrees_with_the_batched_one():
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    tape = tape_of()
    theirs = SyncVectorEnv(
        [lambda: gymnasium_env(tape)] * 4, autoreset_mode=AutoresetMode.SAME_STEP, copy=True
    )
    ours = MarketVectorEnv(tape, 4, 60, COST, EVERY)
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
    tape, env = tape_of(), gymnasium_env(tape_of())
    assert all(rows_seen(tape, env.reset(seed=i)[0][None])[0] in tape.starts for i in range(5))
    middles = [rows_seen(tape, env.reset(seed=i, options={"staggered": True})[0][None])[0] for i in range(5)]
    assert not set(middles) <= set(tape.starts.tolist())


def test_an_ended_episode_under_gymnasium_takes_no_step():
    from gymnasium.error import ResetNeeded

    env = gymnasium_env(tape_of(ROWS, 2), episode_bars=2)
    with pytest.raises(ResetNeeded):
        env.step(1)
    env.reset(seed=0)
    assert [env.step(1)[3] for _ in range(2)] == [False, True]
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.step(1)


def test_episodes_go_on_from_a_state_that_was_written_as_json():
    tape, random = tape_of(), np.random.default_rng(9)
    env = environment(tape, weights=EVERY, seed=9)
    env.reset()
    for _ in range(70):
        env.step(random.integers(0, 3, 4))
    written = json.dumps(env.episodes.state())
    other = environment(tape, weights=EVERY, seed=10)
    other.reset()
    other.episodes.restore(json.loads(written))
    for _ in range(130):
        actions = random.integers(0, 3, 4)
        left, right = env.step(actions), other.step(actions)
        for k in range(3):
            assert np.array_equal(left[k], right[k])
        assert [info.get("episode") for info in left[3]] == [info.get("episode") for info in right[3]]
