"""Logarithms that are the same on every machine, and computed several at a time.

A C library's logarithm may differ from another's in the last bit, and features are hashed. This is fdlibm's:
sums, products and one quotient, each rounded as IEEE 754 says, so that nothing is left to choose.
"""

import numpy as np

from dosvotos.compiled import njit

BLOCK = 512
"""Numbers a call may take."""

_LOW_HALF = np.uint64(0x3FE6A09E00000000)  # the bits of sqrt(1/2), to 20 of the fraction's
_TO_ONE = np.uint64(0x3FF0000000000000 - 0x3FE6A09E00000000)
_FRACTION, _FRACTION_BITS = np.uint64(0x000FFFFFFFFFFFFF), np.uint64(52)
_TWO_52_BITS = np.uint64(0x4330000000000000)
_TWO_52_AND_BIAS = 2.0**52 + 1023
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_L1, _L2, _L3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
_L4, _L5, _L6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
_L7 = 1.479819860511658591e-01


@njit(error_model="numpy")
def room_for_logs() -> np.ndarray:
    """What `logarithms` works in."""
    return np.empty((2, BLOCK))


@njit(error_model="numpy")
def logarithms(
    numbers: np.ndarray,
    start: int,
    stop: int,
    room: np.ndarray,
    found: np.ndarray,
) -> None:
    """Write the natural logarithms of at most 512 numbers, within one unit of the last place.

    Parameters
    ----------
    numbers : ndarray of float64
        Those from `start` to before `stop` are taken: positive, finite and not denormal.
    start, stop : int
    room : from `room_for_logs`
    found : ndarray of float64, at least as long

    Notes
    -----
    A number is 2**k times 1 + f, between sqrt(1/2) and sqrt(2); the series is in f / (2 + f).
    """
    bits, fractions, powers = numbers.view(np.uint64), room[0].view(np.uint64), room[1].view(np.uint64)
    for i in range(stop - start):
        shifted = bits[start + i] + _TO_ONE
        fractions[i] = (shifted & _FRACTION) + _LOW_HALF
        powers[i] = (shifted >> _FRACTION_BITS) | _TWO_52_BITS  # the bits of 2**52 + 1023 + k
    for i in range(stop - start):
        k, f = room[1, i] - _TWO_52_AND_BIAS, room[0, i] - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        rest = z * (_L1 + w * (_L3 + w * (_L5 + w * _L7))) + w * (_L2 + w * (_L4 + w * _L6))
        half = 0.5 * f * f
        found[i] = k * _LN2_HIGH - ((half - (s * (half + rest) + k * _LN2_LOW)) - f)
