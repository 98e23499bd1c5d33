import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from dosvotos.errors import ParameterError
from dosvotos.training.fast_ppo import FastPPO
from tests.training.fast_ppo_models import (
    Noise,
    RecordingCallback,
    assert_same_to_the_last_bit,
    largest_difference,
    market,
    noise,
    parameters_of,
    small,
    steps_of,
)


def rolled_out(monkeypatch: pytest.MonkeyPatch, env: Any = None, **settings: Any) -> tuple[FastPPO, PPO]:
    """Return a fast model after a rollout, and a stock one with equal weights, moments, buffer and draws."""
    fast, stock = small(env, **settings), small(env, PPO, **settings)
    fast.learn(2 * fast.n_steps * fast.n_envs)
    fast.rollout_buffer.reset()
    callback = fast._setup_learn(fast.n_steps * fast.n_envs, None, False)[1]
    assert fast.collect_rollouts(fast.env, callback, fast.rollout_buffer, fast.n_steps)
    stock.set_parameters(copy.deepcopy(fast.get_parameters()))
    stock.rollout_buffer = copy.deepcopy(fast.rollout_buffer)
    stock._n_updates = fast._n_updates
    fast._current_progress_remaining = stock._current_progress_remaining = 0.4
    draws = np.random.default_rng()
    draws.bit_generator.state = fast.generator.bit_generator.state
    monkeypatch.setattr(np.random, "permutation", draws.permutation)
    return fast, stock


def assert_trains_like_sb3(fast: FastPPO, stock: PPO, within: float) -> None:
    fast.train()
    stock.train()
    assert largest_difference(fast, stock) <= within
    left, right = fast.logger.name_to_value, stock.logger.name_to_value
    figures = {name for name in right if name.startswith("train/")}
    assert figures == {name for name in left if name.startswith("train/")} and len(figures) >= 10
    for name in figures:
        assert left[name] == pytest.approx(right[name], rel=2e-4, abs=2e-6), name


# ---- the same as SB3


@pytest.mark.slow
def test_320_minibatches_end_where_sb3s_end(monkeypatch):
    settings = {"n_steps": 256, "batch_size": 64, "n_epochs": 10, "policy_kwargs": {"net_arch": [64, 64]}}
    fast, stock = rolled_out(monkeypatch, market(), **settings)
    start = parameters_of(fast)
    before = steps_of(fast)
    assert_trains_like_sb3(fast, stock, within=5e-7)
    assert steps_of(fast) - before == 320
    moved = max(np.abs(start[name] - after).max() for name, after in parameters_of(fast).items())
    assert moved > 0.01, "a test of two models that stand still proves nothing"


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 50},
        {"batch_size": 127},
        {"batch_size": 1000},
        {"ent_coef": 0.05},
        {"clip_range_vf": 0.1},
        {"clip_range_vf": lambda remaining: 0.5 * remaining},
        {"normalize_advantage": False},
        {"max_grad_norm": 0.01},
        {"max_grad_norm": 1e6},
        {"vf_coef": 0.0},
        {"learning_rate": lambda remaining: 1e-2 * remaining},
        {"clip_range": lambda remaining: 0.05 * remaining},
        {"target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 10},
        {"policy_kwargs": {"net_arch": []}},
        {"policy_kwargs": {"net_arch": [8, 16, 24]}},
        {"policy_kwargs": {"net_arch": {"pi": [32], "vf": [16, 8]}}},
        {"policy_kwargs": {"net_arch": [16], "optimizer_kwargs": {"eps": 1e-7, "betas": (0.8, 0.99)}}},
        {"policy_kwargs": {"net_arch": [16], "ortho_init": False, "share_features_extractor": False}},
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_every_setting_that_is_covered_trains_like_sb3(monkeypatch, settings):
    assert_trains_like_sb3(*rolled_out(monkeypatch, **settings), within=2e-6)


def test_an_update_that_target_kl_ends_counts_its_epochs_and_steps_like_sb3(monkeypatch, capsys):
    settings = {"target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 10, "verbose": 1}
    fast, stock = rolled_out(monkeypatch, **settings)
    capsys.readouterr()
    before = fast._n_updates
    fast.train()
    printed = capsys.readouterr().out
    stock.train()
    assert before < fast._n_updates == stock._n_updates < before + 10
    assert "Early stopping at step" in printed and printed == capsys.readouterr().out
    assert steps_of(fast) == steps_of(stock)


def test_a_rollout_of_the_same_actions_is_sb3s(monkeypatch):
    fast, stock = small(), small(engine=PPO)
    stock.set_parameters(copy.deepcopy(fast.get_parameters()))
    fast.learn(4 * 32, callback=(recorder := RecordingCallback()))
    actions = iter(torch.from_numpy(shown["actions"]) for shown in recorder.shown)
    buffers = {}

    def sb3_forward(observations: torch.Tensor, deterministic: bool = False) -> Any:
        chosen = next(actions)
        values, log_probs, _ = ActorCriticPolicy.evaluate_actions(stock.policy, observations, chosen)
        return chosen, values, log_probs

    monkeypatch.setattr(stock.policy, "forward", sb3_forward)
    for model in (fast, stock):
        monkeypatch.setattr(model, "train", lambda m=model: buffers.update({m: m.rollout_buffer}))
        model.set_parameters(copy.deepcopy(stock.get_parameters()))
        model.set_random_seed(1)
    fast.learn(4 * 32, callback=(recorder := RecordingCallback()))
    actions = iter([torch.from_numpy(shown["actions"]) for shown in recorder.shown])
    stock.learn(4 * 32)
    ours, theirs = buffers[fast], buffers[stock]
    assert ours.episode_starts.sum() > 8, "episodes ended"
    for name in ("observations", "actions", "episode_starts"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    for name in ("rewards", "values", "log_probs", "advantages", "returns"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=2e-6, err_msg=name
        )
    assert ours.full and ours.pos == 32
    assert [e["r"] for e in fast.ep_info_buffer] == [e["r"] for e in stock.ep_info_buffer]


def test_it_predicts_and_evaluates_as_the_policy_that_sb3_sees():
    model = small()
    model.learn(256)
    observations = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    actions, values, log_probs = model._act(observations)
    found = model.policy.evaluate_actions(torch.from_numpy(observations), torch.from_numpy(actions))
    np.testing.assert_allclose(values, found[0][:, 0].detach(), atol=1e-6)
    np.testing.assert_allclose(log_probs, found[1].detach(), atol=1e-6)


# ---- callbacks and learn


def test_a_callback_sees_every_step_as_sb3_shows_it():
    shown = {}
    for engine in (FastPPO, PPO):
        model, recorder = small(market(), engine), RecordingCallback()
        model.learn(2 * 256, callback=recorder)
        assert recorder.calls == (["start"] + ["step"] * 32 + ["end"]) * 2
        assert model.num_timesteps == 512
        shown[engine] = recorder.shown
    for ours, theirs in zip(shown[FastPPO], shown[PPO], strict=True):
        assert ours["n_steps"] == theirs["n_steps"]
        for name in ("actions", "clipped_actions", "rewards", "dones", "new_obs", "obs_tensor"):
            assert type(ours[name]) is type(theirs[name]), name
            assert ours[name].shape == theirs[name].shape and ours[name].dtype == theirs[name].dtype, name
        assert ours["log_probs"].shape == theirs["log_probs"].shape
        assert ours["values"].numel() == theirs["values"].numel()


def test_a_callback_finds_the_filled_buffer_and_may_stop_at_any_step():
    class Reader(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            buffer = self.model.rollout_buffer
            assert buffer.full and buffer.observations.shape == (32, 8, 15)
            assert self.locals["rollout_buffer"] is buffer
            assert np.array_equal(buffer.returns, buffer.advantages + buffer.values)
            assert buffer.advantages.std() > 0

    small(market()).learn(512, callback=Reader())
    model = small(market())
    before = parameters_of(model)
    model.learn(512, callback=RecordingCallback(stop_after=40))
    assert model.num_timesteps == 40 * 8
    assert any((before[name] != after).any() for name, after in parameters_of(model).items())


def test_weights_that_a_callback_puts_in_place_are_the_ones_that_act_and_learn():
    class Swapper(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            bias = self.model.policy.action_net.bias
            bias.data = torch.tensor([-50.0, 50.0, -50.0])  # another tensor, not the engine's view

    model, recorder = small(learning_rate=1e-9), RecordingCallback()
    model.learn(2 * 128, callback=[Swapper(), recorder])
    assert all((shown["actions"] == 1).all() for shown in recorder.shown)
    assert model.policy.action_net.bias.detach().numpy() == pytest.approx([-50, 50, -50])


def test_learning_goes_on_where_it_stopped():
    whole, parts = small(market()), small(market())
    whole.learn(4 * 256)
    parts.learn(256)
    for _ in range(3):
        parts.learn(256, reset_num_timesteps=False)
    assert parts.num_timesteps == whole.num_timesteps == 1024
    assert_same_to_the_last_bit(whole, parts)


def test_it_learns_what_pays():
    model = small(noise(8), n_steps=64, batch_size=64, n_epochs=4, learning_rate=3e-3)
    model.learn(10_000)
    observations = np.random.default_rng(1).normal(size=(200, 5)).astype(np.float32)
    assert (model.predict(observations, deterministic=True)[0] == 1).mean() > 0.95


@pytest.mark.parametrize("kind", ["one gym env", "normalised", "wide integers"])
def test_any_box_and_discrete_environment_will_do(kind):
    envs = {"one gym env": Noise(), "normalised": VecNormalize(noise()), "wide integers": None}
    env = envs[kind]
    if env is None:
        env = noise()
        env.observation_space = gym.spaces.Box(0, 255, (2, 3), np.int64)
        env.buf_obs = {None: np.zeros((4, 2, 3), np.int64)}
        env.reset = env_reset = lambda: np.full((4, 2, 3), 7)
        env.step = lambda actions: (env_reset(), np.ones(4, np.float32), np.zeros(4, bool), [{}] * 4)
    model = small(env)
    model.learn(2 * model.n_steps * model.n_envs)
    assert model._n_updates == 4 and all(np.isfinite(w).all() for w in parameters_of(model).values())


# ---- what is refused


class OtherPolicy(ActorCriticPolicy):
    pass


class OtherBuffer(RolloutBuffer):
    pass


@pytest.mark.parametrize(
    ("setting", "settings"),
    [
        ("use_sde", {"use_sde": True}),
        ("rollout_buffer_class", {"rollout_buffer_class": OtherBuffer}),
        (r"policy_kwargs\.activation_fn", {"policy_kwargs": {"activation_fn": nn.ReLU}}),
        (r"policy_kwargs\.optimizer_class", {"policy_kwargs": {"optimizer_class": torch.optim.AdamW}}),
        (
            r"policy_kwargs\.optimizer_kwargs\.weight_decay",
            {"policy_kwargs": {"optimizer_kwargs": {"weight_decay": 0.1}}},
        ),
        (
            r"policy_kwargs\.optimizer_kwargs\.amsgrad",
            {"policy_kwargs": {"optimizer_kwargs": {"amsgrad": True}}},
        ),
    ],
)
def test_a_setting_that_is_not_covered_is_refused_by_name(setting, settings):
    with pytest.raises(ParameterError, match=rf"^{setting}: .*training\.engine: sb3"):
        small(**settings)


def test_spaces_policies_and_devices_that_are_not_covered_are_refused_by_name():
    continuous, discrete, image = noise(), noise(), noise()
    continuous.action_space = gym.spaces.Box(-1, 1, (1,))
    discrete.observation_space = gym.spaces.Discrete(4)
    image.observation_space = gym.spaces.Box(0, 255, (36, 36, 3), np.uint8)
    for env, name in (
        (continuous, "action_space"),
        (discrete, "observation_space"),
        (image, "observation_space"),
    ):
        with pytest.raises(ParameterError, match=f"^{name}: the fast engine"):
            FastPPO("MlpPolicy", env)
    with pytest.raises(ParameterError, match=r"^policy: the fast engine"):
        FastPPO(OtherPolicy, noise())
    with pytest.raises(ParameterError, match=r"^device: the fast engine computes on the CPU, found meta"):
        FastPPO("MlpPolicy", noise(), device="meta")


def test_a_frozen_layer_is_refused_before_it_is_trained():
    model = small()
    model.policy.value_net.weight.requires_grad = False
    with pytest.raises(ParameterError, match=r"requires_grad: .*\['value_net.weight'\] frozen"):
        model.learn(128)


# ---- divergence


def test_a_learning_rate_too_high_ends_with_its_name():
    with pytest.raises(
        FloatingPointError, match=r"no longer finite after .* lower learning_rate, now 1e\+30"
    ):
        small(market(), learning_rate=1e30).learn(4 * 256)


@pytest.mark.parametrize("bad", ["observation", "reward"])
def test_nan_from_an_environment_is_noticed_at_the_end_of_the_rollout(bad):
    env = noise()
    honest = env.step

    def step(actions):
        observations, rewards, dones, infos = honest(actions)
        (observations if bad == "observation" else rewards)[1] = np.nan
        return observations, rewards, dones, infos

    env.step = step
    model = small(env)
    before = parameters_of(model)
    with pytest.raises(FloatingPointError, match="look for NaN in observations and rewards"):
        model.learn(128)
    assert all(np.array_equal(before[name], after) for name, after in parameters_of(model).items())
