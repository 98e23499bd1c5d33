"""How windows are resampled; in a module of its own, since scipy's statistics are slow to import."""

from typing import NamedTuple


class Bootstrap(NamedTuple):
    """Draws of the stationary bootstrap."""

    replications: int
    seed: int
