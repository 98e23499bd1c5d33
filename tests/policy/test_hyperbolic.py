"""The served policy's hyperbolic tangent, with mpmath and NumPy as oracles."""

import mpmath
import numpy as np

from dosvotos.policy.hyperbolic import tanh_in_place


def tanh(numbers):
    found = np.array(numbers, dtype=float)
    tanh_in_place(found)
    return found


def test_it_is_the_tangent_to_fifty_digits_rounded():
    numbers = np.random.default_rng(0).normal(0, 3, 2_000)
    with mpmath.workdps(50):
        truth = [float(mpmath.tanh(mpmath.mpf(x))) for x in numbers.tolist()]
    assert np.abs(tanh(numbers) - truth).max() <= 4e-16


def test_it_is_numpys_from_the_smallest_number_to_infinity():
    sizes = np.concatenate(
        [[0.0], np.geomspace(5e-324, 1.7e308, 100_001), np.linspace(0, 25, 100_001), [np.inf]]
    )
    numbers = np.concatenate([-sizes, sizes])
    with np.errstate(all="raise", under="ignore"):  # an overflow on the way is none of the caller's
        assert np.abs(tanh(numbers) - np.tanh(numbers)).max() <= 4e-16


def test_it_is_odd_never_falls_and_stays_within_one():
    numbers = np.linspace(0, 22, 500_001)
    found = tanh(numbers)
    assert np.array_equal(tanh(-numbers), -found)
    assert np.diff(found).min() >= -4e-16 and found.max() == 1.0


def test_a_number_s_tangent_does_not_depend_on_its_neighbours_or_its_place():
    numbers = np.random.default_rng(1).normal(0, 2, (700, 3))
    alone = [tanh([x])[0] for x in numbers.ravel()]
    assert np.array_equal(tanh(numbers).ravel(), alone)


def test_what_is_no_number_stays_none():
    assert np.isnan(tanh([1.0, np.nan, 2.0])).tolist() == [False, True, False]
