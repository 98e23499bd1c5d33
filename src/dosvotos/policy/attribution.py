"""Which features a policy's decisions rest on."""

import numpy as np

from dosvotos.policy.forward import TARGETS, ServedPolicy

_LONG, _SHORT = TARGETS.index(1), TARGETS.index(-1)


def attribute_long_over_short(
    policy: ServedPolicy, observations: np.ndarray, n_steps: int = 64
) -> np.ndarray:
    """Share out among features how much a policy leans to long over short.

    Parameters
    ----------
    policy : ServedPolicy
    observations : ndarray of shape (n, 15)
        As `ServedPolicy.observe` builds them, without NaN.
    n_steps : int
        Points of the path from the baseline; more are more exact.

    Returns
    -------
    ndarray of shape (n, 15)
        In units of the logits. A row sums to the logit of long less that of short, less the same at the
        baseline: every market feature at train's mean, flat, at 08:00.

    Notes
    -----
    Integrated gradients (Sundararajan, Taly and Yan, 2017), by the midpoint rule. Exact in one step for a
    linear policy. It explains the network and not the market: of two features that say the same, training
    chose one.
    """
    gradients = np.zeros_like(observations)
    for step in range(n_steps):
        gradients += _gradient(policy, observations * ((step + 0.5) / n_steps))
    attributed: np.ndarray = observations * gradients / n_steps
    return attributed


def _gradient(policy: ServedPolicy, observations: np.ndarray) -> np.ndarray:
    """Compute the gradient of the logit of long less that of short, shape (n, 15)."""
    *hidden, (action, _) = policy.layers
    activations = [observations]
    for weight, bias in hidden:
        activations.append(np.tanh(activations[-1] @ weight.T + bias))
    gradient = np.tile(action[_LONG] - action[_SHORT], (len(observations), 1))
    for (weight, _), activation in zip(reversed(hidden), reversed(activations[1:]), strict=True):
        gradient = (gradient * (1 - activation**2)) @ weight
    return gradient
