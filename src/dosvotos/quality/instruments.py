"""Which instrument or unit a price is of that cannot be pesos a dollar: the names for a message."""

from typing import Final

import numpy as np

_DOLLAR_IN: Final = {
    "USD/MXN": (15.0, 27.0),
    "USD/CLP": (600.0, 1_150.0),
    "USD/BRL": (3.5, 6.8),
    "USD/PEN": (3.1, 4.3),
    "EUR/USD": (0.93, 1.3),
    "GBP/USD": (1.05, 1.45),
}
"""Levels of other pairs since 2019."""
_PESOS_FOR: Final = {"EUR/COP": (0.93, 1.3), "GBP/COP": (1.05, 1.45)}
"""Levels of other currencies in pesos, over USD/COP."""
_POWERS: Final = {
    -3: "a thousandth: a thousands separator read as a decimal point, or new pesos",
    -2: "a hundredth: pesos a cent",
    -1: "a tenth",
    1: "ten times",
    2: "a hundred times: centavos, pesos for 100 dollars, or a decimal point lost",
    3: "a thousand times: a decimal point lost",
}


def name_mismatch(price: float, reference: float, tolerance: float) -> str:
    """Name what a price may be that is not near the reference, in COP per USD.

    Parameters
    ----------
    price, reference : float
        Both positive.
    tolerance : float
        Natural log within which a price has the level of another one.
    """
    names = []
    inverse = _power_of_ten(price * reference, tolerance)
    if inverse is not None:
        names.append("inverted: dollars a peso, 1 / price" + (f", x 10^{inverse}" if inverse else ""))
    power = _power_of_ten(price / reference, tolerance)
    if power:
        names.append(_POWERS.get(power, f"10^{power} times"))
    names += [f"{pair}'s level" for pair, (low, high) in _DOLLAR_IN.items() if low <= price <= high]
    ratio = price / reference
    names += [f"{pair}'s level" for pair, (low, high) in _PESOS_FOR.items() if low <= ratio <= high]
    return "; or ".join(names) or "another pair, or another unit"


def _power_of_ten(ratio: float, tolerance: float) -> int | None:
    """Return the power of ten that a ratio is within a tolerance, if any."""
    power = np.log10(ratio)
    nearest = int(np.rint(power))
    return nearest if abs(power - nearest) * np.log(10) <= tolerance else None
