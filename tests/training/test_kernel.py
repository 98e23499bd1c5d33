from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer

from dosvotos.training import kernel
from dosvotos.training.kernel import AdamState, Networks, PPOSettings, RolloutSamples
from tests.training import reference_ppo

SETTINGS = PPOSettings(
    batch_size=8,
    clip_range=0.2,
    clip_range_vf=np.inf,
    normalize_advantage=True,
    ent_coef=0.0,
    vf_coef=0.5,
    max_grad_norm=0.5,
    target_kl=np.inf,
)


def networks_of(policy: list[int], value: list[int]) -> tuple[Networks, int]:
    """Return layer tables for the given widths, and the number of parameters."""
    tables, offset = [], 0
    for widths in (policy, value):
        rows = []
        for n_in, n_out in pairwise(widths):
            rows.append((n_in, n_out, offset, offset + n_in * n_out))
            offset += n_in * n_out + n_out
        tables.append(np.array(rows))
    return Networks(*tables), offset


def weights(n_parameters: int, seed: int, size: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=n_parameters) * size).astype(np.float32)


def samples_of(parameters: np.ndarray, networks: Networks, n: int, seed: int) -> RolloutSamples:
    """Draw a rollout of a policy that has changed since, so that some ratios and values are clipped."""
    random = np.random.default_rng(seed)
    single = lambda *shape: random.normal(size=shape).astype(np.float32)  # noqa: E731
    observations = single(n, networks.policy[0, 0])
    all_log_probs = reference_ppo.log_softmax(
        reference_ppo.outputs(parameters, networks.policy, observations)
    )
    values = reference_ppo.outputs(parameters, networks.value, observations)[:, 0]
    actions = random.integers(0, all_log_probs.shape[1], n)
    return RolloutSamples(
        observations=observations,
        actions=actions,
        old_values=(values + 0.3 * single(n)).astype(np.float32),
        old_log_probs=(all_log_probs[np.arange(n), actions] + 0.2 * single(n)).astype(np.float32),
        advantages=single(n),
        returns=(values + single(n)).astype(np.float32),
    )


def fresh_adam(n_parameters: int, learning_rate: float = 1e-3, step: int = 0) -> AdamState:
    moments = np.zeros((2, n_parameters), dtype=np.float32)
    return AdamState(moments[0], moments[1], step, learning_rate, 0.9, 0.999, 1e-5)


def order_of(n: int, n_epochs: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array([random.permutation(n) for _ in range(n_epochs)])


# ---- the update against the slow reference


@given(
    seed=st.integers(0, 2**16),
    ppo_settings=st.builds(
        PPOSettings,
        batch_size=st.sampled_from([5, 8, 20, 64]),
        clip_range=st.sampled_from([0.05, 0.2]),
        clip_range_vf=st.sampled_from([np.inf, 0.1, 0.5]),
        normalize_advantage=st.booleans(),
        ent_coef=st.sampled_from([0.0, 0.05]),
        vf_coef=st.sampled_from([0.0, 0.5, 1.0]),
        max_grad_norm=st.sampled_from([0.1, 0.5, 100.0]),
        target_kl=st.sampled_from([np.inf, 0.05]),
    ),
    hidden=st.sampled_from([([], []), ([3], [9]), ([9], [4, 3]), ([4, 9], [9])]),
)
@settings(max_examples=12, deadline=None)
def test_an_update_is_that_of_finite_differences_in_double_precision(seed, ppo_settings, hidden):
    networks, n_parameters = networks_of([4, *hidden[0], 3], [4, *hidden[1], 1])
    parameters = weights(n_parameters, seed)
    samples, order = samples_of(parameters, networks, 20, seed), order_of(20, 2, seed)
    expected, losses = reference_ppo.update(
        parameters, networks, samples, order, ppo_settings, fresh_adam(n_parameters)
    )
    metrics, _, n_steps = kernel.update(
        parameters, networks, samples, order, ppo_settings, fresh_adam(n_parameters)
    )
    np.testing.assert_allclose(metrics[:, kernel.LOSS], losses, rtol=2e-4, atol=2e-5)
    stopped = metrics[-1, kernel.APPROX_KL] > 1.5 * ppo_settings.target_kl
    assert n_steps == len(losses) - stopped
    # Adam divides by the gradient's own size; where that is next to nothing, single precision knows little
    np.testing.assert_allclose(parameters, expected, atol=2e-5)


def test_adam_goes_on_from_the_moments_and_steps_it_is_given():
    networks, n_parameters = networks_of([3, 4, 3], [3, 4, 1])
    parameters = weights(n_parameters, 1)
    samples, order = samples_of(parameters, networks, 16, 1), order_of(16, 4, 1)
    whole, halves = parameters.copy(), parameters.copy()
    adam = fresh_adam(n_parameters)
    kernel.update(whole, networks, samples, order, SETTINGS, adam)
    adam = fresh_adam(n_parameters)
    _, _, n_steps = kernel.update(halves, networks, samples, order[:2], SETTINGS, adam)
    kernel.update(halves, networks, samples, order[2:], SETTINGS, adam._replace(step=n_steps))
    assert np.array_equal(whole, halves)
    expected, _ = reference_ppo.update(
        parameters, networks, samples, order, SETTINGS, fresh_adam(n_parameters)
    )
    np.testing.assert_allclose(halves, expected, atol=1e-5)


def test_each_metric_by_hand():
    # one input of 0, no hidden layer: logits and value are the biases
    networks, n_parameters = networks_of([1, 2], [1, 1])
    parameters = np.zeros(n_parameters, dtype=np.float32)
    parameters[2:4], parameters[5] = [np.log(3), 0.0], 0.5  # probabilities 3/4 and 1/4, value 1/2
    single = lambda *values: np.array(values, dtype=np.float32)  # noqa: E731
    samples = RolloutSamples(
        observations=np.zeros((2, 1), np.float32),
        actions=np.array([0, 1]),
        old_values=single(0.5, 0.2),
        old_log_probs=np.log(single(0.5, 0.5)),  # ratios 1.5 and 0.5
        advantages=single(1.0, 1.0),
        returns=single(1.5, 1.0),
    )
    ppo_settings = SETTINGS._replace(normalize_advantage=False, ent_coef=0.1, clip_range_vf=0.1)
    metrics, n_epochs, n_steps = kernel.update(
        parameters, networks, samples, np.array([[0, 1]]), ppo_settings, fresh_adam(n_parameters)
    )
    assert metrics.shape == (1, 6) and (n_epochs, n_steps) == (1, 1)
    row = metrics[0]
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert row[kernel.POLICY_LOSS] == pytest.approx(-(1.2 + 0.5) / 2, rel=1e-6)
    assert row[kernel.VALUE_LOSS] == pytest.approx((1.0**2 + (0.3 - 1.0) ** 2) / 2, rel=1e-6)
    assert row[kernel.ENTROPY_LOSS] == pytest.approx(-entropy, rel=1e-6)
    assert row[kernel.APPROX_KL] == pytest.approx((0.5 - np.log(1.5) - 0.5 - np.log(0.5)) / 2, rel=1e-5)
    assert row[kernel.CLIP_FRACTION] == 1.0
    parts = row[[kernel.POLICY_LOSS, kernel.ENTROPY_LOSS, kernel.VALUE_LOSS]]
    assert row[kernel.LOSS] == pytest.approx(parts @ [1.0, 0.1, 0.5], rel=1e-6)


def test_an_update_beyond_target_kl_stops_before_its_step():
    networks, n_parameters = networks_of([3, 4, 3], [3, 4, 1])
    parameters = weights(n_parameters, 2)
    samples, order = samples_of(parameters, networks, 16, 2), order_of(16, 3, 2)
    before = parameters.copy()
    ppo_settings = SETTINGS._replace(target_kl=1e-9)
    metrics, n_epochs, n_steps = kernel.update(
        parameters, networks, samples, order, ppo_settings, fresh_adam(n_parameters)
    )
    assert (len(metrics), n_epochs, n_steps) == (1, 1, 0) and np.array_equal(parameters, before)


def test_the_same_update_twice_is_the_same_to_the_last_bit():
    networks, n_parameters = networks_of([15, 64, 64, 3], [15, 64, 64, 1])
    start = weights(n_parameters, 3, 0.1)
    samples, order = samples_of(start, networks, 500, 3), order_of(500, 3, 3)
    ppo_settings, ends = SETTINGS._replace(batch_size=64), []
    for _ in range(2):
        parameters = start.copy()
        kernel.update(parameters, networks, samples, order, ppo_settings, fresh_adam(n_parameters))
        ends.append(parameters)
    assert np.array_equal(*ends) and not np.array_equal(ends[0], start)


@pytest.mark.parametrize("part", ["observations", "advantages", "returns", "old_log_probs"])
def test_nan_in_the_samples_shows_in_the_report(part):
    networks, n_parameters = networks_of([3, 9, 3], [3, 9, 1])
    parameters = weights(n_parameters, 4)
    samples = samples_of(parameters, networks, 16, 4)
    getattr(samples, part)[3] = np.nan
    metrics, _, _ = kernel.update(
        parameters, networks, samples, order_of(16, 1, 4), SETTINGS, fresh_adam(n_parameters)
    )
    assert not np.isfinite(metrics).all()


# ---- acting


def test_actions_come_as_often_as_their_probabilities_say():
    networks, n_parameters = networks_of([2, 5, 4], [2, 5, 1])
    parameters = weights(n_parameters, 5)
    observation = np.array([[0.3, -1.2]], dtype=np.float32)
    n = 200_000
    uniforms = np.random.default_rng(5).random(n)
    actions, values, log_probs = kernel.act(parameters, networks, observation.repeat(n, axis=0), uniforms)
    all_log_probs = reference_ppo.log_softmax(
        reference_ppo.outputs(parameters, networks.policy, observation)
    )[0]
    expected = n * np.exp(all_log_probs)
    counts = np.bincount(actions, minlength=4)
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001
    np.testing.assert_allclose(log_probs, all_log_probs[actions], atol=1e-6)
    value = reference_ppo.outputs(parameters, networks.value, observation)[0, 0]
    np.testing.assert_allclose(values, value, atol=1e-6)
    np.testing.assert_allclose(kernel.evaluate(parameters, networks, observation), [value], atol=1e-6)


@pytest.mark.parametrize(("uniform", "action"), [(0.0, 0), (0.2499, 0), (0.2501, 1), (0.9999999, 2)])
def test_an_action_is_where_the_uniform_falls_among_the_probabilities(uniform, action):
    networks, n_parameters = networks_of([1, 3], [1, 1])
    parameters = np.zeros(n_parameters, dtype=np.float32)
    parameters[3:6] = np.log([0.25, 0.5, 0.25])
    observation = np.zeros((1, 1), np.float32)
    assert kernel.act(parameters, networks, observation, np.array([uniform]))[0].tolist() == [action]


@pytest.mark.parametrize("hidden", [[], [4], [64, 64], [7, 33, 8]])
def test_outputs_are_those_of_the_double_precision_reference(hidden):
    networks, n_parameters = networks_of([15, *hidden, 3], [15, 1])
    parameters = weights(n_parameters, 6, 0.3)
    observations = np.random.default_rng(6).normal(size=(50, 15)).astype(np.float32)
    activations = kernel.allocate_activations(networks.policy, 50)
    found = kernel.forward(parameters, networks.policy, observations, activations)
    np.testing.assert_allclose(
        found, reference_ppo.outputs(parameters, networks.policy, observations), atol=5e-6
    )


# ---- advantages


@given(
    seed=st.integers(0, 99), gamma=st.sampled_from([0.0, 0.9, 1.0]), gae_lambda=st.sampled_from([0, 0.95, 1])
)
@settings(max_examples=20, deadline=None)
def test_advantages_are_those_of_sb3s_buffer(seed, gamma, gae_lambda):
    random, box = np.random.default_rng(seed), spaces.Box(-1, 1, (2,))
    buffer = RolloutBuffer(12, box, spaces.Discrete(3), "cpu", gae_lambda, gamma, n_envs=3)
    buffer.rewards[:] = random.normal(size=(12, 3))
    buffer.values[:] = random.normal(size=(12, 3))
    buffer.episode_starts[:] = random.random((12, 3)) < 0.2
    last_values = random.normal(size=3).astype(np.float32)
    dones = random.random(3) < 0.5
    buffer.compute_returns_and_advantage(torch.from_numpy(last_values), dones)
    found = kernel.compute_advantages(
        kernel.Rollout(
            buffer.rewards, buffer.values, buffer.episode_starts, last_values, dones.astype(np.float32)
        ),
        gamma,
        gae_lambda,
    )
    np.testing.assert_allclose(found, buffer.advantages, atol=2e-6)
