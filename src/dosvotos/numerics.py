"""Elementary functions that compiled code shares: float64 log and tanh, float32 tanh.

The float64 functions give the same bits on every machine, because what follows from them is hashed: they are
fdlibm's sums, products and one quotient, each rounded as IEEE 754 says. They work in blocks, so that LLVM
computes several numbers at a time.
"""

import numpy as np

from dosvotos.compiled import njit

FAST_MATH = {
    "no_cfunc_wrapper": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}
"""Options of `njit` for float32 kernels: sums may be reordered and fused, NaN and infinity stay."""

BLOCK = 512
"""The most numbers that one call of `logarithms` takes."""

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_FRACTION_BITS = np.uint64(52)

_SQRT_HALF = np.uint64(0x3FE6A09E00000000)  # the bits of sqrt(1/2), to 20 of the fraction's
_ONE_MINUS_SQRT_HALF = np.uint64(0x3FF0000000000000 - 0x3FE6A09E00000000)  # a difference of bits
_FRACTION = np.uint64(0x000FFFFFFFFFFFFF)
_TWO_52_BITS = np.uint64(0x4330000000000000)
_TWO_52_AND_BIAS = 2.0**52 + 1023
_L1, _L2, _L3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
_L4, _L5, _L6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
_L7 = 1.479819860511658591e-01

_SATURATED = 20.0  # beyond it tanh is 1 in float64
_LOG2_E = 1.44269504088896338700
_TO_INTEGER = 1.5 * 2.0**52  # added to a number, it leaves the nearest integer in the last bits
_BIAS = np.uint64(1023)
_P1, _P2, _P3 = 1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05
_P4, _P5 = -1.65339022054652515390e-06, 4.13813679705723846039e-08

_A1, _A3 = np.float32(4.89352455891786e-03), np.float32(6.37261928875436e-04)
_A5, _A7 = np.float32(1.48572235717979e-05), np.float32(5.12229709037114e-08)
_A9, _A11 = np.float32(-8.60467152213735e-11), np.float32(2.00018790482477e-13)
_A13 = np.float32(-2.76076847742355e-16)
_B0, _B2 = np.float32(4.89352518554385e-03), np.float32(2.26843463243900e-03)
_B4, _B6 = np.float32(1.18534705686654e-04), np.float32(1.19825839466702e-06)
_SATURATED_FLOAT32 = np.float32(7.90531110763549805)


@njit(error_model="numpy")
def log_workspace() -> np.ndarray:
    """Allocate the scratch array that `logarithms` works in."""
    return np.empty((2, BLOCK))


@njit(error_model="numpy")
def logarithms(numbers: np.ndarray, start: int, stop: int, workspace: np.ndarray, out: np.ndarray) -> None:
    """Write the natural logarithms of ``numbers[start:stop]`` to the beginning of `out`.

    Parameters
    ----------
    numbers : ndarray of float64
        Those taken are positive, finite and not denormal.
    start, stop : int
        At most `BLOCK` apart.
    workspace : ndarray
        From `log_workspace`.
    out : ndarray of float64, of at least ``stop - start`` numbers

    Notes
    -----
    fdlibm's ``e_log.c``; the error is below one unit in the last place. A number is ``2**k (1 + f)`` with
    ``1 + f`` between sqrt(1/2) and sqrt(2); the series is in ``s = f / (2 + f)``.
    """
    bits = numbers.view(np.uint64)
    fractions, powers = workspace[0].view(np.uint64), workspace[1].view(np.uint64)
    for i in range(stop - start):
        shifted = bits[start + i] + _ONE_MINUS_SQRT_HALF
        fractions[i] = (shifted & _FRACTION) + _SQRT_HALF
        powers[i] = (shifted >> _FRACTION_BITS) | _TWO_52_BITS  # the bits of 2**52 + 1023 + k
    for i in range(stop - start):
        k, f = workspace[1, i] - _TWO_52_AND_BIAS, workspace[0, i] - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        rest = z * (_L1 + w * (_L3 + w * (_L5 + w * _L7))) + w * (_L2 + w * (_L4 + w * _L6))
        half = 0.5 * f * f
        out[i] = k * _LN2_HIGH - ((half - (s * (half + rest) + k * _LN2_LOW)) - f)


@njit(error_model="numpy")
def tanh_in_place(numbers: np.ndarray) -> None:
    """Replace numbers by their hyperbolic tangents; NaN stays NaN.

    Parameters
    ----------
    numbers : ndarray of float64, of any shape, contiguous

    Notes
    -----
    fdlibm's ``e_exp.c``; the error is at most 4e-16. With ``-2 |x| = k ln 2 + r`` and fdlibm's ``c(r)``,
    ``exp(r)`` is ``(2 + 2r - c) / (2 - c)``, so that the tangent ``(1 - e) / (1 + e)`` of ``e = 2**k exp(r)``
    needs no other quotient than its own. NumPy's tanh takes six times as long without AVX-512, and its last
    bit depends on the processor.
    """
    flat = numbers.reshape(numbers.size)
    powers, rests = np.empty(BLOCK), np.empty(BLOCK)
    bits = powers.view(np.uint64)
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        for i in range(len(block)):
            size = abs(block[i])
            exponent = -2.0 * (_SATURATED if size > _SATURATED else size)
            powers[i] = exponent * _LOG2_E + _TO_INTEGER
            k = powers[i] - _TO_INTEGER
            rests[i] = (exponent - k * _LN2_HIGH) - k * _LN2_LOW
        for i in range(len(block)):
            bits[i] = (bits[i] + _BIAS) << _FRACTION_BITS  # of 2**k
        for i in range(len(block)):
            r = rests[i]
            q = r * r
            c = r - q * (_P1 + q * (_P2 + q * (_P3 + q * (_P4 + q * _P5))))
            below, above = 2.0 - c, powers[i] * ((2.0 + 2.0 * r) - c)
            tangent = (below - above) / (below + above)
            block[i] = tangent if block[i] >= 0.0 else -tangent


@njit(**FAST_MATH)
def tanh_float32(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent of a float32; NaN stays NaN.

    Notes
    -----
    Eigen's rational function (``generic_fast_tanh_float``); the error is at most 4e-7. It calls nothing, so
    that loops around it vectorise.
    """
    high = _SATURATED_FLOAT32
    x = high if x > high else (-high if x < -high else x)
    s = x * x
    odd = x * (_A1 + s * (_A3 + s * (_A5 + s * (_A7 + s * (_A9 + s * (_A11 + s * _A13))))))
    return odd / (_B0 + s * (_B2 + s * (_B4 + s * _B6)))
