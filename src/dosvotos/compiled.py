"""Numba's compiler with a cache that is invalidated when any compiled source changes.

Numba invalidates a cached function when its own file changes, but not when another file does whose functions
or constants are compiled into it: after an update it would go on with the old ones. The cache folder is
therefore named by a hash of all these files.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
from numba.core import config

SOURCES: Final = (
    "backtest/simulate.py",
    "contracts/features.py",
    "market/accounting.py",
    "market/alignment.py",
    "market/features/definition.py",
    "market/features/inputs.py",
    "market/features/kernel.py",
    "numerics.py",
    "policy/forward.py",
    "policy/strategy.py",
    "training/episodes.py",
    "training/kernel.py",
)
"""Files with compiled functions, and files whose constants they use."""

_PACKAGE = Path(__file__).parent
F = TypeVar("F", bound=Callable[..., Any])


def njit(**options: Any) -> Callable[[F], F]:
    """Compile as ``numba.njit(cache=True)`` does, its cache beside the sources or in NUMBA_CACHE_DIR."""

    def compiled(function: F) -> F:
        chosen = config.CACHE_DIR
        config.CACHE_DIR = str(Path(chosen or _PACKAGE / "__pycache__") / _CACHE)
        try:
            return cast(F, numba.njit(cache=True, **options)(function))
        finally:
            config.CACHE_DIR = chosen

    return compiled


def _digest() -> str:
    content = hashlib.sha256()
    for name in SOURCES:
        content.update((_PACKAGE / name).read_bytes())
    return content.hexdigest()[:12]


_CACHE: Final = f"compiled-{_digest()}"
