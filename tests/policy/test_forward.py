import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.errors import BundleError
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS, ServedPolicy
from tests.policy.policies import norm_stats, random_observations, random_policy


def torch_twin(policy: ServedPolicy, dtype: torch.dtype) -> torch.nn.Sequential:
    """The same network built by torch."""
    layers: list[torch.nn.Module] = []
    names = [n.removesuffix(".weight") for n in sorted(policy.tensors) if n.endswith(".weight")]
    for name in [n for n in names if n.startswith("hidden")] + ["action"]:
        weight, bias = (torch.tensor(policy.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1]).to(dtype)


@given(
    seed=st.integers(0, 2**16),
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    scale=st.sampled_from([0.1, 1.0, 5.0]),
)
@settings(max_examples=40, deadline=None)
def test_logits_and_probabilities_equal_torch_in_double_precision(seed: int, hidden: list[int], scale: float):
    policy = random_policy(seed, tuple(hidden), scale)
    observations = random_observations(50, seed)
    with torch.no_grad():
        logits = torch_twin(policy, torch.float64)(torch.tensor(observations))
        shares = torch.softmax(logits, dim=1)
    np.testing.assert_allclose(policy.logits(observations), logits.numpy(), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(policy.probabilities(observations), shares.numpy(), rtol=1e-9, atol=1e-12)


def test_single_precision_decides_alike_where_two_targets_are_not_nearly_equal():
    policy, observations = random_policy(3, (64, 64)), random_observations(2000, 3)
    with torch.no_grad():
        single = torch_twin(policy, torch.float32)(torch.tensor(observations, dtype=torch.float32)).numpy()
    double = policy.logits(observations)
    assert np.abs(single - double).max() < 1e-5
    ranked = np.sort(double, axis=1)
    clear = ranked[:, 2] - ranked[:, 1] > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(single.argmax(axis=1)[clear], double.argmax(axis=1)[clear])


def test_logits_by_hand():
    # one hidden unit that sees the position only: tanh(2 x position), then its triple, its negative and 0.5
    weight = np.zeros((1, 15), dtype="f4")
    weight[0, FEATURE_ORDER.index("position")] = 2.0
    tensors = {
        "hidden.0.weight": weight,
        "hidden.0.bias": np.zeros(1, dtype="f4"),
        "action.weight": np.array([[3.0], [-1.0], [0.0]], dtype="f4"),
        "action.bias": np.array([0.0, 0.0, 0.5], dtype="f4"),
    }
    policy = ServedPolicy(tensors, norm_stats())
    observation = np.zeros((2, 15))
    observation[:, FEATURE_ORDER.index("position")] = [1.0, -1.0]
    bend = np.tanh(2.0)
    np.testing.assert_allclose(
        policy.logits(observation), [[3 * bend, -bend, 0.5], [-3 * bend, bend, 0.5]], rtol=1e-15
    )


@given(seed=st.integers(0, 999), scale=st.sampled_from([0.0, 1.0, 1e4]))
@settings(max_examples=30, deadline=None)
def test_probabilities_lie_in_zero_to_one_and_sum_to_one(seed: int, scale: float):
    shares = random_policy(seed, scale=scale).probabilities(random_observations(40, seed))
    assert ((shares >= 0) & (shares <= 1)).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)


def test_the_most_probable_target_is_the_one_with_the_greatest_logit():
    policy, observations = random_policy(1), random_observations(500, 1)
    assert np.array_equal(
        policy.logits(observations).argmax(axis=1), policy.probabilities(observations).argmax(axis=1)
    )
    assert TARGETS == (-1, 0, 1)


def test_one_bar_alone_gets_the_answer_it_gets_in_a_batch():
    policy, observations = random_policy(2, (64, 64)), random_observations(300, 2)
    alone = np.concatenate([policy.logits(row[None, :]) for row in observations])
    np.testing.assert_allclose(alone, policy.logits(observations), rtol=0, atol=1e-12)


@pytest.mark.parametrize("column", [0, 6, 13, 14])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gap_or_an_infinity_is_refused_never_guessed(column: int, bad: float):
    observations = random_observations(5)
    observations[3, column] = bad
    for ask in (random_policy().logits, random_policy().probabilities):
        with pytest.raises(BundleError, match="finite"):
            ask(observations)


def test_an_observation_is_the_normalised_features_the_position_and_the_clock():
    policy = random_policy(4)
    raw = np.random.default_rng(4).normal(0, 20, (6, 13))
    positions, times = np.array([-1, 0, 1, 1, 0, -1.0]), np.linspace(0, 1, 6)
    observations = policy.observe(raw, positions, times)
    stats = policy.norm_stats
    expected = ((raw - np.array(stats.mean)) / np.array(stats.std)).clip(-5, 5)
    np.testing.assert_allclose(observations[:, :13], expected, rtol=1e-12)
    assert observations[:, FEATURE_ORDER.index("position")].tolist() == positions.tolist()
    assert observations[:, FEATURE_ORDER.index("time_normalized")].tolist() == times.tolist()
    assert FEATURE_ORDER[:13] == MARKET_FEATURES


def test_a_missing_feature_stays_missing_up_to_the_refusal():
    policy = random_policy()
    raw = np.zeros((1, 13))
    raw[0, 5] = np.nan
    with pytest.raises(BundleError):
        policy.logits(policy.observe(raw, np.zeros(1), np.zeros(1)))


def test_no_rows_give_no_answers():
    assert random_policy().logits(np.empty((0, 15))).shape == (0, 3)


def test_the_model_hash_covers_every_bit_name_and_shape_of_the_tensors_and_nothing_else():
    policy = random_policy(5)
    reordered = ServedPolicy(dict(reversed(policy.tensors.items())), norm_stats(9))
    assert reordered.model_hash == policy.model_hash and len(policy.model_hash) == 64
    big_endian = {name: t.astype(">f4") for name, t in policy.tensors.items()}
    assert ServedPolicy(big_endian, policy.norm_stats).model_hash == policy.model_hash
    for name, tensor in policy.tensors.items():
        bits = tensor.copy()
        bits.reshape(-1).view(np.uint32)[-1] ^= 1
        assert ServedPolicy({**policy.tensors, name: bits}, policy.norm_stats).model_hash != policy.model_hash
        flat = {**policy.tensors, name: tensor.reshape(1, *tensor.shape)}
        assert ServedPolicy(flat, policy.norm_stats).model_hash != policy.model_hash
    renamed = {("x" + name): tensor for name, tensor in policy.tensors.items()}
    assert ServedPolicy(renamed, policy.norm_stats).model_hash != policy.model_hash


def test_statistics_of_another_train_are_another_observation():
    raw = np.ones((1, 13))
    one, other = (ServedPolicy(random_policy().tensors, norm_stats(seed)) for seed in (0, 1))
    assert isinstance(one.norm_stats, NormStats)
    assert not np.allclose(one.observe(raw, [0], [0]), other.observe(raw, [0], [0]))
