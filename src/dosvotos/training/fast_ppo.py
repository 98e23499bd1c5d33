"""stable-baselines3's PPO with its arithmetic compiled: the same algorithm and files at many times the speed.

What torch spends on each minibatch (graph, optimiser, dispatch) is most of stock training's time. Here the
parameters and Adam's moments are views of flat arrays, and one compiled call makes a whole update. Everything
else is SB3's own: buffer, callbacks, logger, schedules, save and load.
"""

from typing import Any, NoReturn

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from dosvotos.errors import ParameterError
from dosvotos.training import kernel
from dosvotos.training.threads import pin_threads


class FastPPO(PPO):
    """PPO for Box observations, Discrete actions and tanh networks on one CPU thread.

    Takes PPO's own arguments. `device` "auto" means the CPU. Setting it up gives torch and BLAS one thread
    for the rest of the process.

    Raises
    ------
    ParameterError
        Naming the setting that the compiled arithmetic does not cover.

    Notes
    -----
    Actions and minibatches are drawn from one NumPy generator, which the saved file carries: a model that is
    saved, loaded and trained on is the uninterrupted one, given an environment in the same state. Values come
    from the same call as the actions. The saved file opens in plain ``PPO.load``.
    """

    _last_obs: np.ndarray
    _last_episode_starts: np.ndarray

    def __init__(self, *arguments: Any, device: Any = "auto", **settings: Any) -> None:
        if settings.get("use_sde"):
            _refuse("use_sde", "samples from the logits alone", True)
        super().__init__(*arguments, device="cpu" if device == "auto" else device, **settings)

    def _setup_model(self) -> None:
        resumed = self.__dict__.get("_random_state")
        _check_settings(self)
        super()._setup_model()
        _check_policy(self.policy)
        pin_threads()
        self._weights = _FlatWeights(self.policy)
        if resumed is not None:
            self._random.bit_generator.state = resumed

    def set_random_seed(self, seed: int | None = None) -> None:
        """Restart every draw: SB3's and torch's, the environment's, and those of actions and minibatches."""
        super().set_random_seed(seed)
        self._random = np.random.default_rng(seed)

    @property
    def draws(self) -> dict[str, Any]:
        """State of the generator of actions and minibatches, JSON-like."""
        return dict(self._random.bit_generator.state)

    @draws.setter
    def draws(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state

    def adopt_moments(self) -> None:
        """Lay Adam's moments into the flat arrays, as an update does."""
        self._weights.adopt_moments(self.policy.optimizer)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_weights", "_random"]

    def save(self, *arguments: Any, **settings: Any) -> None:
        """Save as SB3 does, with the state of the draws."""
        self._random_state = self._random.bit_generator.state
        super().save(*arguments, **settings)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer as SB3 does, step by step, so that callbacks see what they are used to.

        Raises
        ------
        FloatingPointError
            If an observation or the policy is not finite.
        """
        assert self._last_obs is not None, "No previous observation was provided"
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        self._weights.adopt_parameters()
        n_steps = 0  # this and other locals bear SB3's names: callbacks look for them
        while n_steps < n_rollout_steps:
            obs_tensor = torch.as_tensor(self._last_obs)
            actions, values, log_probs = self._act(obs_tensor.numpy())
            clipped_actions = actions
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            n_steps += 1
            if dones.any():
                self._update_info_buffer(infos, dones)
                self._add_values_after_time_limits(rewards, dones, infos)
            _store(
                rollout_buffer, self._last_obs, actions, rewards, self._last_episode_starts, values, log_probs
            )
            self._last_obs, self._last_episode_starts = new_obs, dones
        values = torch.from_numpy(self._values(new_obs))
        self._estimate_advantages(rollout_buffer, values.numpy(), dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _act(self, observations: np.ndarray) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        uniforms = self._random.random(len(observations))
        weights = self._weights
        actions, values, log_probs = kernel.act(
            weights.parameters, weights.towers, _rows(observations), uniforms
        )
        return actions, torch.from_numpy(values), torch.from_numpy(log_probs)

    def _values(self, observations: np.ndarray) -> np.ndarray:
        values: np.ndarray = kernel.evaluate(
            self._weights.parameters, self._weights.towers, _rows(observations)
        )
        return values

    def _add_values_after_time_limits(
        self, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]
    ) -> None:
        cut = [
            i
            for i in np.flatnonzero(dones)
            if infos[i].get("terminal_observation") is not None and infos[i].get("TimeLimit.truncated", False)
        ]
        if cut:
            last = np.stack([infos[i]["terminal_observation"] for i in cut])
            rewards[cut] += self.gamma * self._values(last)

    def _estimate_advantages(self, buffer: RolloutBuffer, last_values: np.ndarray, dones: np.ndarray) -> None:
        if not (np.isfinite(buffer.log_probs).all() and np.isfinite(buffer.rewards).all()):
            self._refuse_divergence("an observation, a reward or the policy")
        buffer.advantages = kernel.advantages_of(
            buffer.rewards,
            buffer.values,
            buffer.episode_starts,
            last_values,
            dones.astype(np.float32),
            buffer.gamma,
            buffer.gae_lambda,
        )
        buffer.returns = buffer.advantages + buffer.values

    def train(self) -> None:
        """Update the policy from the rollout buffer.

        Raises
        ------
        FloatingPointError
            If the loss or the policy stops being finite.
        """
        self.policy.set_training_mode(True)
        _check_trainable(self.policy)
        optimizer, weights = self.policy.optimizer, self._weights
        self._update_learning_rate(optimizer)
        rules = self._rules()
        samples = _samples(self.rollout_buffer)
        n_samples = len(samples.actions)
        order = np.array([self._random.permutation(n_samples) for _ in range(self.n_epochs)])
        weights.adopt_parameters()
        adam = weights.adopt_moments(optimizer)
        report, n_epochs, n_steps = kernel.update(
            weights.parameters, weights.towers, samples, order, rules, adam
        )
        weights.count_steps(optimizer, adam.steps + n_steps)
        if not (np.isfinite(report).all() and np.isfinite(weights.parameters).all()):
            self._refuse_divergence("the loss or the policy")
        self._n_updates += n_epochs
        self._log(report, n_epochs, rules)

    def _rules(self) -> kernel.Rules:
        remaining = self._current_progress_remaining
        clip_vf, max_kl = self.clip_range_vf, self.target_kl
        return kernel.Rules(
            batch_size=self.batch_size,
            clip_range=float(self.clip_range(remaining)),
            clip_range_vf=np.inf if clip_vf is None else float(clip_vf(remaining)),
            normalize_advantage=bool(self.normalize_advantage),
            ent_coef=float(self.ent_coef),
            vf_coef=float(self.vf_coef),
            max_grad_norm=float(self.max_grad_norm),
            target_kl=np.inf if max_kl is None else float(max_kl),
        )

    def _log(self, report: np.ndarray, n_epochs: int, rules: kernel.Rules) -> None:
        if self.verbose >= 1 and report[-1, kernel.APPROX_KL] > 1.5 * rules.target_kl:
            kl = report[-1, kernel.APPROX_KL]
            print(f"Early stopping at step {n_epochs - 1} due to reaching max kl: {kl:.2f}")
        buffer, record, means = self.rollout_buffer, self.logger.record, report.mean(axis=0)
        per_epoch = -(-buffer.buffer_size * buffer.n_envs // self.batch_size)
        last_epoch = report[(n_epochs - 1) * per_epoch :]
        record("train/entropy_loss", means[kernel.ENTROPY_LOSS])
        record("train/policy_gradient_loss", means[kernel.POLICY_LOSS])
        record("train/value_loss", means[kernel.VALUE_LOSS])
        record("train/approx_kl", last_epoch[:, kernel.APPROX_KL].mean())
        record("train/clip_fraction", means[kernel.CLIP_FRACTION])
        record("train/loss", report[-1, kernel.LOSS])
        record(
            "train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        )
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", rules.clip_range)
        if self.clip_range_vf is not None:
            record("train/clip_range_vf", rules.clip_range_vf)

    def _refuse_divergence(self, what: str) -> NoReturn:
        rate = self.policy.optimizer.param_groups[0]["lr"]
        raise FloatingPointError(
            f"{what} is no longer finite after {self.num_timesteps:,} steps; look for NaN in observations "
            f"and rewards, or lower learning_rate, now {rate}"
        )


class _FlatWeights:
    """A policy's parameters and Adam's moments in flat arrays, of which torch's tensors become views."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        extractor = policy.mlp_extractor
        towers = (
            [*_linear_layers(extractor.policy_net), policy.action_net],
            [*_linear_layers(extractor.value_net), policy.value_net],
        )
        self._places: list[tuple[torch.Tensor, slice]] = []
        self.towers = kernel.Towers(*(np.array([self._place(layer) for layer in tower]) for tower in towers))
        self.parameters, self._mean, self._square = np.zeros((3, self._size()), dtype=np.float32)
        self.adopt_parameters()

    def adopt_parameters(self) -> None:
        """Take over tensors that torch has put in place of the views."""
        for parameter, place in self._places:
            parameter.data = _taken_over(parameter.data, self.parameters[place])

    def adopt_moments(self, optimizer: torch.optim.Adam) -> kernel.Adam:
        """Adam as the optimiser stands, its moments as views; none yet are zeros."""
        for parameter, place in self._places:
            state = optimizer.state[parameter]
            if not state:
                nothing = torch.zeros_like(parameter.data)
                state.update(step=torch.tensor(0.0), exp_avg=nothing, exp_avg_sq=nothing)
            state["exp_avg"] = _taken_over(state["exp_avg"], self._mean[place])
            state["exp_avg_sq"] = _taken_over(state["exp_avg_sq"], self._square[place])
        steps = {int(optimizer.state[parameter]["step"]) for parameter, _ in self._places}
        if len(steps) > 1:
            raise ParameterError(
                f"policy.optimizer: all parameters must have made as many steps, found {steps}"
            )
        group = optimizer.param_groups[0]
        beta_1, beta_2 = group["betas"]
        rate, epsilon = float(group["lr"]), float(group["eps"])
        return kernel.Adam(self._mean, self._square, steps.pop(), rate, float(beta_1), float(beta_2), epsilon)

    def count_steps(self, optimizer: torch.optim.Adam, steps: int) -> None:
        """Tell torch's optimiser how many steps were made in all."""
        for parameter, _ in self._places:
            optimizer.state[parameter]["step"].fill_(steps)

    def _place(self, layer: nn.Linear) -> tuple[int, int, int, int]:
        weight = self._size()
        self._places.append((layer.weight, slice(weight, weight + layer.weight.numel())))
        bias = self._size()
        self._places.append((layer.bias, slice(bias, bias + layer.bias.numel())))
        return layer.in_features, layer.out_features, weight, bias

    def _size(self) -> int:
        return self._places[-1][1].stop if self._places else 0


def _taken_over(tensor: torch.Tensor, place: np.ndarray) -> torch.Tensor:
    """The place as a tensor, with the tensor's values in it."""
    view = torch.from_numpy(place).view_as(tensor)
    if view.data_ptr() != tensor.data_ptr():
        view.copy_(tensor)
    return view


def _linear_layers(tower: nn.Sequential) -> list[nn.Linear]:
    return [module for module in tower if isinstance(module, nn.Linear)]


def _rows(observations: np.ndarray) -> np.ndarray:
    """Observations as the kernel takes them: float32, one row each."""
    flat = observations.reshape(len(observations), -1)
    rows: np.ndarray = np.ascontiguousarray(flat, dtype=np.float32)
    return rows


def _store(
    buffer: RolloutBuffer,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    episode_starts: np.ndarray,
    values: torch.Tensor,
    log_probs: torch.Tensor,
) -> None:
    """The buffer's own ``add`` without its copies through torch."""
    place = buffer.pos
    buffer.observations[place], buffer.actions[place, :, 0] = observations, actions
    buffer.rewards[place], buffer.episode_starts[place] = rewards, episode_starts
    buffer.values[place], buffer.log_probs[place] = values.numpy(), log_probs.numpy()
    buffer.pos += 1
    buffer.full = buffer.pos == buffer.buffer_size


def _samples(buffer: RolloutBuffer) -> kernel.Samples:
    """The whole buffer in SB3's order of samples: all steps of one environment, then the next one's."""
    names = ("observations", "actions", "values", "log_probs", "advantages", "returns")
    if not buffer.generator_ready:
        for name in names:
            setattr(buffer, name, buffer.swap_and_flatten(getattr(buffer, name)))
        buffer.generator_ready = True
    flat = [getattr(buffer, name).reshape(len(buffer.actions), -1) for name in names]
    observations, actions, *rest = flat
    return kernel.Samples(
        _rows(observations), actions[:, 0].astype(np.int64), *(part[:, 0].astype(np.float32) for part in rest)
    )


# ---- what is covered


def _check_settings(model: PPO) -> None:
    if model.device.type != "cpu":
        _refuse("device", "computes on the CPU", model.device)
    if not isinstance(model.observation_space, spaces.Box):
        _refuse("observation_space", "takes a Box", model.observation_space)
    if not isinstance(model.action_space, spaces.Discrete):
        _refuse("action_space", "takes a Discrete", model.action_space)
    if model.rollout_buffer_class not in (None, RolloutBuffer):
        _refuse("rollout_buffer_class", "fills SB3's RolloutBuffer", model.rollout_buffer_class)


def _check_policy(policy: ActorCriticPolicy) -> None:
    if type(policy) is not ActorCriticPolicy:
        _refuse("policy", "computes SB3's MlpPolicy", type(policy))
    if type(policy.features_extractor) is not FlattenExtractor:
        _refuse("policy_kwargs.features_extractor_class", "flattens", type(policy.features_extractor))
    if policy.normalize_images and is_image_space(policy.observation_space):
        _refuse("observation_space", "rescales no images", policy.observation_space)
    if type(policy.mlp_extractor) is not MlpExtractor:
        _refuse("policy", "computes SB3's MlpExtractor", type(policy.mlp_extractor))
    for tower in (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net):
        for place, module in enumerate(tower):
            if type(module) is not (nn.Linear, nn.Tanh)[place % 2]:
                _refuse("policy_kwargs.activation_fn", "computes torch.nn.Tanh", type(module))
    if {parameter.dtype for parameter in policy.parameters()} != {torch.float32}:
        _refuse("policy", "computes in float32", {str(p.dtype) for p in policy.parameters()})
    if type(policy.optimizer) is not torch.optim.Adam:
        _refuse("policy_kwargs.optimizer_class", "makes torch.optim.Adam's steps", type(policy.optimizer))
    for name in ("weight_decay", "amsgrad", "maximize"):
        if value := policy.optimizer.param_groups[0][name]:
            _refuse(f"policy_kwargs.optimizer_kwargs.{name}", "makes Adam's plain steps", value)


def _check_trainable(policy: ActorCriticPolicy) -> None:
    if len(policy.optimizer.param_groups) > 1:
        _refuse(
            "policy.optimizer", "steps all parameters alike", f"{len(policy.optimizer.param_groups)} groups"
        )
    if frozen := [name for name, parameter in policy.named_parameters() if not parameter.requires_grad]:
        _refuse("requires_grad", "trains every parameter", f"{frozen} frozen")


def _refuse(setting: str, rule: str, found: Any) -> NoReturn:
    raise ParameterError(
        f"{setting}: the fast engine {rule}, found {found}; take stable_baselines3.PPO itself for this "
        f"(training.engine: sb3)"
    )
