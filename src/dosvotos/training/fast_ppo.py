"""stable-baselines3's PPO with its arithmetic compiled: the same algorithm and files at many times the speed.

Most of SB3's training time is torch's overhead on each minibatch (graph, optimiser, dispatch). Here torch's
parameters and Adam's moments are views of flat arrays, and one compiled call runs a whole update. Everything
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
from dosvotos.training.threads import use_one_thread


class FastPPO(PPO):
    """PPO for Box observations, Discrete actions and tanh networks on one CPU thread.

    It takes PPO's own arguments; `device` "auto" means the CPU. It sets torch and BLAS to one thread for the
    rest of the process.

    Raises
    ------
    ParameterError
        If a setting is not supported by the compiled arithmetic; the message names it.

    Notes
    -----
    One NumPy generator draws actions and minibatches, and its state is saved with the model: training that is
    saved, loaded and continued equals uninterrupted training, given an environment in the same state. The
    saved file also opens in plain ``PPO.load``.
    """

    generator: np.random.Generator
    """Draws actions and minibatches."""
    _last_obs: np.ndarray
    _last_episode_starts: np.ndarray

    def __init__(self, *arguments: Any, device: Any = "auto", **settings: Any) -> None:
        _require(not settings.get("use_sde"), "use_sde", "samples from the logits alone", True)
        super().__init__(*arguments, device="cpu" if device == "auto" else device, **settings)

    def _setup_model(self) -> None:
        saved_state = self.__dict__.get("_random_state")
        _check_settings(self)
        super()._setup_model()
        _check_policy(self.policy)
        use_one_thread()
        self._flat = _FlatParameters(self.policy)
        if saved_state is not None:
            self.generator.bit_generator.state = saved_state

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed SB3, torch, the environment, and the generator of actions and minibatches."""
        super().set_random_seed(seed)
        self.generator = np.random.default_rng(seed)

    def bind_moments(self) -> None:
        """Make Adam's moments views of the flat arrays, as an update does."""
        self._flat.bind_moments(self.policy.optimizer)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_flat", "generator"]

    def save(self, *arguments: Any, **settings: Any) -> None:
        """Save as SB3 does, with the generator's state."""
        self._random_state = self.generator.bit_generator.state
        super().save(*arguments, **settings)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer as SB3 does, step by step, with the callbacks and locals of SB3.

        Raises
        ------
        FloatingPointError
            If an observation or the policy is not finite.
        """
        assert self._last_obs is not None, "No previous observation was provided"
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        self._flat.bind_parameters()
        n_steps = 0  # callbacks read this and other locals by SB3's names
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
                self._bootstrap_truncated_rewards(rewards, dones, infos)
            _add(
                rollout_buffer, self._last_obs, actions, rewards, self._last_episode_starts, values, log_probs
            )
            self._last_obs, self._last_episode_starts = new_obs, dones
        values = torch.from_numpy(self._values(new_obs))
        self._compute_returns_and_advantage(rollout_buffer, values.numpy(), dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _act(self, observations: np.ndarray) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        flat, uniforms, inputs = self._flat, self.generator.random(len(observations)), _flatten(observations)
        actions, values, log_probs = kernel.act(flat.parameters, flat.networks, inputs, uniforms)
        return actions, torch.from_numpy(values), torch.from_numpy(log_probs)

    def _values(self, observations: np.ndarray) -> np.ndarray:
        return kernel.evaluate(self._flat.parameters, self._flat.networks, _flatten(observations))

    def _bootstrap_truncated_rewards(
        self, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]
    ) -> None:
        ended = {i: infos[i] for i in np.flatnonzero(dones) if "terminal_observation" in infos[i]}
        if truncated := [i for i, info in ended.items() if info.get("TimeLimit.truncated", False)]:
            last_observations = np.stack([ended[i]["terminal_observation"] for i in truncated])
            rewards[truncated] += self.gamma * self._values(last_observations)

    def _compute_returns_and_advantage(
        self, buffer: RolloutBuffer, last_values: np.ndarray, dones: np.ndarray
    ) -> None:
        if not (np.isfinite(buffer.log_probs).all() and np.isfinite(buffer.rewards).all()):
            self._raise_divergence("an observation, a reward or the policy")
        last = (last_values, dones.astype(np.float32))
        rollout = kernel.Rollout(buffer.rewards, buffer.values, buffer.episode_starts, *last)
        buffer.advantages = kernel.compute_advantages(rollout, buffer.gamma, buffer.gae_lambda)
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
        optimizer, flat = self.policy.optimizer, self._flat
        self._update_learning_rate(optimizer)
        settings = self._ppo_settings()
        samples = _rollout_samples(self.rollout_buffer)
        n_samples = len(samples.actions)
        order = np.array([self.generator.permutation(n_samples) for _ in range(self.n_epochs)])
        flat.bind_parameters()
        adam = flat.bind_moments(optimizer)
        metrics, n_epochs, n_steps = kernel.update(
            flat.parameters, flat.networks, samples, order, settings, adam
        )
        flat.set_step(optimizer, adam.step + n_steps)
        if not (np.isfinite(metrics).all() and np.isfinite(flat.parameters).all()):
            self._raise_divergence("the loss or the policy")
        self._n_updates += n_epochs
        self._log(metrics, n_epochs, settings)

    def _ppo_settings(self) -> kernel.PPOSettings:
        remaining = self._current_progress_remaining
        clip_vf, max_kl = self.clip_range_vf, self.target_kl
        return kernel.PPOSettings(
            batch_size=self.batch_size,
            clip_range=float(self.clip_range(remaining)),
            clip_range_vf=np.inf if clip_vf is None else float(clip_vf(remaining)),
            normalize_advantage=bool(self.normalize_advantage),
            ent_coef=float(self.ent_coef),
            vf_coef=float(self.vf_coef),
            max_grad_norm=float(self.max_grad_norm),
            target_kl=np.inf if max_kl is None else float(max_kl),
        )

    def _log(self, metrics: np.ndarray, n_epochs: int, settings: kernel.PPOSettings) -> None:
        kl = metrics[-1, kernel.APPROX_KL]
        if self.verbose >= 1 and kl > 1.5 * settings.target_kl:
            print(f"Early stopping at step {n_epochs - 1} due to reaching max kl: {kl:.2f}")
        buffer, record, means = self.rollout_buffer, self.logger.record, metrics.mean(axis=0)
        per_epoch = -(-buffer.buffer_size * buffer.n_envs // self.batch_size)
        last_epoch = metrics[(n_epochs - 1) * per_epoch :]
        record("train/entropy_loss", means[kernel.ENTROPY_LOSS])
        record("train/policy_gradient_loss", means[kernel.POLICY_LOSS])
        record("train/value_loss", means[kernel.VALUE_LOSS])
        record("train/approx_kl", last_epoch[:, kernel.APPROX_KL].mean())
        record("train/clip_fraction", means[kernel.CLIP_FRACTION])
        record("train/loss", metrics[-1, kernel.LOSS])
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        record("train/explained_variance", explained)
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", settings.clip_range)
        if self.clip_range_vf is not None:
            record("train/clip_range_vf", settings.clip_range_vf)

    def _raise_divergence(self, what: str) -> NoReturn:
        rate = self.policy.optimizer.param_groups[0]["lr"]
        raise FloatingPointError(
            f"{what} is no longer finite after {self.num_timesteps:,} steps; look for NaN in observations "
            f"and rewards, or lower learning_rate, now {rate}"
        )


class _FlatParameters:
    """Keeps a policy's parameters and Adam's moments in flat arrays; torch's tensors become views of them."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        extractor = policy.mlp_extractor
        policy_layers = [*linear_layers(extractor.policy_net), policy.action_net]
        value_layers = [*linear_layers(extractor.value_net), policy.value_net]
        self._slices: list[tuple[torch.Tensor, slice]] = []
        policy_table, value_table = map(self._append_layers, (policy_layers, value_layers))
        self.networks = kernel.Networks(policy_table, value_table)
        n_parameters = self._slices[-1][1].stop
        self.parameters, self._exp_avg, self._exp_avg_sq = np.zeros((3, n_parameters), dtype=np.float32)
        self.bind_parameters()

    def bind_parameters(self) -> None:
        """Make the policy's tensors views again where torch has replaced them; the values stay."""
        for parameter, part in self._slices:
            parameter.data = _view(parameter.data, self.parameters[part])

    def bind_moments(self, optimizer: torch.optim.Adam) -> kernel.AdamState:
        """Make the optimiser's moments views and return its state; before the first step they are zeros."""
        for parameter, part in self._slices:
            state = optimizer.state[parameter]
            if not state:
                zeros = torch.zeros_like(parameter.data)
                state.update(step=torch.tensor(0.0), exp_avg=zeros, exp_avg_sq=zeros)
            state["exp_avg"] = _view(state["exp_avg"], self._exp_avg[part])
            state["exp_avg_sq"] = _view(state["exp_avg_sq"], self._exp_avg_sq[part])
        steps = {int(optimizer.state[parameter]["step"]) for parameter, _ in self._slices}
        if len(steps) > 1:
            raise ParameterError(
                f"policy.optimizer: all parameters must have made as many steps, found {steps}; take "
                "training.engine: sb3"
            )
        group = optimizer.param_groups[0]
        beta_1, beta_2 = group["betas"]
        learning_rate, eps = float(group["lr"]), float(group["eps"])
        return kernel.AdamState(
            self._exp_avg, self._exp_avg_sq, steps.pop(), learning_rate, float(beta_1), float(beta_2), eps
        )

    def set_step(self, optimizer: torch.optim.Adam, step: int) -> None:
        """Set the number of steps that torch's optimiser has made."""
        for parameter, _ in self._slices:
            optimizer.state[parameter]["step"].fill_(step)

    def _append_layers(self, layers: list[nn.Linear]) -> np.ndarray:
        """Append the slices of a network's layers; return its table."""
        rows = []
        for layer in layers:
            weight = self._slices[-1][1].stop if self._slices else 0
            bias = weight + layer.weight.numel()
            self._slices.append((layer.weight, slice(weight, bias)))
            self._slices.append((layer.bias, slice(bias, bias + layer.bias.numel())))
            rows.append((layer.in_features, layer.out_features, weight, bias))
        return np.array(rows)


def _view(tensor: torch.Tensor, array: np.ndarray) -> torch.Tensor:
    """Copy a tensor's values into an array and return that array as a tensor."""
    view = torch.from_numpy(array).view_as(tensor)
    if view.data_ptr() != tensor.data_ptr():
        view.copy_(tensor)
    return view


def linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    """List a network's linear layers, from inputs to outputs."""
    return [module for module in network if isinstance(module, nn.Linear)]


def _flatten(observations: np.ndarray) -> np.ndarray:
    """Return observations as the kernel takes them: shape (n, n_inputs), float32, contiguous."""
    return np.ascontiguousarray(observations.reshape(len(observations), -1), dtype=np.float32)


def _add(
    buffer: RolloutBuffer,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    episode_starts: np.ndarray,
    values: torch.Tensor,
    log_probs: torch.Tensor,
) -> None:
    """Add a step to the buffer as its own ``add`` does, without the copies through torch."""
    pos = buffer.pos
    buffer.observations[pos], buffer.actions[pos, :, 0] = observations, actions
    buffer.rewards[pos], buffer.episode_starts[pos] = rewards, episode_starts
    buffer.values[pos], buffer.log_probs[pos] = values.numpy(), log_probs.numpy()
    buffer.pos += 1
    buffer.full = buffer.pos == buffer.buffer_size


def _rollout_samples(buffer: RolloutBuffer) -> kernel.RolloutSamples:
    """Return the whole buffer in SB3's order: all steps of one environment, then the next one's."""
    names = ("observations", "actions", "values", "log_probs", "advantages", "returns")
    if not buffer.generator_ready:
        for name in names:
            setattr(buffer, name, buffer.swap_and_flatten(getattr(buffer, name)))
        buffer.generator_ready = True
    flat = [getattr(buffer, name).reshape(len(buffer.actions), -1) for name in names]
    observations, actions, *rest = flat
    return kernel.RolloutSamples(
        _flatten(observations),
        actions[:, 0].astype(np.int64),
        *(part[:, 0].astype(np.float32) for part in rest),
    )


# ---- unsupported settings


def _check_settings(model: PPO) -> None:
    observations, actions, buffer = model.observation_space, model.action_space, model.rollout_buffer_class
    _require(model.device.type == "cpu", "device", "computes on the CPU", model.device)
    _require(isinstance(observations, spaces.Box), "observation_space", "takes a Box", observations)
    _require(isinstance(actions, spaces.Discrete), "action_space", "takes a Discrete", actions)
    plain = buffer in (None, RolloutBuffer)
    _require(plain, "rollout_buffer_class", "fills SB3's RolloutBuffer", buffer)


def _check_policy(policy: ActorCriticPolicy) -> None:
    _require(type(policy) is ActorCriticPolicy, "policy", "computes SB3's MlpPolicy", type(policy))
    features = type(policy.features_extractor)
    _require(features is FlattenExtractor, "policy_kwargs.features_extractor_class", "flattens", features)
    images = policy.normalize_images and is_image_space(policy.observation_space)
    _require(not images, "observation_space", "rescales no images", policy.observation_space)
    extractor = policy.mlp_extractor
    _require(type(extractor) is MlpExtractor, "policy", "computes SB3's MlpExtractor", type(extractor))
    for network in (extractor.policy_net, extractor.value_net):
        for index, module in enumerate(network):
            expected = type(module) is (nn.Linear, nn.Tanh)[index % 2]
            _require(expected, "policy_kwargs.activation_fn", "computes torch.nn.Tanh", type(module))
    dtypes = {str(parameter.dtype) for parameter in policy.parameters()}
    _require(dtypes == {"torch.float32"}, "policy", "computes in float32", dtypes)
    adam = type(policy.optimizer)
    steps = "makes torch.optim.Adam's steps"
    _require(adam is torch.optim.Adam, "policy_kwargs.optimizer_class", steps, adam)
    for name in ("weight_decay", "amsgrad", "maximize"):
        value = policy.optimizer.param_groups[0][name]
        _require(not value, f"policy_kwargs.optimizer_kwargs.{name}", "makes Adam's plain steps", value)


def _check_trainable(policy: ActorCriticPolicy) -> None:
    n_groups = len(policy.optimizer.param_groups)
    _require(n_groups == 1, "policy.optimizer", "steps all parameters alike", f"{n_groups} groups")
    frozen = [name for name, parameter in policy.named_parameters() if not parameter.requires_grad]
    _require(not frozen, "requires_grad", "trains every parameter", f"{frozen} frozen")


def _require(supported: bool, setting: str, rule: str, found: Any) -> None:
    if not supported:
        raise ParameterError(
            f"{setting}: the fast engine {rule}, found {found}; take stable_baselines3.PPO itself for this "
            f"(training.engine: sb3)"
        )
