"""PPO's update, slowly: the loss in NumPy and double precision, its gradients by finite differences.

It shares nothing with the kernel but the records that describe networks, samples and settings.
"""

import numpy as np

from dosvotos.training.kernel import AdamState, Networks, PPOSettings, RolloutSamples

_STEP = 1e-6


def outputs(parameters: np.ndarray, tower: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Compute the outputs of a tanh network with a linear last layer."""
    for n_in, n_out, weight, bias in tower[:-1]:
        matrix = parameters[weight : weight + n_in * n_out].reshape(n_out, n_in)
        inputs = np.tanh(inputs @ matrix.T + parameters[bias : bias + n_out])
    n_in, n_out, weight, bias = tower[-1]
    matrix = parameters[weight : weight + n_in * n_out].reshape(n_out, n_in)
    return inputs @ matrix.T + parameters[bias : bias + n_out]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def loss(parameters: np.ndarray, networks: Networks, batch: RolloutSamples, settings: PPOSettings) -> float:
    """Compute PPO's loss as the paper and SB3 write it."""
    all_log_probs = log_softmax(outputs(parameters, networks.policy, batch.observations))
    values = outputs(parameters, networks.value, batch.observations)[:, 0]
    log_probs = all_log_probs[np.arange(len(batch.actions)), batch.actions]
    advantages = batch.advantages
    if settings.normalize_advantage and len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
    ratio = np.exp(log_probs - batch.old_log_probs)
    clipped = np.clip(ratio, 1 - settings.clip_range, 1 + settings.clip_range)
    policy_loss = -np.minimum(advantages * ratio, advantages * clipped).mean()
    entropy = -(np.exp(all_log_probs) * all_log_probs).sum(axis=1).mean()
    change = np.clip(values - batch.old_values, -settings.clip_range_vf, settings.clip_range_vf)
    value_loss = ((batch.old_values + change - batch.returns) ** 2).mean()
    return policy_loss - settings.ent_coef * entropy + settings.vf_coef * value_loss


def approx_kl(parameters: np.ndarray, networks: Networks, batch: RolloutSamples) -> float:
    all_log_probs = log_softmax(outputs(parameters, networks.policy, batch.observations))
    log_ratio = all_log_probs[np.arange(len(batch.actions)), batch.actions] - batch.old_log_probs
    return float((np.exp(log_ratio) - 1 - log_ratio).mean())


def finite_difference_gradients(
    parameters: np.ndarray, networks: Networks, batch: RolloutSamples, settings: PPOSettings
) -> np.ndarray:
    """Estimate the loss's gradient of each parameter by central differences."""
    gradients = np.empty_like(parameters)
    for k in range(len(parameters)):
        value = parameters[k]
        parameters[k] = value + _STEP
        above = loss(parameters, networks, batch, settings)
        parameters[k] = value - _STEP
        gradients[k] = (above - loss(parameters, networks, batch, settings)) / (2 * _STEP)
        parameters[k] = value
    return gradients


def update(
    parameters: np.ndarray,
    networks: Networks,
    samples: RolloutSamples,
    order: np.ndarray,
    settings: PPOSettings,
    adam: AdamState,
) -> tuple[np.ndarray, list[float]]:
    """Return the parameters after the update, and each minibatch's loss before its step."""
    parameters = parameters.astype(float)
    exp_avg, exp_avg_sq, step = adam.exp_avg.astype(float), adam.exp_avg_sq.astype(float), adam.step
    double = RolloutSamples(*(a if a.dtype == np.int64 else a.astype(float) for a in samples))
    losses = []
    for epoch in order:
        for start in range(0, len(epoch), settings.batch_size):
            batch = RolloutSamples(*(a[epoch[start : start + settings.batch_size]] for a in double))
            losses.append(loss(parameters, networks, batch, settings))
            if approx_kl(parameters, networks, batch) > 1.5 * settings.target_kl:
                return parameters, losses
            gradients = finite_difference_gradients(parameters, networks, batch, settings)
            gradients *= min(1.0, settings.max_grad_norm / (np.linalg.norm(gradients) + 1e-6))
            step += 1
            exp_avg = adam.beta_1 * exp_avg + (1 - adam.beta_1) * gradients
            exp_avg_sq = adam.beta_2 * exp_avg_sq + (1 - adam.beta_2) * gradients**2
            unbiased = exp_avg / (1 - adam.beta_1**step), exp_avg_sq / (1 - adam.beta_2**step)
            parameters -= adam.learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + adam.eps)
    return parameters, losses
