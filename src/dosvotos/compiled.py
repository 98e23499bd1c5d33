"""Numba's compiler with a cache that is invalidated when any compiled source changes.

Numba invalidates a cached function when its own file changes, but not when another file does whose functions
or constants are compiled into it: after an update it would go on with the old ones. The cache folder is
therefore named by a hash of all these files.

Numba is imported when a compiled function is called for the first time: that takes a third of a second, and
most commands call none before they answer.
"""

import hashlib
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import Any, Final, TypeVar, cast

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
        return cast(F, Compiled(function, options))

    return compiled


class Compiled:
    """A function that is compiled, or read from the cache, when it is first called.

    Parameters
    ----------
    function : callable
        Of a module; the compiled functions that it calls are names of the same module.
    options : dict
        Of ``numba.njit``.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._function, self._options = function, options
        self._made: Any = None
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        return (self._made or self.dispatcher)(*arguments)

    @property
    def dispatcher(self) -> Any:
        """Numba's own object."""
        if self._made is None:
            self._made = self._make()
            self._put_into_module()
        return self._made

    def _make(self) -> Any:
        import numba
        from numba.core import config

        chosen = config.CACHE_DIR
        config.CACHE_DIR = str(Path(chosen or _PACKAGE / "__pycache__") / _CACHE)
        try:
            return numba.njit(cache=True, **self._options)(self._function)
        finally:
            config.CACHE_DIR = chosen

    def _put_into_module(self) -> None:
        """Let the function find Numba's objects under its module's names: it can call no others."""
        names = self._function.__globals__
        for name, value in list(names.items()):
            if isinstance(value, Compiled):
                names[name] = value.dispatcher


def _digest() -> str:
    content = hashlib.sha256()
    for name in SOURCES:
        content.update((_PACKAGE / name).read_bytes())
    return content.hexdigest()[:12]


_CACHE: Final = f"compiled-{_digest()}"
