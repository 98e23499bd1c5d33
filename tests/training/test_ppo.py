import copy
import io
import json
import subprocess
import sys
import zipfile
from datetime import date
from functools import cache

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer

from dosvotos.backtest.metrics import measure
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.errors import DataError, ParameterError
from dosvotos.hashing import digest_bytes
from dosvotos.market.accounting import Account, Tape, run_account
from dosvotos.market.calendar import scheduled_sessions
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.environment import MarketVecEnv
from dosvotos.training.episodes import training_arrays
from dosvotos.training.fast_ppo import FastPPO
from dosvotos.training.ppo import ENGINES, new_model, train
from dosvotos.training.results import TrainingResult, validation_score
from dosvotos.training.reward import COMPONENTS, RewardWeights
from tests.conftest import ROOT, parameter_tree
from tests.training.short_training import (
    ROLLOUT,
    SEED,
    SMALL,
    TWO_PHASES,
    norm_stats,
    small_parameters,
    train_rows,
    val_rows,
)
from tests.unpickling import load_sb3


def trained(parameters: Parameters, seed: int = SEED) -> TrainingResult:
    return train(parameters, seed, train_rows(), val_rows(), norm_stats())


@cache
def small() -> TrainingResult:
    return trained(small_parameters())


def val_account(policy: ServedPolicy, parameters: Parameters) -> Account:
    rows, trading = val_rows(), parameters.trading
    return run_account(
        Tape.from_rows(rows), policy_targets(policy, rows), trading.costs.per_side, trading.initial_capital
    )


def val_return(policy: ServedPolicy, parameters: Parameters) -> float:
    return val_account(policy, parameters).equity[-1] / parameters.trading.initial_capital - 1


def val_sharpe(policy: ServedPolicy, parameters: Parameters) -> float | None:
    """As L4 measures it, over the scheduled sessions of val, of which there are ten."""
    sessions = scheduled_sessions(date(2024, 3, 4), date(2024, 3, 15))
    assert len(sessions) == 10
    return measure(val_account(policy, parameters), val_rows().index, sessions).sharpe_ratio


def observations(policy: ServedPolicy) -> np.ndarray:
    rows = val_rows()
    positions = np.random.default_rng(0).integers(-1, 2, len(rows))
    raw = rows[list(MARKET_FEATURES)].to_numpy()
    return policy.observe(raw, positions, rows["time_normalized"].to_numpy())


# ---- the same again


def test_the_same_seed_gives_the_same_model_to_the_last_bit():
    again = trained(small_parameters())
    assert len(again.curve) == 6
    assert again.policy.model_hash == small().policy.model_hash
    assert again.sb3_zip == small().sb3_zip
    assert again.curve == small().curve and again.best_episode_reward == small().best_episode_reward


def test_stock_sb3_gives_the_same_model_again_too():
    short = small_parameters(engine="sb3", phases=(("final", 2 * ROLLOUT, 1.0, 1.0),))
    once, again = trained(short), trained(short)
    assert again.policy.model_hash == once.policy.model_hash and again.sb3_zip == once.sb3_zip


@pytest.mark.campaign
@pytest.mark.slow
def test_processes_beside_each_other_give_the_same_model_and_the_same_zip():
    # the zip's hash stands in the manifest and the manifest's in the proposal: a rerun must find both
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.short_training"]
    beside = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    hashes = [process.communicate()[0].split() for process in beside]
    assert [process.returncode for process in beside] == [0, 0]
    assert hashes == [[small().policy.model_hash, digest_bytes(small().sb3_zip)]] * 2


def test_the_zip_does_not_know_what_else_the_process_has_done():
    before = small().sb3_zip
    copy.deepcopy(RolloutBuffer(2, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), "cpu"))  # marks the class
    assert trained(small_parameters()).sb3_zip == before


def test_the_zip_names_no_place_in_memory():
    with zipfile.ZipFile(io.BytesIO(small().sb3_zip)) as files:
        assert b" at 0x" not in files.read("data")


def test_another_seed_gives_another_model():
    short = small_parameters(phases=(("final", ROLLOUT, 1.0, 1.0),))
    other, same_length = trained(short, seed=43), trained(short)
    assert other.policy.model_hash != same_length.policy.model_hash


def test_sb3s_zip_has_fixed_times_and_no_state_of_the_last_run():
    with zipfile.ZipFile(io.BytesIO(small().sb3_zip)) as files:
        assert {info.date_time for info in files.infolist()} == {(2020, 1, 1, 0, 0, 0)}
        data = json.loads(files.read("data"))
    assert not {"_last_obs", "_random_state", "ep_info_buffer", "start_time"} & data.keys()


# ---- the served policy is the trained one


def test_the_served_policy_acts_as_sb3_does():
    policy = small().policy
    model = load_sb3(io.BytesIO(small().sb3_zip), device="cpu")
    shown = observations(policy)
    logits = policy.logits(shown)
    ranked = np.sort(logits, axis=1)
    clear = ranked[:, 2] - ranked[:, 1] > 1e-4
    actions, _ = model.predict(shown.astype(np.float32), deterministic=True)
    assert clear.mean() > 0.95
    assert np.array_equal(actions[clear], logits.argmax(axis=1)[clear])
    assert len(set(actions)) > 1


def test_the_served_probabilities_are_sb3s_to_single_precision():
    policy = small().policy
    model = load_sb3(io.BytesIO(small().sb3_zip), device="cpu")
    shown = observations(policy)
    tensor, _ = model.policy.obs_to_tensor(shown.astype(np.float32))
    shares = model.policy.get_distribution(tensor).distribution.probs.detach().numpy()
    np.testing.assert_allclose(policy.probabilities(shown), shares, atol=2e-6)


@pytest.mark.parametrize("hidden", [[7], [12, 5], [4, 4, 4]])
def test_every_shape_of_network_is_taken_over_whole(hidden: list[int]):
    result = trained(
        small_parameters(phases=(("final", ROLLOUT, 1.0, 1.0),), hidden_sizes=hidden, n_epochs=1)
    )
    widths = [15, *hidden, 3]
    names = [*(f"hidden.{i}" for i in range(len(hidden))), "action"]
    shapes = {f"{n}.weight": (b, a) for n, a, b in zip(names, widths, widths[1:], strict=False)}
    shapes |= {f"{n}.bias": (b,) for n, b in zip(names, widths[1:], strict=True)}
    assert {name: tensor.shape for name, tensor in result.policy.tensors.items()} == shapes
    assert all(tensor.dtype == np.float32 for tensor in result.policy.tensors.values())
    model = load_sb3(io.BytesIO(result.sb3_zip), device="cpu")
    shown = observations(result.policy)[:50]
    tensor, _ = model.policy.obs_to_tensor(shown.astype(np.float32))
    shares = model.policy.get_distribution(tensor).distribution.probs.detach().numpy()
    np.testing.assert_allclose(result.policy.probabilities(shown), shares, atol=2e-6)


@pytest.mark.parametrize("engine", ["fast", "sb3"])
def test_either_engine_leaves_a_model_that_sb3_opens_and_the_served_policy_repeats(engine: str):
    result = trained(small_parameters(engine=engine, phases=(("final", ROLLOUT, 1.0, 1.0),)))
    model = load_sb3(io.BytesIO(result.sb3_zip), device="cpu")
    assert type(model) is PPO and model.num_timesteps == ROLLOUT
    shown = observations(result.policy)[:200]
    logits = result.policy.logits(shown)
    ranked = np.sort(logits, axis=1)
    clear = ranked[:, 2] - ranked[:, 1] > 1e-4
    actions, _ = model.predict(shown.astype(np.float32), deterministic=True)
    assert clear.any() and np.array_equal(actions[clear], logits.argmax(axis=1)[clear])


def test_both_engines_are_sb3s_ppo_and_begin_with_the_same_weights():
    env = MarketVecEnv(training_arrays(train_rows(), norm_stats(), 60), 8, 60, 0.0, RewardWeights(1, 0, 0), 1)
    models = {name: new_model(env, small_parameters(engine=name).training, SEED) for name in ("fast", "sb3")}
    assert {name: type(model) for name, model in models.items()} == {"fast": FastPPO, "sb3": PPO}
    assert all(isinstance(model, PPO) for model in models.values())
    for name, tensor in models["sb3"].policy.state_dict().items():
        assert np.array_equal(models["fast"].policy.state_dict()[name], tensor)


# ---- curriculum and validation


def test_phases_run_in_order_and_each_is_validated():
    curve = small().curve
    assert [v.phase for v in curve] == ["free"] * 2 + ["final"] * 4
    assert [v.timesteps for v in curve] == [ROLLOUT * n for n in range(1, 7)]
    assert small().timesteps == 6 * ROLLOUT and small().final_phase == "final"
    assert (small().torch_threads, small().blas_threads) == (1, 1) and small().duration_seconds > 0


def test_each_validation_tells_what_the_components_added_to_the_recent_rewards():
    for validation in small().curve:
        assert validation.reward_components is not None
        assert set(validation.reward_components) == set(COMPONENTS)
        assert sum(validation.reward_components.values()) == pytest.approx(validation.episode_reward)
    free, final = small().curve[0].reward_components, small().curve[-1].reward_components
    assert free["transaction_cost"] == 0 > final["transaction_cost"] and free["drawdown"] == 0


def test_validation_comes_every_so_many_rollouts_and_at_the_end_of_a_phase():
    phases = (("free", 5 * ROLLOUT, 0.0, 0.0), ("final", 4 * ROLLOUT, 1.0, 1.0))
    curve = trained(small_parameters(phases=phases, evaluation_rollouts=2, n_epochs=1)).curve
    assert [(v.phase, v.timesteps // ROLLOUT) for v in curve] == [
        ("free", 2),
        ("free", 4),
        ("free", 5),
        ("final", 7),
        ("final", 9),
    ]


@pytest.mark.parametrize("selection", ["return", "sharpe"])
def test_the_kept_policy_is_the_best_validated_one_of_the_last_phase(selection: str):
    # fast learning on an edge makes validations differ; the free phase may do better and does not count
    phases = (("free", 3 * ROLLOUT, 0.0, 0.0), ("final", 8 * ROLLOUT, 1.0, 1.0))
    parameters = small_parameters(
        phases=phases, selection=selection, average_weights=False, learning_rate=0.02
    )
    result = trained(parameters)
    last = [v for v in result.curve if v.phase == "final"]
    figures = [getattr(v, f"val_{selection}") for v in last]
    assert all((v.val_sharpe is None) == (selection == "return") for v in result.curve)
    assert len(set(figures)) > 3 and figures[-1] < max(figures), "the last policy is not the best one here"
    kept = last[figures.index(max(figures))]
    assert (result.best_val_score, result.best_val_return) == (max(figures), kept.val_return)
    assert val_return(result.policy, parameters) == pytest.approx(kept.val_return, rel=1e-12)
    if selection == "sharpe":
        assert val_sharpe(result.policy, parameters) == pytest.approx(kept.val_sharpe, rel=1e-12)
    else:
        assert (
            "val_sharpe" not in kept.model_dump()
        )  # a bundle from before there was a choice keeps its bytes


@pytest.mark.parametrize("engine", ["fast", "sb3"])
def test_the_kept_weights_are_the_mean_of_the_last_phase_s(engine: str, monkeypatch):
    # the slow twin: every update's weights are written down and averaged in double precision
    after_updates: list[tuple[str, dict[str, np.ndarray]]] = []
    update = ENGINES[engine].train

    def recorded(model: PPO) -> None:
        update(model)
        weights = {name: tensor.numpy().astype(float) for name, tensor in model.policy.state_dict().items()}
        after_updates.append((len(after_updates), weights))

    monkeypatch.setattr(ENGINES[engine], "train", recorded)
    phases = (("free", 2 * ROLLOUT, 0.0, 0.0), ("final", 3 * ROLLOUT, 1.0, 1.0))
    rare = small_parameters(phases=phases, engine=engine, evaluation_rollouts=99, learning_rate=0.01)
    result = trained(rare)
    of_last_phase = [weights for index, weights in after_updates if index >= 2]
    assert len(of_last_phase) == 3
    names = {"mlp_extractor.policy_net.0": "hidden.0", "action_net": "action"}
    for name, served in names.items():
        for part in ("weight", "bias"):
            mean = np.mean([weights[f"{name}.{part}"] for weights in of_last_phase], axis=0)
            np.testing.assert_allclose(result.policy.tensors[f"{served}.{part}"], mean, atol=1e-6)
            assert np.abs(mean - of_last_phase[-1][f"{name}.{part}"]).max() > 1e-4


def test_averaging_leaves_the_training_itself_alone():
    plain = trained(small_parameters(average_weights=False)).curve
    averaged = small().curve
    assert [v.losses for v in plain] == [v.losses for v in averaged]
    assert [v.episode_reward for v in plain] == [v.episode_reward for v in averaged]
    # the first phase is validated as it is; the mean of one update is that update
    n_free = 2
    assert plain[: n_free + 1] == averaged[: n_free + 1]
    assert plain[n_free + 1 :] != averaged[n_free + 1 :]


def test_a_policy_that_never_trades_scores_as_one_that_earns_nothing():
    validation = small().curve[0].model_copy(update={"val_return": 0.0, "val_sharpe": None})
    worse = validation.model_copy(update={"val_return": -0.1, "val_sharpe": -2.0})
    for selection in ("return", "sharpe"):
        assert validation_score(validation, selection) == 0.0 > validation_score(worse, selection)


def test_validation_measures_every_phase_under_the_final_costs():
    parameters = small_parameters(phases=(("final", ROLLOUT, 0.0, 0.0),), n_epochs=1)
    result = trained(parameters)
    assert result.curve[-1].val_return == pytest.approx(val_return(result.policy, parameters), rel=1e-12)


def test_validation_accrues_financing_where_the_experiment_does():
    phases = (("final", ROLLOUT, 0.0, 0.0),)
    plain = small_parameters(phases=phases, n_epochs=1)
    financed = plain.model_copy(
        update={"trading": plain.trading.model_copy(update={"financing": "policy_rates"})}
    )
    rows = val_rows().assign(policy_rate_difference=-50.0)
    result = train(financed, SEED, train_rows(), rows, norm_stats())
    account = run_account(
        Tape.from_rows(rows),
        policy_targets(result.policy, rows),
        financed.trading.costs.per_side,
        financed.trading.initial_capital,
        financed=True,
    )
    expected = account.equity[-1] / financed.trading.initial_capital - 1
    assert result.best_val_return == pytest.approx(expected, rel=1e-9)


def test_training_stops_when_patience_is_out():
    phases = (("free", 3 * ROLLOUT, 0.0, 0.0), ("final", 40 * ROLLOUT, 1.0, 1.0))
    still = small_parameters(phases=phases, learning_rate=1e-12, patience=3, n_epochs=1)
    result = trained(still)
    # nothing learned: the first validation of the final phase is the best, three more bring none better
    assert 7 * ROLLOUT <= result.timesteps < 8 * ROLLOUT
    returns = [v.val_return for v in result.curve if v.phase == "final"]
    assert len(returns) >= 4 and len(set(returns)) == 1


def test_patience_counts_in_the_last_phase_only():
    phases = (("free", 6 * ROLLOUT, 0.0, 0.0), ("final", ROLLOUT, 1.0, 1.0))
    result = trained(small_parameters(phases=phases, learning_rate=1e-12, patience=1, n_epochs=1))
    assert result.timesteps == 7 * ROLLOUT


def test_progress_is_reported_after_every_rollout():
    reports = []
    train(small_parameters(n_epochs=1), SEED, train_rows(), val_rows(), norm_stats(), reports.append)
    total = sum(phase[1] for phase in TWO_PHASES)
    rollouts = [(report.phase, report.done) for report in reports if report.val_return is None or report.done]
    assert list(dict.fromkeys(rollouts)) == [
        (phase, ROLLOUT * n) for n, phase in enumerate(["free"] * 2 + ["final"] * 4, start=1)
    ]
    assert {(report.seed, report.total) for report in reports} == {(SEED, total)}
    assert reports[0].val_return is None and reports[-1].val_return is not None
    assert reports[-1].episode_reward is not None


def test_a_short_training_finds_a_strong_edge():
    phases = (("final", 24 * ROLLOUT, 0.0, 0.0),)
    parameters = small_parameters(phases=phases, learning_rate=5e-3, gamma=0.0, n_epochs=4)
    result = trained(parameters)
    rows = val_rows()
    agreed = policy_targets(result.policy, rows) == np.sign(rows["dxy_z"])
    assert agreed.mean() > 0.8


# ---- what goes wrong


def test_an_episode_too_long_for_train_names_its_parameter():
    with pytest.raises(DataError, match=r"training\.episode_bars.*1799.*1,?800"):
        trained(small_parameters(episode_bars=len(train_rows()) - 1))


def test_a_val_that_can_judge_no_policy_is_refused_before_training():
    with pytest.raises(DataError, match="val: no row of 600 has all features"):
        train(small_parameters(), SEED, train_rows(), val_rows().assign(rsi_9=np.nan), norm_stats())
    with pytest.raises(DataError, match="val: every close must be a positive number"):
        train(small_parameters(), SEED, train_rows(), val_rows().assign(close=np.nan), norm_stats())


@pytest.mark.parametrize(("engine", "evaluation_rollouts"), [("fast", 1), ("fast", 4), ("sb3", 1)])
def test_a_learning_rate_that_ends_in_nan_says_so(engine: str, evaluation_rollouts: int):
    parameters = small_parameters(engine=engine, learning_rate=1e30, evaluation_rollouts=evaluation_rollouts)
    with pytest.raises(DataError, match=r"diverged in free.*training\.hyperparameters\.learning_rate"):
        trained(parameters)


def test_a_training_in_which_no_episode_ends_can_still_be_recorded():
    one_rollout = small_parameters(
        phases=(("final", 8, 1.0, 1.0),), episode_bars=1500, n_envs=1, n_steps=8, batch_size=8, n_epochs=1
    )
    result = trained(one_rollout)
    json.dumps(result.best_episode_reward, allow_nan=False)


def test_the_small_training_is_the_size_these_tests_take_it_for():
    assert ROLLOUT == 256 and SMALL["n_steps"] == 32 and len(train_rows()) == 1800


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curriculum": {"phases": [{"name": "a", "timesteps": 0, "transaction_cost": 1, "drawdown": 1}]}},
         r"curriculum\.phases\.0\.timesteps: Input should be greater than 0, was 0"),
        ({"curriculum": {"phases": []}}, r"curriculum\.phases: Tuple should have at least 1 item"),
        ({"training": {"hyperparameters": {**SMALL, "batch_size": 257}}},
         r"training\.hyperparameters: batch_size 257 exceeds the rollout n_envs x n_steps = 256"),
        ({"training": {"seeds": []}}, r"training\.seeds: Tuple should have at least 1 item"),
        ({"training": {"seeds": [3, 3]}}, r"training\.seeds: seeds must differ.*was \[3, 3\]"),
        ({"training": {"seeds": [-1]}}, r"training\.seeds\.0: .*greater than or equal to 0, was -1"),
        ({"training": {"seed": 3}}, r"training\.seed: unknown parameter; did you mean 'seeds'\?"),
        ({"training": {"hyperparameters": {**SMALL, "batch_size": 1}}},
         r"training\.hyperparameters\.batch_size: .*greater than or equal to 2, was 1"),
        ({"training": {"hyperparameters": {**SMALL, "gamma": 1.01}}},
         r"training\.hyperparameters\.gamma: .*less than or equal to 1, was 1\.01"),
        ({"training": {"hyperparameters": {**SMALL, "learning_rate": float("nan")}}},
         r"training\.hyperparameters\.learning_rate: .*was nan"),
        ({"training": {"hyperparameters": {**SMALL, "hidden_sizes": []}}},
         r"training\.hyperparameters\.hidden_sizes: Tuple should have at least 1 item"),
        ({"curriculum": {"phases": [{"name": "a", "timesteps": 9, "transaction_cost": 1, "drawdown": 1}] * 2}},  # noqa: E501
         r"curriculum\.phases: phase names must differ, were \['a', 'a'\]"),
        ({"training": {"engine": "quick"}},
         r"training\.engine: Input should be 'fast', 'sb3' or 'linear', was 'quick"),
        ({"reward": {"volatility": -1.0}}, r"reward\.volatility: .*greater than or equal to 0, was -1\.0"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name_before_anything_runs(changes: dict, message: str):
    tree = parameter_tree("smoke")
    for section, values in changes.items():
        tree[section] |= values
    with pytest.raises(ParameterError, match=message):
        read_parameters(tree)
