from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from stable_baselines3.common.buffers import RolloutBuffer

from dosvotos.training import kernel
from dosvotos.training.kernel import Adam, Rules, Samples, Towers
from tests.training import twin

PLAIN = Rules(
    batch_size=8,
    clip_range=0.2,
    clip_range_vf=np.inf,
    normalize_advantage=True,
    ent_coef=0.0,
    vf_coef=0.5,
    max_grad_norm=0.5,
    target_kl=np.inf,
)


def towers_of(policy: list[int], value: list[int]) -> tuple[Towers, int]:
    """Layer tables for the given widths, and how many parameters they hold."""
    tables, place = [], 0
    for widths in (policy, value):
        rows = []
        for n_in, n_out in pairwise(widths):
            rows.append((n_in, n_out, place, place + n_in * n_out))
            place += n_in * n_out + n_out
        tables.append(np.array(rows))
    return Towers(*tables), place


def weights(n_parameters: int, seed: int, size: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=n_parameters) * size).astype(np.float32)


def samples_of(parameters: np.ndarray, towers: Towers, n: int, seed: int) -> Samples:
    """A made-up rollout of a policy that has moved on since: some ratios and values are clipped."""
    random = np.random.default_rng(seed)
    single = lambda *shape: random.normal(size=shape).astype(np.float32)  # noqa: E731
    observations = single(n, towers.policy[0, 0])
    log_shares = twin.log_softmax(twin.outputs(parameters, towers.policy, observations))
    values = twin.outputs(parameters, towers.value, observations)[:, 0]
    actions = random.integers(0, log_shares.shape[1], n)
    return Samples(
        observations=observations,
        actions=actions,
        values=(values + 0.3 * single(n)).astype(np.float32),
        log_probs=(log_shares[np.arange(n), actions] + 0.2 * single(n)).astype(np.float32),
        advantages=single(n),
        returns=(values + single(n)).astype(np.float32),
    )


def fresh_adam(n_parameters: int, learning_rate: float = 1e-3, steps: int = 0) -> Adam:
    moments = np.zeros((2, n_parameters), dtype=np.float32)
    return Adam(moments[0], moments[1], steps, learning_rate, 0.9, 0.999, 1e-5)


def order_of(n: int, n_epochs: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array([random.permutation(n) for _ in range(n_epochs)])


# ---- the update against its slow twin


@given(
    seed=st.integers(0, 2**16),
    rules=st.builds(
        Rules,
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
def test_an_update_is_that_of_finite_differences_in_double_precision(seed, rules, hidden):
    towers, n_parameters = towers_of([4, *hidden[0], 3], [4, *hidden[1], 1])
    parameters = weights(n_parameters, seed)
    samples, order = samples_of(parameters, towers, 20, seed), order_of(20, 2, seed)
    expected, losses = twin.update(parameters, towers, samples, order, rules, fresh_adam(n_parameters))
    report, _, n_steps = kernel.update(parameters, towers, samples, order, rules, fresh_adam(n_parameters))
    np.testing.assert_allclose(report[:, kernel.LOSS], losses, rtol=2e-4, atol=2e-5)
    stopped = report[-1, kernel.APPROX_KL] > 1.5 * rules.target_kl
    assert n_steps == len(losses) - stopped
    # Adam divides by the gradient's own size; where that is next to nothing, single precision knows little
    np.testing.assert_allclose(parameters, expected, atol=2e-5)


def test_adam_goes_on_from_the_moments_and_steps_it_is_given():
    towers, n_parameters = towers_of([3, 4, 3], [3, 4, 1])
    parameters = weights(n_parameters, 1)
    samples, order = samples_of(parameters, towers, 16, 1), order_of(16, 4, 1)
    whole, halves = parameters.copy(), parameters.copy()
    adam = fresh_adam(n_parameters)
    kernel.update(whole, towers, samples, order, PLAIN, adam)
    adam = fresh_adam(n_parameters)
    _, _, n_steps = kernel.update(halves, towers, samples, order[:2], PLAIN, adam)
    kernel.update(halves, towers, samples, order[2:], PLAIN, adam._replace(steps=n_steps))
    assert np.array_equal(whole, halves)
    expected, _ = twin.update(parameters, towers, samples, order, PLAIN, fresh_adam(n_parameters))
    np.testing.assert_allclose(halves, expected, atol=1e-5)


def test_each_part_of_the_report_by_hand():
    # one input of 0, no hidden layer: logits and value are the biases
    towers, n_parameters = towers_of([1, 2], [1, 1])
    parameters = np.zeros(n_parameters, dtype=np.float32)
    parameters[2:4], parameters[5] = [np.log(3), 0.0], 0.5  # probabilities 3/4 and 1/4, value 1/2
    single = lambda *values: np.array(values, dtype=np.float32)  # noqa: E731
    samples = Samples(
        observations=np.zeros((2, 1), np.float32),
        actions=np.array([0, 1]),
        values=single(0.5, 0.2),
        log_probs=np.log(single(0.5, 0.5)),  # ratios 1.5 and 0.5
        advantages=single(1.0, 1.0),
        returns=single(1.5, 1.0),
    )
    rules = PLAIN._replace(normalize_advantage=False, ent_coef=0.1, clip_range_vf=0.1)
    report, n_epochs, n_steps = kernel.update(
        parameters, towers, samples, np.array([[0, 1]]), rules, fresh_adam(n_parameters)
    )
    assert report.shape == (1, 6) and (n_epochs, n_steps) == (1, 1)
    row = report[0]
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert row[kernel.POLICY_LOSS] == pytest.approx(-(1.2 + 0.5) / 2, rel=1e-6)
    assert row[kernel.VALUE_LOSS] == pytest.approx((1.0**2 + (0.3 - 1.0) ** 2) / 2, rel=1e-6)
    assert row[kernel.ENTROPY_LOSS] == pytest.approx(-entropy, rel=1e-6)
    assert row[kernel.APPROX_KL] == pytest.approx((0.5 - np.log(1.5) - 0.5 - np.log(0.5)) / 2, rel=1e-5)
    assert row[kernel.CLIP_FRACTION] == 1.0
    parts = row[[kernel.POLICY_LOSS, kernel.ENTROPY_LOSS, kernel.VALUE_LOSS]]
    assert row[kernel.LOSS] == pytest.approx(parts @ [1.0, 0.1, 0.5], rel=1e-6)


def test_an_update_beyond_target_kl_stops_before_its_step():
    towers, n_parameters = towers_of([3, 4, 3], [3, 4, 1])
    parameters = weights(n_parameters, 2)
    samples, order = samples_of(parameters, towers, 16, 2), order_of(16, 3, 2)
    before = parameters.copy()
    rules = PLAIN._replace(target_kl=1e-9)
    report, n_epochs, n_steps = kernel.update(
        parameters, towers, samples, order, rules, fresh_adam(n_parameters)
    )
    assert (len(report), n_epochs, n_steps) == (1, 1, 0) and np.array_equal(parameters, before)


def test_the_same_update_twice_is_the_same_to_the_last_bit():
    towers, n_parameters = towers_of([15, 64, 64, 3], [15, 64, 64, 1])
    start = weights(n_parameters, 3, 0.1)
    samples, order = samples_of(start, towers, 500, 3), order_of(500, 3, 3)
    rules, ends = PLAIN._replace(batch_size=64), []
    for _ in range(2):
        parameters = start.copy()
        kernel.update(parameters, towers, samples, order, rules, fresh_adam(n_parameters))
        ends.append(parameters)
    assert np.array_equal(*ends) and not np.array_equal(ends[0], start)


@pytest.mark.parametrize("part", ["observations", "advantages", "returns", "log_probs"])
def test_nan_in_the_samples_shows_in_the_report(part):
    towers, n_parameters = towers_of([3, 9, 3], [3, 9, 1])
    parameters = weights(n_parameters, 4)
    samples = samples_of(parameters, towers, 16, 4)
    getattr(samples, part)[3] = np.nan
    report, _, _ = kernel.update(
        parameters, towers, samples, order_of(16, 1, 4), PLAIN, fresh_adam(n_parameters)
    )
    assert not np.isfinite(report).all()


# ---- acting


def test_actions_come_as_often_as_their_probabilities_say():
    towers, n_parameters = towers_of([2, 5, 4], [2, 5, 1])
    parameters = weights(n_parameters, 5)
    observation = np.array([[0.3, -1.2]], dtype=np.float32)
    n = 200_000
    uniforms = np.random.default_rng(5).random(n)
    actions, values, log_probs = kernel.act(parameters, towers, observation.repeat(n, axis=0), uniforms)
    log_shares = twin.log_softmax(twin.outputs(parameters, towers.policy, observation))[0]
    expected = n * np.exp(log_shares)
    counts = np.bincount(actions, minlength=4)
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001
    np.testing.assert_allclose(log_probs, log_shares[actions], atol=1e-6)
    value = twin.outputs(parameters, towers.value, observation)[0, 0]
    np.testing.assert_allclose(values, value, atol=1e-6)
    np.testing.assert_allclose(kernel.evaluate(parameters, towers, observation), [value], atol=1e-6)


@pytest.mark.parametrize(("uniform", "action"), [(0.0, 0), (0.2499, 0), (0.2501, 1), (0.9999999, 2)])
def test_an_action_is_where_the_uniform_falls_among_the_shares(uniform, action):
    towers, n_parameters = towers_of([1, 3], [1, 1])
    parameters = np.zeros(n_parameters, dtype=np.float32)
    parameters[3:6] = np.log([0.25, 0.5, 0.25])
    observation = np.zeros((1, 1), np.float32)
    assert kernel.act(parameters, towers, observation, np.array([uniform]))[0].tolist() == [action]


@pytest.mark.parametrize("hidden", [[], [4], [64, 64], [7, 33, 8]])
def test_outputs_are_torchs_and_the_twins(hidden):
    towers, n_parameters = towers_of([15, *hidden, 3], [15, 1])
    parameters = weights(n_parameters, 6, 0.3)
    observations = np.random.default_rng(6).normal(size=(50, 15)).astype(np.float32)
    memory = kernel.memory_for(towers.policy, 50)
    found = kernel.forward(parameters, towers.policy, observations, memory)
    np.testing.assert_allclose(found, twin.outputs(parameters, towers.policy, observations), atol=5e-6)


@njit
def _tanh_of(numbers):
    found = np.empty_like(numbers)
    for i in range(len(numbers)):
        found[i] = kernel.tanh(numbers[i])
    return found


def test_tanh_is_exact_to_single_precision_everywhere():
    numbers = np.linspace(-20, 20, 400_001).astype(np.float32)
    exact = np.tanh(numbers.astype(float))
    assert np.abs(_tanh_of(numbers) - exact).max() < 4e-7
    assert np.abs(torch.tanh(torch.from_numpy(numbers)).numpy() - exact).max() < 4e-7
    assert _tanh_of(np.array([0.0, np.inf, -np.inf], np.float32)).tolist() == pytest.approx([0, 1, -1])
    assert np.isnan(_tanh_of(np.array([np.nan], np.float32)))[0]


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
    found = kernel.advantages_of(
        buffer.rewards,
        buffer.values,
        buffer.episode_starts,
        last_values,
        dones.astype(np.float32),
        gamma,
        gae_lambda,
    )
    np.testing.assert_allclose(found, buffer.advantages, atol=2e-6)
