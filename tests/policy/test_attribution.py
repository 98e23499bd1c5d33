"""Attribution adds up to what it explains, and finds what a policy reads."""

import numpy as np
import pytest

from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.market.normalization import NormStats
from dosvotos.policy.attribution import attribute_long_over_short
from dosvotos.policy.forward import ServedPolicy

STATS = NormStats(features=MARKET_FEATURES, mean=(0.0,) * 13, std=(1.0,) * 13)
N_FEATURES = len(FEATURE_ORDER)


def network(*hidden: int, seed: int = 0) -> ServedPolicy:
    random, tensors, width = np.random.default_rng(seed), {}, N_FEATURES
    for i, size in enumerate(hidden):
        tensors[f"hidden.{i}.weight"] = random.normal(0, 0.5, (size, width)).astype(np.float32)
        tensors[f"hidden.{i}.bias"] = random.normal(0, 0.5, size).astype(np.float32)
        width = size
    tensors["action.weight"] = random.normal(0, 1, (3, width)).astype(np.float32)
    tensors["action.bias"] = random.normal(0, 1, 3).astype(np.float32)
    return ServedPolicy(tensors, STATS)


def lean(policy: ServedPolicy, observations: np.ndarray) -> np.ndarray:
    logits = policy.logits(observations)
    return logits[:, 2] - logits[:, 0]


@pytest.mark.parametrize("hidden", [(), (16,), (64, 64)])
def test_the_shares_add_up_to_the_lean_less_the_baseline_s(hidden):
    policy, observations = network(*hidden), np.random.default_rng(1).normal(size=(50, N_FEATURES))
    shares = attribute_long_over_short(policy, observations, n_steps=256)
    expected = lean(policy, observations) - lean(policy, np.zeros((1, N_FEATURES)))
    assert shares.sum(axis=1) == pytest.approx(expected, abs=1e-3)


def test_of_a_linear_policy_a_share_is_weight_times_value():
    policy, observations = network(), np.random.default_rng(1).normal(size=(5, N_FEATURES))
    weight = policy.tensors["action.weight"].astype(float)
    shares = attribute_long_over_short(policy, observations, n_steps=1)
    assert shares == pytest.approx(observations * (weight[2] - weight[0]))


def test_a_feature_that_no_weight_reads_has_no_share():
    policy = network(8)
    policy.tensors["hidden.0.weight"][:, 3] = 0
    shares = attribute_long_over_short(policy, np.ones((4, N_FEATURES)))
    assert (shares[:, 3] == 0).all() and (shares[:, 4] != 0).all()
