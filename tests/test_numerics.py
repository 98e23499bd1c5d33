"""Log and tanh against mpmath, NumPy, torch and the machine's widest floats."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from dosvotos.numerics import BLOCK, log_workspace, logarithms, tanh_float32, tanh_in_place


def logs(numbers: np.ndarray) -> np.ndarray:
    out = np.empty(len(numbers))
    for start in range(0, len(numbers), BLOCK):
        stop = min(start + BLOCK, len(numbers))
        logarithms(numbers, start, stop, log_workspace(), out[start:])
    return out


def tanh(numbers: np.ndarray | list[float]) -> np.ndarray:
    out = np.array(numbers, dtype=float)
    tanh_in_place(out)
    return out


_tanh = tanh_float32.dispatcher


@njit
def tanh_float32_of(numbers):
    out = np.empty_like(numbers)
    for i in range(len(numbers)):
        out[i] = _tanh(numbers[i])
    return out


# ---- log, float64


@pytest.mark.parametrize(("low", "high"), [(-708.0, 709.0), (-0.5, 0.5), (-1e-9, 1e-9), (8.0, 8.6)])
def test_a_logarithm_is_within_one_unit_of_its_last_place(low: float, high: float):
    numbers = np.exp(np.random.default_rng(1).uniform(low, high, 20_000))
    exact = np.log(numbers.astype(np.longdouble))
    computed = logs(numbers)
    assert (np.abs(computed - exact) <= np.spacing(np.abs(computed))).all()


def test_logarithms_of_the_range_s_ends_and_of_powers_of_two_are_numpy_s():
    numbers = np.array(
        [1.0, 2.0, 0.5, np.finfo(float).tiny, np.finfo(float).max, np.e, *2.0 ** np.arange(99)]
    )
    np.testing.assert_array_max_ulp(logs(numbers), np.log(numbers), maxulp=1)
    assert logs(np.ones(1))[0] == 0.0


@given(st.integers(1, BLOCK), st.integers(0, 2**16))
def test_a_number_s_logarithm_does_not_depend_on_its_neighbours(n: int, seed: int):
    numbers = np.exp(np.random.default_rng(seed).uniform(-5, 9, n))
    alone = np.array([logs(numbers[i : i + 1])[0] for i in range(0, n, 37)])
    np.testing.assert_array_equal(logs(numbers)[::37], alone)


# ---- tanh, float64


def test_tanh_is_the_tangent_to_fifty_digits_rounded():
    numbers = np.random.default_rng(0).normal(0, 3, 2_000)
    with mpmath.workdps(50):
        exact = [float(mpmath.tanh(mpmath.mpf(x))) for x in numbers.tolist()]
    assert np.abs(tanh(numbers) - exact).max() <= 4e-16


def test_tanh_is_numpy_s_from_the_smallest_number_to_infinity():
    sizes = np.concatenate(
        [[0.0], np.geomspace(5e-324, 1.7e308, 100_001), np.linspace(0, 25, 100_001), [np.inf]]
    )
    numbers = np.concatenate([-sizes, sizes])
    with np.errstate(all="raise", under="ignore"):  # an overflow on the way is none of the caller's
        assert np.abs(tanh(numbers) - np.tanh(numbers)).max() <= 4e-16


def test_tanh_is_odd_never_falls_and_stays_within_one():
    numbers = np.linspace(0, 22, 500_001)
    tangents = tanh(numbers)
    assert np.array_equal(tanh(-numbers), -tangents)
    assert np.diff(tangents).min() >= -4e-16 and tangents.max() == 1.0


def test_a_number_s_tangent_does_not_depend_on_its_neighbours_or_its_index():
    numbers = np.random.default_rng(1).normal(0, 2, (700, 3))
    alone = [tanh([x])[0] for x in numbers.ravel()]
    assert np.array_equal(tanh(numbers).ravel(), alone)


def test_the_tangent_of_nan_is_nan():
    assert np.isnan(tanh([1.0, np.nan, 2.0])).tolist() == [False, True, False]


# ---- tanh, float32


def test_float32_tanh_is_exact_to_single_precision_everywhere():
    numbers = np.linspace(-20, 20, 400_001).astype(np.float32)
    exact = np.tanh(numbers.astype(float))
    assert np.abs(tanh_float32_of(numbers) - exact).max() < 4e-7
    assert np.abs(torch.tanh(torch.from_numpy(numbers)).numpy() - exact).max() < 4e-7
    assert tanh_float32_of(np.array([0.0, np.inf, -np.inf], np.float32)).tolist() == pytest.approx([0, 1, -1])
    assert np.isnan(tanh_float32_of(np.array([np.nan], np.float32)))[0]
