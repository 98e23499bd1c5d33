"""Policies with random weights, as tests of the policy, the backtest and the training need them."""

import numpy as np

from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS, ServedPolicy


def norm_stats(seed: int = 0) -> NormStats:
    random = np.random.default_rng(seed)
    return NormStats(
        features=MARKET_FEATURES,
        mean=tuple(random.normal(0, 2, len(MARKET_FEATURES)).tolist()),
        std=tuple(random.uniform(0.5, 3, len(MARKET_FEATURES)).tolist()),
    )


def random_policy(seed: int = 0, hidden: tuple[int, ...] = (16, 8), scale: float = 1.0) -> ServedPolicy:
    random = np.random.default_rng(seed)
    widths = (len(FEATURE_ORDER), *hidden, len(TARGETS))
    names = [*(f"hidden.{layer}" for layer in range(len(hidden))), "action"]
    tensors = {}
    for name, inputs, outputs in zip(names, widths, widths[1:], strict=False):
        tensors[f"{name}.weight"] = random.normal(0, scale / np.sqrt(inputs), (outputs, inputs)).astype("f4")
        tensors[f"{name}.bias"] = random.normal(0, scale / 4, outputs).astype("f4")
    return ServedPolicy(tensors, norm_stats(seed))


def random_observations(n_rows: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.column_stack(
        [
            random.normal(0, 2, (n_rows, 13)).clip(-5, 5),
            random.integers(-1, 2, n_rows),
            random.integers(0, 60, n_rows) / 59,
        ]
    )
