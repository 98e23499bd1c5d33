"""Random draws of one day each, so that no value depends on where a simulation begins or ends."""

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import numpy as np

_STREAMS: Final = {"session": 1, "daily": 2, "monthly": 3, "quarterly": 4, "policy": 5, "rates": 6}
_GRID: Final = np.geomspace(1e-6, 1e6, 20_001)


class Student(NamedTuple):
    """Student's t, bounded at `t_limit` and scaled to unit variance."""

    t_dof: float
    t_limit: float


def generators(seed: int, stream: str, days: np.ndarray) -> Iterator[np.random.Generator]:
    """Yield one generator a day (``datetime64``), seeded by that day alone; months count by their first."""
    for day in days.astype("datetime64[D]").astype(int):
        yield np.random.default_rng([seed, _STREAMS[stream], day])


def unit_student(raw: np.ndarray, law: Student) -> np.ndarray:
    """Bound raw draws of ``standard_t(t_dof)`` and scale them to unit variance."""
    return np.asarray(np.clip(raw, -law.t_limit, law.t_limit) / _bounded_std(law))


def student_draws(seed: int, stream: str, days: np.ndarray, n_draws: int, law: Student) -> np.ndarray:
    """Bounded Student draws of unit variance, shape (n_days, n_draws)."""
    raw = [rng.standard_t(law.t_dof, n_draws) for rng in generators(seed, stream, days)]
    return unit_student(np.array(raw), law)


@cache
def _bounded_std(law: Student) -> float:
    """Of a Student variable bounded at the limit, by its density on a wide grid."""
    density = (1 + _GRID**2 / law.t_dof) ** (-(law.t_dof + 1) / 2)
    square = np.minimum(_GRID, law.t_limit) ** 2
    return float(np.sqrt(np.trapezoid(square * density, _GRID) / np.trapezoid(density, _GRID)))
