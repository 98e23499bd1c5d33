from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.errors import DataError
from dosvotos.market.accounting import Account, Tape, run_account
from dosvotos.market.calendar import session_dates
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import Episodes, TrainingArrays, training_arrays
from dosvotos.training.reward import COMPONENTS, RewardWeights
from tests.policy.policies import random_policy
from tests.training.market_envs import (
    ALL_COMPONENTS,
    COST,
    POSITION,
    ROWS,
    environment,
    hand_made,
    rows_seen,
    training_data,
)
from tests.training.short_training import norm_stats, signal_rows


def account_over(data: TrainingArrays, first: int, targets: np.ndarray, cost: float) -> Account:
    """Run the account on an episode's bars: its decisions, then the closes that fill and mark the last."""
    close = data.close[first : first + len(targets) + 2]
    times = pd.date_range("2024-07-02 13:00", periods=len(close), freq="5min", tz="UTC")
    unused = np.zeros(len(close))
    return run_account(Tape(times, close, unused), np.append(targets, [0, 0]), cost, 1.0)


# ---- the account's own marks and fills


@given(seed=st.integers(0, 2**16), cost=st.sampled_from([0.0, COST, 0.00375]), lazy=st.floats(0, 0.95))
@settings(max_examples=15, deadline=None)
def test_an_episodes_equity_is_the_accounts_on_the_same_bars_and_targets(seed: int, cost: float, lazy: float):
    data = training_data()
    env, random = environment(data, n_envs=3, cost=cost, seed=seed), np.random.default_rng(seed)
    first = rows_seen(data, env.reset())
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
        account = account_over(data, first[i], targets, cost)
        # after decision k the episode stands at the close two bars on, before that close's own fill
        marked = (account.equity + account.fees)[2:]
        grown = np.cumprod(1 + np.array(rewards, dtype=float)[: length[i], i])
        np.testing.assert_allclose(grown, marked, rtol=1e-8)
        assert grown[-1] == pytest.approx(account.equity[-1] + account.fees[-1])


def test_pnl_and_fees_are_fractions_of_the_equity_before_the_step():
    data = training_data()
    actions = np.random.default_rng(1).integers(0, 3, 60)
    parts = {}
    for name, weights in (("pnl", (1, 0, 0)), ("fees", (0, 1, 0))):
        env = environment(data, n_envs=1, cost=0.00375, weights=RewardWeights(*weights), seed=3)
        first = rows_seen(data, env.reset())[0]
        steps = [env.step(np.array([action])) for action in actions]
        done = [bool(step[2][0]) for step in steps].index(True) + 1
        parts[name] = np.array([step[1][0] for step in steps], dtype=float)[:done]
    account = account_over(data, first, actions[: len(parts["pnl"])] - 1, 0.00375)
    before = np.concatenate([[1.0], (account.equity + account.fees)[2:-1]])
    fees = account.fees[1:-1]
    gross = (account.equity + account.fees)[2:] - before + fees
    np.testing.assert_allclose(parts["fees"], -fees / before, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(parts["pnl"], gross / before, rtol=1e-5, atol=1e-10)


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
    data = training_data(rows)
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    policy = ServedPolicy(random_policy().tensors, norm_stats())
    env = environment(data, seed=1)
    observations, random = env.reset(), np.random.default_rng(1)
    position = np.zeros(4)
    for _ in range(150):
        shown = complete.iloc[rows_seen(data, observations)]
        expected = policy.observe(
            shown[list(MARKET_FEATURES)].to_numpy(), position, shown["time_normalized"].to_numpy()
        )
        np.testing.assert_array_equal(observations, expected.astype(np.float32))
        actions = random.integers(0, 3, 4)
        observations, _, dones, _ = env.step(actions)
        position = np.where(dones, 0.0, actions - 1.0)


def test_each_step_shows_the_next_row_until_the_episode_ends():
    data = training_data()
    env = environment(data, seed=2)
    rows = rows_seen(data, env.reset())
    for _ in range(200):
        observations, _, dones, infos = env.step(np.ones(4, dtype=int))
        terminal = [info.get("terminal_observation") for info in infos]
        shown = rows_seen(
            data, np.array([o if t is None else t for o, t in zip(observations, terminal, strict=True)])
        )
        assert shown == [row + 1 for row in rows]
        rows = rows_seen(data, observations)
        assert all(rows[i] in data.starts for i in np.flatnonzero(dones))


# ---- episodes


def test_episodes_begin_where_a_session_does():
    rows = signal_rows(7, date(2024, 1, 2), 12, missing=0.2)
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    days = session_dates(pd.DatetimeIndex(complete.index))
    firsts = [i for i in range(len(days)) if i == 0 or days[i] != days[i - 1]]
    for episode_bars in (2, 60, 300):
        fits = [i for i in firsts if i + episode_bars + 2 <= len(complete)]
        assert training_data(rows, episode_bars).starts.tolist() == fits


def test_the_longest_episode_that_fits_uses_the_very_last_close():
    n_rows = len(ROWS)
    data = training_data(ROWS, n_rows - 2)
    assert data.starts.tolist() == [0]
    with pytest.raises(DataError, match=r"training\.episode_bars.*719.*720"):
        training_data(ROWS, n_rows - 1)


def test_a_tape_holds_the_complete_rows_only():
    rows = signal_rows(8, date(2024, 1, 2), 5, missing=0.3)
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    data = training_data(rows)
    assert 0 < len(complete) < len(rows)
    assert data.close.tolist() == complete["close"].tolist()
    assert np.isfinite(data.observations).all() and np.abs(data.observations).max() <= 5
    with pytest.raises(DataError, match="0 complete rows of train; of its 300 rows 300 miss vix_z"):
        training_data(rows.assign(vix_z=np.nan))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rsi_9", np.inf, "train: rsi_9 must be finite, found NaN or infinity in 1 complete row"),
        ("time_normalized", np.nan, "train: time_normalized must be finite"),
        ("close", np.nan, "train: every close must be a positive number"),
        ("close", 0.0, r"train: every close must be a positive number, found 0\.0"),
    ],
)
def test_what_no_episode_can_use_is_refused_by_name(column: str, value: float, message: str):
    rows = ROWS.copy()
    rows.iloc[100, rows.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=message):
        training_data(rows)


def test_an_episode_lasts_its_bars_and_ends_by_the_time_limit():
    data = training_data()
    env = environment(data, n_envs=5, seed=3)
    assert not np.isin(rows_seen(data, env.reset()), data.starts).any()
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
    env = environment(training_data(), n_envs=2, seed=4)
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
def test_no_episode_ever_looks_past_its_data(episode_bars: int, seed: int):
    data = training_data(ROWS, episode_bars)
    env = environment(data, n_envs=4, episode_bars=episode_bars, seed=seed)
    beyond = np.append(data.close, [np.nan, np.nan])
    env.episodes._data = data._replace(close=beyond)
    env.reset()
    for _ in range(min(3 * episode_bars, 800)):
        _, rewards, _, _ = env.step(np.full(4, 2))
        assert np.isfinite(rewards).all()


def test_a_seed_decides_the_episodes_and_sb3_may_set_it_again():
    data = training_data()
    shown = {}
    for seed in (1, 2):
        env = environment(data, seed=seed)
        shown[seed] = rows_seen(data, env.reset())
        env.seed(seed)
        assert rows_seen(data, env.reset()) == shown[seed]
    assert shown[1] != shown[2]


def test_weights_can_change_between_phases():
    data = training_data()
    env = environment(data, n_envs=1, weights=RewardWeights(0, 1, 0), cost=0.01)
    env.reset()
    assert env.step(np.array([2]))[1][0] == pytest.approx(-0.01)
    env.episodes.weights = RewardWeights(0, 100, 0)
    assert env.step(np.array([0]))[1][0] == pytest.approx(-2.0, rel=0.02)


def test_a_position_held_overnight_is_rewarded_with_its_financing():
    rows = ROWS.assign(policy_rate_difference=-7.3)
    plain = training_arrays(rows, norm_stats(), 60)
    financed = training_arrays(rows, norm_stats(), 60, financed=True)
    results = []
    for data in (plain, financed):
        episodes = Episodes(data, 1, 60, 0.0, RewardWeights(1.0, 0.0, 0.0))
        episodes.accounts.row[:] = data.starts[0] + 58
        results.append(float(episodes.step(np.array([2])).rewards[0]))
    days = (rows.index[60].date() - rows.index[59].date()).days
    assert results[1] - results[0] == pytest.approx(-0.073 / 365 * days, rel=1e-3)


def test_an_unknown_rate_refuses_a_financed_training():
    rows = ROWS.assign(policy_rate_difference=np.nan)
    with pytest.raises(DataError, match="financing: fed funds or TPM is unknown"):
        training_arrays(rows, norm_stats(), 60, financed=True)


# ---- components of the reward


def test_each_component_by_hand():
    close = [100, 100, 110, 99, 99, 99, 99]
    episodes = Episodes(hand_made(close), 1, 5, cost=0.01, weights=ALL_COMPONENTS)
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
    env = environment(training_data(), n_envs=3, weights=ALL_COMPONENTS, seed=6)
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
        env = environment(training_data(), n_envs=2)
        env.reset()
        with pytest.raises(ValueError, match=r"action: must be 0 \(short\), 1 \(flat\) or 2 \(long\)"):
            env.step(np.array([1, wrong]))


# ---- profit credited in advance


def test_a_session_s_rest_is_credited_when_the_position_changes_by_hand():
    close = [100, 100, 110, 99, 120, 90, 90, 90]
    data = hand_made(close, credit_close=[120] * 5 + [90] * 3)
    episodes = Episodes(data, 1, 6, cost=0.0, weights=RewardWeights(1, 0, 0))
    episodes.reset([0])
    rewards, equity = [], []
    for action in (2, 2, 1, 2, 2):
        rewards.append(float(episodes.step(np.array([action])).rewards[0]))
        equity.append(float(episodes.accounts.equity[0]))
    # long at 100 has 20 ahead, held it earns nothing anew, sold at 99 it gives back what was still ahead;
    # bought again at the session's last close it has the night and the next session ahead, -30 on 120
    assert rewards == pytest.approx([0.2, 0.0, -0.01 * 21 / 0.99, -0.25, 0.0], abs=1e-7)
    assert equity == pytest.approx([1.1, 0.99, 0.99, 0.99 * 0.75, 0.99 * 0.75])


@pytest.mark.parametrize("credit_bars", [12, 59])
def test_credit_moves_profit_within_an_episode_and_leaves_account_and_other_components_alone(credit_bars):
    random, n = np.random.default_rng(8), 20
    data, advanced = (training_data(episode_bars=300, credit_bars=bars) for bars in (0, credit_bars))
    both = [Episodes(arrays, n, 300, COST, ALL_COMPONENTS) for arrays in (data, advanced)]
    for episodes in both:
        episodes.seed(range(n))
        episodes.reset_all(staggered=False)
    moved = np.zeros(n)
    for _ in range(100):
        before = both[0].accounts.equity.copy()
        actions = random.integers(0, 3, n)
        now, ahead = (episodes.step(actions).contributions for episodes in both)
        np.testing.assert_array_equal(now[:, 1:], ahead[:, 1:])
        np.testing.assert_array_equal(both[0].accounts.equity, both[1].accounts.equity)
        moved += (ahead - now)[:, 0] / ALL_COMPONENTS.pnl * before
    accounts = both[1].accounts
    days = session_dates(pd.DatetimeIndex(ROWS.index))
    held_at = accounts.row + 1
    until = [min(np.flatnonzero(days == days[row])[-1], row + credit_bars) for row in held_at]
    np.testing.assert_allclose(moved, accounts.units * (data.close[until] - data.close[held_at]), atol=1e-12)


def test_nothing_is_credited_beyond_ruin():
    data = hand_made([100, 100, 199.5, 90, 90, 90], credit_close=[90] * 6)
    episodes = Episodes(data, 1, 4, 0.0, RewardWeights(1, 0, 0))
    episodes.reset([0])
    step = episodes.step(np.array([0]))
    assert step.terminated[0] and step.rewards[0] == pytest.approx(-0.995)
