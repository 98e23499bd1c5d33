"""The features' logarithm against the machine's widest floats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosvotos.market.logarithm import BLOCK, logarithms, room_for_logs


def logs(numbers: np.ndarray) -> np.ndarray:
    found = np.empty(len(numbers))
    for start in range(0, len(numbers), BLOCK):
        stop = min(start + BLOCK, len(numbers))
        logarithms(numbers, start, stop, room_for_logs(), found[start:])
    return found


@pytest.mark.parametrize(("low", "high"), [(-708.0, 709.0), (-0.5, 0.5), (-1e-9, 1e-9), (8.0, 8.6)])
def test_a_logarithm_is_within_one_unit_of_its_last_place(low: float, high: float):
    numbers = np.exp(np.random.default_rng(1).uniform(low, high, 20_000))
    exact = np.log(numbers.astype(np.longdouble))
    found = logs(numbers)
    assert (np.abs(found - exact) <= np.spacing(np.abs(found))).all()


def test_edges_of_the_range_and_powers_of_two():
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
