"""PPO's arithmetic, compiled: `act` samples actions for a batch of observations, `update` runs PPO's epochs.

Policy and value network are tanh MLPs whose weights and biases lie in one flat float32 array. A network is a
table of its layers, of which the last has no tanh:

    row = (number of inputs, number of outputs, offset of the weight (out, in), offset of the bias (out,))

The arithmetic follows stable-baselines3's ``PPO.train`` and torch's ``Adam``, down to their names; 320
minibatches end within rounding of theirs. Wide matrix products go to BLAS, the rest are loops that LLVM
vectorises. ``tests/training/reference_ppo.py`` computes the same slowly, in NumPy and double precision.
"""

from typing import NamedTuple

import numpy as np

from dosvotos.compiled import njit
from dosvotos.numerics import FAST_MATH, tanh_float32

_MIN_BLAS_OUTPUTS = 8  # below it a loop is faster than the call of BLAS

LOSS, POLICY_LOSS, VALUE_LOSS, ENTROPY_LOSS, APPROX_KL, CLIP_FRACTION = range(6)
"""Columns of the metrics that `update` returns."""


class Networks(NamedTuple):
    """Layer tables of the two networks, int64 arrays of shape (n_layers, 4)."""

    policy: np.ndarray
    value: np.ndarray


class Rollout(NamedTuple):
    """What advantages are computed from; float32 arrays in the order of SB3's buffer."""

    rewards: np.ndarray
    """Shape (n_steps, n_envs), as the next two."""
    values: np.ndarray
    episode_starts: np.ndarray
    """1 where an episode begins, else 0."""
    last_values: np.ndarray
    """Values of the observations after the last step, shape (n_envs,)."""
    last_dones: np.ndarray
    """1 where the last step ended an episode, else 0; shape (n_envs,)."""


class RolloutSamples(NamedTuple):
    """SB3's rollout samples, one for each decision; float32 but for the actions."""

    observations: np.ndarray
    """Shape (n_samples, n_inputs); the others (n_samples,)."""
    actions: np.ndarray
    """int64."""
    old_values: np.ndarray
    old_log_probs: np.ndarray
    advantages: np.ndarray
    returns: np.ndarray


class PPOSettings(NamedTuple):
    """PPO's settings during one update, under SB3's names; infinity switches a limit off."""

    batch_size: int
    clip_range: float
    clip_range_vf: float
    normalize_advantage: bool
    ent_coef: float
    vf_coef: float
    max_grad_norm: float
    target_kl: float


class AdamState(NamedTuple):
    """torch's Adam: both moments of shape (n_parameters,), float32, the steps made, and the settings."""

    exp_avg: np.ndarray
    exp_avg_sq: np.ndarray
    step: int
    learning_rate: float
    beta_1: float
    beta_2: float
    eps: float


class Workspace(NamedTuple):
    """Arrays that every minibatch of an update overwrites."""

    policy_activations: np.ndarray
    value_activations: np.ndarray
    gradients: np.ndarray
    """Of the loss with respect to each parameter, shape (n_parameters,)."""


@njit(**FAST_MATH)
def act(
    parameters: np.ndarray, networks: Networks, observations: np.ndarray, uniforms: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample an action for each observation.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,), float32
    networks : Networks
    observations : ndarray of shape (n, n_inputs), float32
    uniforms : ndarray of shape (n,), in [0, 1)

    Returns
    -------
    actions : ndarray of shape (n,), int64
    values, log_probs : ndarray of shape (n,), float32
    """
    n = len(observations)
    logits = forward(parameters, networks.policy, observations, allocate_activations(networks.policy, n))
    actions, action_log_probs = np.empty(n, np.int64), np.empty(n, np.float32)
    log_probs = np.empty(logits.shape[1], np.float32)
    for i in range(n):
        log_softmax(logits[i], log_probs)
        left, action = uniforms[i] - np.exp(log_probs[0]), 0
        while left >= 0 and action < len(log_probs) - 1:
            action += 1
            left -= np.exp(log_probs[action])
        actions[i], action_log_probs[i] = action, log_probs[action]
    return actions, evaluate(parameters, networks, observations), action_log_probs


@njit(**FAST_MATH)
def evaluate(parameters: np.ndarray, networks: Networks, observations: np.ndarray) -> np.ndarray:
    """Compute the values of observations (n, n_inputs), shape (n,), float32."""
    activations = allocate_activations(networks.value, len(observations))
    return forward(parameters, networks.value, observations, activations)[:, 0].copy()


@njit(**FAST_MATH)
def update(
    parameters: np.ndarray,
    networks: Networks,
    samples: RolloutSamples,
    order: np.ndarray,
    settings: PPOSettings,
    adam: AdamState,
) -> tuple[np.ndarray, int, int]:
    """Run PPO's epochs of minibatches; parameters and Adam's moments change in place.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,), float32
    networks : Networks
    samples : RolloutSamples
    order : ndarray of shape (n_epochs, n_samples), int64
        Each epoch's permutation of the samples; an epoch's last minibatch may be shorter.
    settings : PPOSettings
    adam : AdamState

    Returns
    -------
    metrics : ndarray of shape (n_minibatches, 6)
        Of each minibatch before its step. One whose KL exceeds 1.5 `target_kl` is the last; it makes no step.
    n_epochs : int
        Epochs begun.
    n_steps : int
        Steps of Adam made.
    """
    n_epochs, n_samples = order.shape
    batch_size = min(settings.batch_size, n_samples)
    metrics = np.empty((n_epochs * (n_samples // batch_size + 1), 6))
    workspace = Workspace(
        allocate_activations(networks.policy, batch_size),
        allocate_activations(networks.value, batch_size),
        np.empty_like(parameters),
    )
    n_done = 0
    for epoch in range(n_epochs):
        for start in range(0, n_samples, batch_size):
            batch = gather(samples, order[epoch, start : start + batch_size])
            compute_gradients(parameters, networks, batch, settings, workspace, metrics[n_done])
            n_done += 1
            if metrics[n_done - 1, APPROX_KL] > 1.5 * settings.target_kl:
                return metrics[:n_done], epoch + 1, n_done - 1
            clip_grad_norm(workspace.gradients, settings.max_grad_norm)
            adam_step(parameters, workspace.gradients, adam, adam.step + n_done)
    return metrics[:n_done], n_epochs, n_done


@njit(**FAST_MATH)
def compute_advantages(rollout: Rollout, gamma: float, gae_lambda: float) -> np.ndarray:
    """Compute generalised advantage estimates (GAE), shape (n_steps, n_envs)."""
    rewards, values, episode_starts, last_values, last_dones = rollout
    n_steps, n_envs = rewards.shape
    discount, decay = np.float32(gamma), np.float32(gamma * gae_lambda)
    advantages = np.empty_like(rewards)
    for i in range(n_envs):
        next_non_terminal = np.float32(1) - last_dones[i]
        next_value, advantage = last_values[i], np.float32(0)
        for step in range(n_steps - 1, -1, -1):
            td_error = rewards[step, i] + discount * next_value * next_non_terminal - values[step, i]
            advantage = td_error + decay * next_non_terminal * advantage
            advantages[step, i] = advantage
            next_non_terminal, next_value = np.float32(1) - episode_starts[step, i], values[step, i]
    return advantages


# ---- networks


@njit(**FAST_MATH)
def allocate_activations(network: np.ndarray, n: int) -> np.ndarray:
    """Allocate the flat array that `forward` fills with every layer's outputs for `n` observations."""
    return np.empty(n * n_outputs(network), np.float32)


@njit(**FAST_MATH)
def n_outputs(network: np.ndarray) -> int:
    """Count the outputs of all layers together."""
    total = 0
    for layer in range(len(network)):
        total += network[layer, 1]
    return total


@njit(**FAST_MATH)
def forward(
    parameters: np.ndarray, network: np.ndarray, inputs: np.ndarray, activations: np.ndarray
) -> np.ndarray:
    """Compute a network's outputs (n, n_outputs); `activations` keeps every layer's, one after the other."""
    n, start, outputs = len(inputs), 0, inputs
    for layer in range(len(network)):
        weight, bias = weight_and_bias(parameters, network[layer])
        inputs, outputs = outputs, activations[start : start + n * len(bias)].reshape(n, len(bias))
        start += outputs.size
        matmul_transposed(inputs, weight, outputs)
        if layer == len(network) - 1:
            for i in range(n):
                for j in range(len(bias)):
                    outputs[i, j] += bias[j]
        else:
            for i in range(n):
                for j in range(len(bias)):
                    outputs[i, j] = tanh_float32(outputs[i, j] + bias[j])
    return outputs


@njit(**FAST_MATH)
def backward(
    parameters: np.ndarray,
    network: np.ndarray,
    inputs: np.ndarray,
    activations: np.ndarray,
    output_gradients: np.ndarray,
    gradients: np.ndarray,
) -> None:
    """Write the loss's gradients of a network's parameters, given those of its outputs (n, n_outputs)."""
    n = len(inputs)
    start = n * n_outputs(network[:-1])
    for layer in range(len(network) - 1, -1, -1):
        weight, _ = weight_and_bias(parameters, network[layer])
        weight_gradients, bias_gradients = weight_and_bias(gradients, network[layer])
        n_in = weight.shape[1]
        start -= n * n_in
        below = inputs if layer == 0 else activations[start : start + n * n_in].reshape(n, n_in)
        transposed_matmul(output_gradients, below, weight_gradients)
        bias_gradients[:] = 0
        for i in range(n):
            for j in range(len(bias_gradients)):
                bias_gradients[j] += output_gradients[i, j]
        if layer > 0:
            below_gradients = np.empty((n, n_in), np.float32)
            matmul(output_gradients, weight, below_gradients)
            for i in range(n):
                for j in range(n_in):
                    below_gradients[i, j] *= np.float32(1) - below[i, j] * below[i, j]
            output_gradients = below_gradients


@njit(**FAST_MATH)
def weight_and_bias(flat: np.ndarray, layer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return views of one layer's weight (out, in) and bias (out,) in a flat array."""
    n_in, n_out, weight, bias = layer
    return flat[weight : weight + n_out * n_in].reshape(n_out, n_in), flat[bias : bias + n_out]


@njit(**FAST_MATH)
def matmul_transposed(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write a @ b.T."""
    if len(b) >= _MIN_BLAS_OUTPUTS:
        np.dot(a, b.T, out)
        return
    for i in range(len(a)):
        for j in range(len(b)):
            total = np.float32(0)
            for k in range(b.shape[1]):
                total += a[i, k] * b[j, k]
            out[i, j] = total


@njit(**FAST_MATH)
def transposed_matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write a.T @ b."""
    if len(out) >= _MIN_BLAS_OUTPUTS:
        np.dot(a.T, b, out)
        return
    out[:] = 0
    for i in range(len(a)):
        for j in range(len(out)):
            for k in range(b.shape[1]):
                out[j, k] += a[i, j] * b[i, k]


@njit(**FAST_MATH)
def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write a @ b."""
    if len(b) >= _MIN_BLAS_OUTPUTS:
        np.dot(a, b, out)
        return
    out[:] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            for k in range(b.shape[1]):
                out[i, k] += a[i, j] * b[j, k]


# ---- loss


@njit(**FAST_MATH)
def gather(samples: RolloutSamples, indices: np.ndarray) -> RolloutSamples:
    """Copy samples by index into a minibatch."""
    n, n_inputs = len(indices), samples.observations.shape[1]
    observations, actions = np.empty((n, n_inputs), np.float32), np.empty(n, np.int64)
    old_values, old_log_probs = np.empty(n, np.float32), np.empty(n, np.float32)
    advantages, returns = np.empty(n, np.float32), np.empty(n, np.float32)
    for i in range(n):
        k = indices[i]
        for j in range(n_inputs):
            observations[i, j] = samples.observations[k, j]
        actions[i] = samples.actions[k]
        old_values[i], old_log_probs[i] = samples.old_values[k], samples.old_log_probs[k]
        advantages[i], returns[i] = samples.advantages[k], samples.returns[k]
    return RolloutSamples(observations, actions, old_values, old_log_probs, advantages, returns)


@njit(**FAST_MATH)
def normalize(advantages: np.ndarray) -> None:
    """Scale advantages in place to mean 0 and standard deviation 1 (ddof 1); a single one stays."""
    n = len(advantages)
    if n == 1:
        return
    mean, variance = np.float32(0), np.float32(0)
    for i in range(n):
        mean += advantages[i]
    mean /= np.float32(n)
    for i in range(n):
        variance += (advantages[i] - mean) ** 2
    deviation = np.sqrt(variance / np.float32(n - 1)) + np.float32(1e-8)
    for i in range(n):
        advantages[i] = (advantages[i] - mean) / deviation


@njit(**FAST_MATH)
def log_softmax(logits: np.ndarray, log_probs: np.ndarray) -> None:
    """Write the log-probabilities of logits (n_actions,) into `log_probs`."""
    highest, total = logits[0], np.float32(0)
    for j in range(1, len(logits)):
        highest = max(highest, logits[j])
    for j in range(len(logits)):
        total += np.exp(logits[j] - highest)
    shift = highest + np.log(total)
    for j in range(len(logits)):
        log_probs[j] = logits[j] - shift


@njit(**FAST_MATH)
def compute_gradients(
    parameters: np.ndarray,
    networks: Networks,
    batch: RolloutSamples,
    settings: PPOSettings,
    workspace: Workspace,
    metrics: np.ndarray,
) -> None:
    """Write a minibatch's gradients into the workspace and its loss into `metrics` (6,)."""
    if settings.normalize_advantage:
        normalize(batch.advantages)
    policy_activations, value_activations, gradients = workspace
    logits = forward(parameters, networks.policy, batch.observations, policy_activations)
    values = forward(parameters, networks.value, batch.observations, value_activations)
    logit_gradients, value_gradients = ppo_loss(logits, values, batch, settings, metrics)
    backward(parameters, networks.policy, batch.observations, policy_activations, logit_gradients, gradients)
    backward(parameters, networks.value, batch.observations, value_activations, value_gradients, gradients)


@njit(**FAST_MATH)
def ppo_loss(
    logits: np.ndarray, values: np.ndarray, batch: RolloutSamples, settings: PPOSettings, metrics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the loss's gradients of logits (n, n_actions) and values (n, 1), its parts into `metrics`."""
    n, n_actions = logits.shape
    logit_gradients, value_gradients = np.empty((n, n_actions), np.float32), np.empty((n, 1), np.float32)
    log_probs, one, weight = np.empty(n_actions, np.float32), np.float32(1), np.float32(1 / n)
    entropy_weight = np.float32(settings.ent_coef) * weight
    value_weight, clip_vf = np.float32(settings.vf_coef) * weight, np.float32(settings.clip_range_vf)
    policy_loss = value_loss = entropy = kl = n_clipped = np.float32(0)
    for i in range(n):
        log_softmax(logits[i], log_probs)
        action = batch.actions[i]
        log_ratio = log_probs[action] - batch.old_log_probs[i]
        ratio = np.exp(log_ratio)
        objective, gradient = clipped_surrogate(ratio, batch.advantages[i], settings.clip_range)
        policy_loss -= objective
        n_clipped += one if abs(ratio - one) > np.float32(settings.clip_range) else np.float32(0)
        kl += ratio - one - log_ratio
        entropy += policy_gradients(log_probs, action, -weight * gradient, entropy_weight, logit_gradients[i])
        change = values[i, 0] - batch.old_values[i]
        error, gradient = values[i, 0] - batch.returns[i], np.float32(2) * value_weight
        if abs(change) > clip_vf:
            error = batch.old_values[i] + (clip_vf if change > 0 else -clip_vf) - batch.returns[i]
            gradient = np.float32(0)
        value_loss += error * error
        value_gradients[i, 0] = gradient * error
    metrics[POLICY_LOSS], metrics[VALUE_LOSS] = weight * policy_loss, weight * value_loss
    metrics[ENTROPY_LOSS], metrics[APPROX_KL] = -weight * entropy, weight * kl
    metrics[CLIP_FRACTION] = n_clipped / n
    entropy_part, value_part = (
        settings.ent_coef * metrics[ENTROPY_LOSS],
        settings.vf_coef * metrics[VALUE_LOSS],
    )
    metrics[LOSS] = metrics[POLICY_LOSS] + entropy_part + value_part
    return logit_gradients, value_gradients


@njit(**FAST_MATH)
def clipped_surrogate(
    ratio: np.float32, advantage: np.float32, clip_range: float
) -> tuple[np.float32, np.float32]:
    """Compute a sample's clipped objective and its gradient of the action's log-probability."""
    objective = advantage * ratio
    clipped_ratio = min(max(ratio, np.float32(1 - clip_range)), np.float32(1 + clip_range))
    if objective > advantage * clipped_ratio:
        return advantage * clipped_ratio, np.float32(0)
    return objective, objective


@njit(**FAST_MATH)
def policy_gradients(
    log_probs: np.ndarray, action: int, gradient: np.float32, entropy_weight: np.float32, out: np.ndarray
) -> np.float32:
    """Return the entropy and write the gradients of the logits, given that of the log-probability."""
    entropy = np.float32(0)
    for j in range(len(log_probs)):
        out[j] = np.exp(log_probs[j])
        entropy -= out[j] * log_probs[j]
    for j in range(len(log_probs)):
        out[j] = entropy_weight * out[j] * (log_probs[j] + entropy) - gradient * out[j]
    out[action] += gradient
    return entropy


# ---- optimiser step


@njit(**FAST_MATH)
def clip_grad_norm(gradients: np.ndarray, max_norm: float) -> None:
    """Scale all gradients in place to a norm of at most `max_norm`, as torch's ``clip_grad_norm_``."""
    total = np.float32(0)
    for k in range(len(gradients)):
        total += gradients[k] * gradients[k]
    scale = np.float32(max_norm) / (np.sqrt(total) + np.float32(1e-6))
    if scale < 1:
        for k in range(len(gradients)):
            gradients[k] *= scale


@njit(**FAST_MATH)
def adam_step(parameters: np.ndarray, gradients: np.ndarray, adam: AdamState, step: int) -> None:
    """Change the parameters by Adam's `step`-th step, counted from 1."""
    exp_avg, exp_avg_sq, eps = adam.exp_avg, adam.exp_avg_sq, np.float32(adam.eps)
    weight_1, weight_2 = np.float32(1 - adam.beta_1), np.float32(1 - adam.beta_2)
    beta_2 = np.float32(adam.beta_2)
    step_size = np.float32(adam.learning_rate / (1 - adam.beta_1**step))
    bias_correction_2 = np.float32(np.sqrt(1 - adam.beta_2**step))
    for k in range(len(parameters)):
        gradient = gradients[k]
        exp_avg[k] += weight_1 * (gradient - exp_avg[k])
        exp_avg_sq[k] = beta_2 * exp_avg_sq[k] + weight_2 * gradient * gradient
        parameters[k] -= step_size * exp_avg[k] / (np.sqrt(exp_avg_sq[k]) / bias_correction_2 + eps)
