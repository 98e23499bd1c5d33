"""The arithmetic of PPO: one compiled call acts for a batch of observations, one runs a whole update.

Both networks are tanh towers whose weights and biases lie in one flat float32 array. A tower is a table of
its layers, the last one linear:

    row = (number of inputs, number of outputs, offset of the weight (out, in), offset of the bias (out,))

The arithmetic follows stable-baselines3's ``PPO.train`` and torch's ``Adam`` so closely that 320 minibatches
end within rounding of theirs. Wide matrix products go to BLAS; the rest are plain loops that LLVM vectorises.
``tests/training/twin.py`` says the same slowly, in NumPy and double precision.
"""

from typing import NamedTuple

import numpy as np

from dosvotos.compiled import njit

# Sums may be reordered and fused. NaN and infinity keep their meaning: a divergence must show.
_FAST = {
    "no_cfunc_wrapper": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}
_NARROW = 8  # outputs below which a loop beats the call of BLAS

LOSS, POLICY_LOSS, VALUE_LOSS, ENTROPY_LOSS, APPROX_KL, CLIP_FRACTION = range(6)
"""Columns of an update's report."""


class Towers(NamedTuple):
    """Layer tables of the two networks, int64 arrays of shape (n_layers, 4)."""

    policy: np.ndarray
    value: np.ndarray


class Samples(NamedTuple):
    """What an update learns from, one entry a decision; float32 but for the actions."""

    observations: np.ndarray
    """Shape (n_samples, n_inputs); the others (n_samples,)."""
    actions: np.ndarray
    """int64."""
    values: np.ndarray
    log_probs: np.ndarray
    advantages: np.ndarray
    returns: np.ndarray


class Rules(NamedTuple):
    """PPO's settings in force during one update; infinity switches a limit off."""

    batch_size: int
    clip_range: float
    clip_range_vf: float
    normalize_advantage: bool
    ent_coef: float
    vf_coef: float
    max_grad_norm: float
    target_kl: float


class Adam(NamedTuple):
    """The optimiser: moments of shape (n_parameters,), float32, steps made so far, and its settings."""

    mean: np.ndarray
    square: np.ndarray
    steps: int
    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float


@njit(**_FAST)
def act(
    parameters: np.ndarray, towers: Towers, observations: np.ndarray, uniforms: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample an action for each observation.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,), float32
    towers : Towers
    observations : ndarray of shape (n, n_inputs), float32
    uniforms : ndarray of shape (n,), in [0, 1)

    Returns
    -------
    actions : ndarray of shape (n,), int64
    values, log_probs : ndarray of shape (n,), float32
    """
    n = len(observations)
    logits = forward(parameters, towers.policy, observations, memory_for(towers.policy, n))
    actions, log_probs = np.empty(n, np.int64), np.empty(n, np.float32)
    log_shares = np.empty(logits.shape[1], np.float32)
    for i in range(n):
        log_softmax(logits[i], log_shares)
        left, action = uniforms[i] - np.exp(log_shares[0]), 0
        while left >= 0 and action < len(log_shares) - 1:
            action += 1
            left -= np.exp(log_shares[action])
        actions[i], log_probs[i] = action, log_shares[action]
    return actions, evaluate(parameters, towers, observations), log_probs


@njit(**_FAST)
def evaluate(parameters: np.ndarray, towers: Towers, observations: np.ndarray) -> np.ndarray:
    """Values of observations (n, n_inputs), shape (n,), float32."""
    memory = memory_for(towers.value, len(observations))
    values: np.ndarray = forward(parameters, towers.value, observations, memory)[:, 0].copy()
    return values


@njit(**_FAST)
def update(
    parameters: np.ndarray, towers: Towers, samples: Samples, order: np.ndarray, rules: Rules, adam: Adam
) -> tuple[np.ndarray, int, int]:
    """Run PPO's epochs of minibatches; parameters and Adam's moments change in place.

    Parameters
    ----------
    parameters : ndarray of shape (n_parameters,), float32
    towers : Towers
    samples : Samples
    order : ndarray of shape (n_epochs, n_samples), int64
        The samples of each epoch in the order they are learned; an epoch's last minibatch may be shorter.
    rules : Rules
    adam : Adam

    Returns
    -------
    report : ndarray of shape (n_minibatches, 6)
        Each minibatch as it was before its step. One beyond `target_kl` is the last and makes no step.
    n_epochs : int
        Epochs begun.
    n_steps : int
        Steps made.
    """
    n_epochs, n_samples = order.shape
    batch_size = min(rules.batch_size, n_samples)
    report = np.empty((n_epochs * (n_samples // batch_size + 1), 6))
    gradient = np.empty_like(parameters)
    policy_memory, value_memory = memory_for(towers.policy, batch_size), memory_for(towers.value, batch_size)
    n_done = 0
    for epoch in range(n_epochs):
        for first in range(0, n_samples, batch_size):
            batch = gather(samples, order[epoch, first : first + batch_size])
            if rules.normalize_advantage:
                normalize(batch.advantages)
            logits = forward(parameters, towers.policy, batch.observations, policy_memory)
            values = forward(parameters, towers.value, batch.observations, value_memory)
            logit_slopes, value_slopes = loss_slopes(logits, values, batch, rules, report[n_done])
            n_done += 1
            if report[n_done - 1, APPROX_KL] > 1.5 * rules.target_kl:
                return report[:n_done], epoch + 1, n_done - 1
            backward(parameters, towers.policy, batch.observations, policy_memory, logit_slopes, gradient)
            backward(parameters, towers.value, batch.observations, value_memory, value_slopes, gradient)
            shorten(gradient, rules.max_grad_norm)
            descend(parameters, gradient, adam, adam.steps + n_done)
    return report[:n_done], n_epochs, n_done


@njit(**_FAST)
def advantages_of(
    rewards: np.ndarray,
    values: np.ndarray,
    episode_starts: np.ndarray,
    last_values: np.ndarray,
    last_dones: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Generalised advantage estimates, shape (n_steps, n_envs) like the first three arguments."""
    n_steps, n_envs = rewards.shape
    discount, decay = np.float32(gamma), np.float32(gamma * gae_lambda)
    advantages = np.empty_like(rewards)
    for i in range(n_envs):
        going_on = np.float32(1) - last_dones[i]
        next_value, advantage = last_values[i], np.float32(0)
        for step in range(n_steps - 1, -1, -1):
            surprise = rewards[step, i] + discount * next_value * going_on - values[step, i]
            advantage = surprise + decay * going_on * advantage
            advantages[step, i] = advantage
            going_on, next_value = np.float32(1) - episode_starts[step, i], values[step, i]
    return advantages


# ---- the towers


@njit(**_FAST)
def memory_for(tower: np.ndarray, n: int) -> np.ndarray:
    """Room for the outputs of every layer for `n` observations."""
    return np.empty(n * n_outputs(tower), np.float32)


@njit(**_FAST)
def n_outputs(tower: np.ndarray) -> int:
    """Outputs of all layers together."""
    total = 0
    for layer in range(len(tower)):
        total += tower[layer, 1]
    return total


@njit(**_FAST)
def forward(parameters: np.ndarray, tower: np.ndarray, inputs: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """The tower's outputs (n, n_outputs); every layer's outputs stay in `memory`, one after the other."""
    n, start, outputs = len(inputs), 0, inputs
    for layer in range(len(tower)):
        weight, bias = weight_and_bias(parameters, tower[layer])
        inputs, outputs = outputs, memory[start : start + n * len(bias)].reshape(n, len(bias))
        start += outputs.size
        product_with_rows(inputs, weight, outputs)
        if layer == len(tower) - 1:
            for i in range(n):
                for j in range(len(bias)):
                    outputs[i, j] += bias[j]
        else:
            for i in range(n):
                for j in range(len(bias)):
                    outputs[i, j] = tanh(outputs[i, j] + bias[j])
    return outputs


@njit(**_FAST)
def backward(
    parameters: np.ndarray,
    tower: np.ndarray,
    inputs: np.ndarray,
    memory: np.ndarray,
    slopes: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Write the loss's slopes in the tower's parameters, from its slopes in the tower's outputs."""
    n = len(inputs)
    start = n * n_outputs(tower[:-1])
    for layer in range(len(tower) - 1, -1, -1):
        weight, _ = weight_and_bias(parameters, tower[layer])
        weight_slopes, bias_slopes = weight_and_bias(gradient, tower[layer])
        n_in = weight.shape[1]
        start -= n * n_in
        below = inputs if layer == 0 else memory[start : start + n * n_in].reshape(n, n_in)
        product_of_columns(slopes, below, weight_slopes)
        bias_slopes[:] = 0
        for i in range(n):
            for j in range(len(bias_slopes)):
                bias_slopes[j] += slopes[i, j]
        if layer > 0:
            slopes_below = np.empty((n, n_in), np.float32)
            product(slopes, weight, slopes_below)
            for i in range(n):
                for j in range(n_in):
                    slopes_below[i, j] *= np.float32(1) - below[i, j] * below[i, j]
            slopes = slopes_below


@njit(**_FAST)
def weight_and_bias(flat: np.ndarray, layer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views of one layer's weight (out, in) and bias (out,) in a flat array."""
    n_in, n_out, weight, bias = layer
    return flat[weight : weight + n_out * n_in].reshape(n_out, n_in), flat[bias : bias + n_out]


@njit(**_FAST)
def product_with_rows(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write a @ b.T."""
    if len(b) >= _NARROW:
        np.dot(a, b.T, out)
        return
    for i in range(len(a)):
        for j in range(len(b)):
            total = np.float32(0)
            for k in range(b.shape[1]):
                total += a[i, k] * b[j, k]
            out[i, j] = total


@njit(**_FAST)
def product_of_columns(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write a.T @ b."""
    if len(out) >= _NARROW:
        np.dot(a.T, b, out)
        return
    out[:] = 0
    for i in range(len(a)):
        for j in range(len(out)):
            for k in range(b.shape[1]):
                out[j, k] += a[i, j] * b[i, k]


@njit(**_FAST)
def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write a @ b."""
    if len(b) >= _NARROW:
        np.dot(a, b, out)
        return
    out[:] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            for k in range(b.shape[1]):
                out[i, k] += a[i, j] * b[j, k]


_A1, _A3 = np.float32(4.89352455891786e-03), np.float32(6.37261928875436e-04)
_A5, _A7 = np.float32(1.48572235717979e-05), np.float32(5.12229709037114e-08)
_A9, _A11 = np.float32(-8.60467152213735e-11), np.float32(2.00018790482477e-13)
_A13 = np.float32(-2.76076847742355e-16)
_B0, _B2 = np.float32(4.89352518554385e-03), np.float32(2.26843463243900e-03)
_B4, _B6 = np.float32(1.18534705686654e-04), np.float32(1.19825839466702e-06)
_TANH_ENDS = np.float32(7.90531110763549805)


@njit(**_FAST)
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent to within 4e-7: Eigen's rational function calls nothing, so that loops vectorise."""
    x = _TANH_ENDS if x > _TANH_ENDS else (-_TANH_ENDS if x < -_TANH_ENDS else x)
    s = x * x
    odd = x * (_A1 + s * (_A3 + s * (_A5 + s * (_A7 + s * (_A9 + s * (_A11 + s * _A13))))))
    return odd / (_B0 + s * (_B2 + s * (_B4 + s * _B6)))


# ---- the loss


@njit(**_FAST)
def gather(samples: Samples, chosen: np.ndarray) -> Samples:
    """Copy the chosen samples into a minibatch."""
    n, n_inputs = len(chosen), samples.observations.shape[1]
    observations, actions = np.empty((n, n_inputs), np.float32), np.empty(n, np.int64)
    values, log_probs = np.empty(n, np.float32), np.empty(n, np.float32)
    advantages, returns = np.empty(n, np.float32), np.empty(n, np.float32)
    for i in range(n):
        k = chosen[i]
        for j in range(n_inputs):
            observations[i, j] = samples.observations[k, j]
        actions[i], values[i], log_probs[i] = samples.actions[k], samples.values[k], samples.log_probs[k]
        advantages[i], returns[i] = samples.advantages[k], samples.returns[k]
    return Samples(observations, actions, values, log_probs, advantages, returns)


@njit(**_FAST)
def normalize(advantages: np.ndarray) -> None:
    """Bring a minibatch's advantages to mean 0 and deviation 1 (ddof 1); a single one stays as it is."""
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


@njit(**_FAST)
def log_softmax(logits: np.ndarray, log_shares: np.ndarray) -> None:
    """Write the log-probabilities of logits (n_actions,) into `log_shares`."""
    highest, total = logits[0], np.float32(0)
    for j in range(1, len(logits)):
        highest = max(highest, logits[j])
    for j in range(len(logits)):
        total += np.exp(logits[j] - highest)
    shift = highest + np.log(total)
    for j in range(len(logits)):
        log_shares[j] = logits[j] - shift


@njit(**_FAST)
def loss_slopes(
    logits: np.ndarray, values: np.ndarray, batch: Samples, rules: Rules, report: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of PPO's loss in the logits (n, n_actions) and in the values (n, 1); `report` gets its parts."""
    n, n_actions = logits.shape
    logit_slopes, value_slopes = np.empty((n, n_actions), np.float32), np.empty((n, 1), np.float32)
    log_shares, shares = np.empty(n_actions, np.float32), np.empty(n_actions, np.float32)
    one, each = np.float32(1), np.float32(1 / n)
    lowest, highest = np.float32(1 - rules.clip_range), np.float32(1 + rules.clip_range)
    clip, clip_vf = np.float32(rules.clip_range), np.float32(rules.clip_range_vf)
    ent_coef, vf_coef = np.float32(rules.ent_coef), np.float32(rules.vf_coef)
    policy_loss = value_loss = entropy = kl = n_clipped = np.float32(0)
    for i in range(n):
        # the policy: the smaller of the plain and the clipped gain, flat where that is the clipped one
        log_softmax(logits[i], log_shares)
        action, advantage = batch.actions[i], batch.advantages[i]
        log_ratio = log_shares[action] - batch.log_probs[i]
        ratio = np.exp(log_ratio)
        gain, clipped_gain = advantage * ratio, advantage * min(max(ratio, lowest), highest)
        slope = -each * gain
        if gain > clipped_gain:
            gain, slope = clipped_gain, np.float32(0)
        policy_loss -= gain
        n_clipped += one if abs(ratio - one) > clip else np.float32(0)
        kl += ratio - one - log_ratio
        own_entropy = np.float32(0)
        for j in range(n_actions):
            shares[j] = np.exp(log_shares[j])
            own_entropy -= shares[j] * log_shares[j]
        entropy += own_entropy
        for j in range(n_actions):
            by_entropy = ent_coef * each * shares[j] * (log_shares[j] + own_entropy)
            logit_slopes[i, j] = by_entropy - slope * shares[j]
        logit_slopes[i, action] += slope
        # the value: the squared error, flat where the change since the rollout is clipped
        change = values[i, 0] - batch.values[i]
        error, slope = values[i, 0] - batch.returns[i], np.float32(2) * vf_coef * each
        if abs(change) > clip_vf:
            error = batch.values[i] + (clip_vf if change > 0 else -clip_vf) - batch.returns[i]
            slope = np.float32(0)
        value_loss += error * error
        value_slopes[i, 0] = slope * error
    report[POLICY_LOSS], report[VALUE_LOSS] = each * policy_loss, each * value_loss
    report[ENTROPY_LOSS], report[APPROX_KL], report[CLIP_FRACTION] = -each * entropy, each * kl, n_clipped / n
    entropy_part, value_part = rules.ent_coef * report[ENTROPY_LOSS], rules.vf_coef * report[VALUE_LOSS]
    report[LOSS] = report[POLICY_LOSS] + entropy_part + value_part
    return logit_slopes, value_slopes


# ---- the step


@njit(**_FAST)
def shorten(gradient: np.ndarray, max_norm: float) -> None:
    """Scale the whole gradient to a norm of at most `max_norm`, as torch's ``clip_grad_norm_``."""
    total = np.float32(0)
    for k in range(len(gradient)):
        total += gradient[k] * gradient[k]
    scale = np.float32(max_norm) / (np.sqrt(total) + np.float32(1e-6))
    if scale < 1:
        for k in range(len(gradient)):
            gradient[k] *= scale


@njit(**_FAST)
def descend(parameters: np.ndarray, gradient: np.ndarray, adam: Adam, step: int) -> None:
    """Make Adam's `step`-th step."""
    mean, square, epsilon = adam.mean, adam.square, np.float32(adam.epsilon)
    fresh_1, kept_2, fresh_2 = (
        np.float32(1 - adam.beta_1),
        np.float32(adam.beta_2),
        np.float32(1 - adam.beta_2),
    )
    rate = np.float32(adam.learning_rate / (1 - adam.beta_1**step))
    bias_2 = np.float32(np.sqrt(1 - adam.beta_2**step))
    for k in range(len(parameters)):
        slope = gradient[k]
        mean[k] += fresh_1 * (slope - mean[k])
        square[k] = kept_2 * square[k] + fresh_2 * slope * slope
        parameters[k] -= rate * mean[k] / (np.sqrt(square[k]) / bias_2 + epsilon)
