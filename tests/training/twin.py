"""PPO's update, slowly: the loss in plain NumPy and double precision, its slope by finite differences.

Nothing is derived by hand here and nothing shared with the kernel but its description of a network.
"""

import numpy as np

from dosvotos.training.kernel import Adam, Rules, Samples, Towers

_STEP = 1e-6


def outputs(parameters: np.ndarray, tower: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """A tanh network with a linear last layer."""
    for n_in, n_out, weight, bias in tower[:-1]:
        matrix = parameters[weight : weight + n_in * n_out].reshape(n_out, n_in)
        inputs = np.tanh(inputs @ matrix.T + parameters[bias : bias + n_out])
    n_in, n_out, weight, bias = tower[-1]
    matrix = parameters[weight : weight + n_in * n_out].reshape(n_out, n_in)
    return inputs @ matrix.T + parameters[bias : bias + n_out]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def loss(parameters: np.ndarray, towers: Towers, batch: Samples, rules: Rules) -> float:
    """PPO's loss as the paper and SB3 write it."""
    log_shares = log_softmax(outputs(parameters, towers.policy, batch.observations))
    values = outputs(parameters, towers.value, batch.observations)[:, 0]
    log_probs = log_shares[np.arange(len(batch.actions)), batch.actions]
    advantages = batch.advantages
    if rules.normalize_advantage and len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
    ratio = np.exp(log_probs - batch.log_probs)
    clipped = np.clip(ratio, 1 - rules.clip_range, 1 + rules.clip_range)
    policy_loss = -np.minimum(advantages * ratio, advantages * clipped).mean()
    entropy = -(np.exp(log_shares) * log_shares).sum(axis=1).mean()
    change = np.clip(values - batch.values, -rules.clip_range_vf, rules.clip_range_vf)
    value_loss = ((batch.values + change - batch.returns) ** 2).mean()
    return policy_loss - rules.ent_coef * entropy + rules.vf_coef * value_loss


def approx_kl(parameters: np.ndarray, towers: Towers, batch: Samples) -> float:
    log_shares = log_softmax(outputs(parameters, towers.policy, batch.observations))
    log_ratio = log_shares[np.arange(len(batch.actions)), batch.actions] - batch.log_probs
    return float((np.exp(log_ratio) - 1 - log_ratio).mean())


def slope(parameters: np.ndarray, towers: Towers, batch: Samples, rules: Rules) -> np.ndarray:
    """The loss's slope in each parameter, by central differences."""
    found = np.empty_like(parameters)
    for k in range(len(parameters)):
        here = parameters[k]
        parameters[k] = here + _STEP
        above = loss(parameters, towers, batch, rules)
        parameters[k] = here - _STEP
        found[k] = (above - loss(parameters, towers, batch, rules)) / (2 * _STEP)
        parameters[k] = here
    return found


def update(
    parameters: np.ndarray, towers: Towers, samples: Samples, order: np.ndarray, rules: Rules, adam: Adam
) -> tuple[np.ndarray, list[float]]:
    """Parameters after the update, and each minibatch's loss before its step."""
    parameters = parameters.astype(float)
    mean, square, step = adam.mean.astype(float), adam.square.astype(float), adam.steps
    double = Samples(*(a if a.dtype == np.int64 else a.astype(float) for a in samples))
    losses = []
    for epoch in order:
        for first in range(0, len(epoch), rules.batch_size):
            batch = Samples(*(a[epoch[first : first + rules.batch_size]] for a in double))
            losses.append(loss(parameters, towers, batch, rules))
            if approx_kl(parameters, towers, batch) > 1.5 * rules.target_kl:
                return parameters, losses
            gradient = slope(parameters, towers, batch, rules)
            gradient *= min(1.0, rules.max_grad_norm / (np.linalg.norm(gradient) + 1e-6))
            step += 1
            mean = adam.beta_1 * mean + (1 - adam.beta_1) * gradient
            square = adam.beta_2 * square + (1 - adam.beta_2) * gradient**2
            unbiased = mean / (1 - adam.beta_1**step), square / (1 - adam.beta_2**step)
            parameters -= adam.learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + adam.epsilon)
    return parameters, losses
