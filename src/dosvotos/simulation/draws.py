"""Random draws with a generator a day, so that no value depends on where a simulation begins or ends."""

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import numpy as np

_STREAMS: Final = {"session": 1, "daily": 2, "monthly": 3, "quarterly": 4, "policy": 5, "rates": 6}
_GRID: Final = np.geomspace(1e-6, 1e6, 20_001)


class StudentT(NamedTuple):
    """Student's t distribution, clipped at +-`t_limit` and scaled to unit variance."""

    t_dof: float
    t_limit: float


def daily_generators(seed: int, stream: str, days: np.ndarray) -> Iterator[np.random.Generator]:
    """Yield a generator for each day (``datetime64``), seeded by that day; a month by its first."""
    for day in days.astype("datetime64[D]").astype(int):
        yield np.random.default_rng([seed, _STREAMS[stream], day])


def standardize(raw: np.ndarray, distribution: StudentT) -> np.ndarray:
    """Clip raw draws of ``standard_t(t_dof)`` and scale them to unit variance."""
    return np.asarray(np.clip(raw, -distribution.t_limit, distribution.t_limit) / _clipped_std(distribution))


def draw_student_t(seed: int, stream: str, days: np.ndarray, size: int, distribution: StudentT) -> np.ndarray:
    """Draw from a `StudentT` for each day, shape (n_days, size)."""
    raw = [rng.standard_t(distribution.t_dof, size) for rng in daily_generators(seed, stream, days)]
    return standardize(np.array(raw), distribution)


@cache
def _clipped_std(distribution: StudentT) -> float:
    """Standard deviation of the clipped variable, integrated on a wide grid."""
    density = (1 + _GRID**2 / distribution.t_dof) ** (-(distribution.t_dof + 1) / 2)
    square = np.minimum(_GRID, distribution.t_limit) ** 2
    return float(np.sqrt(np.trapezoid(square * density, _GRID) / np.trapezoid(density, _GRID)))
