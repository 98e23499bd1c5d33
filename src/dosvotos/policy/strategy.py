"""A strategy of one's own: a function of the features, or a file of targets. L4 judges it, nobody serves it.

Its source is read once: what was hashed is what runs, and from its sealed copy whenever it is judged again.
"""

import importlib.abc
import importlib.util
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.errors import FileError, StrategyError
from dosvotos.files import read_regular_file
from dosvotos.hashing import digest_bytes, short
from dosvotos.policy.bundle import CONFIG, REWARD_CONFIG, contract_files, parse_config
from dosvotos.policy.forward import TARGETS
from dosvotos.sealed import open_sealed, seal, write_sealed

SEEN: Final = (*MARKET_FEATURES, "time_normalized")
"""What the function is given of each bar, as known at the bar's close."""
MAX_BYTES: Final = 32 * 1024 * 1024
_PREFIXES: Final = 32
"""How often the function is asked again with fewer bars; no target of theirs may move."""

TargetFunction = Callable[[pd.DataFrame], Any]


@dataclass(frozen=True)
class Strategy:
    """A strategy's source and configuration; it is no model bundle and cannot be served."""

    folder: Path
    manifest_hash: str
    """Of source and configuration."""
    files: dict[str, bytes] = field(repr=False)
    """``config.yaml``, ``reward_config.json``, and the source or the targets' file."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """The frozen parameters of the contract it is judged under; raises BundleError without them."""
        return parse_config(self.files.get(CONFIG, b""), self.folder)

    def seal(self) -> None:
        """Write the sealed copy, over a damaged one."""
        write_sealed(self.folder, self.files)

    @property
    def reference(self) -> str:
        """Its ``candidate.targets``."""
        return str(self.config["candidate"]["targets"])

    @property
    def source_name(self) -> str:
        """The name of the source or of the targets' file."""
        (name,) = self.files.keys() - {CONFIG, REWARD_CONFIG}
        return name

    @property
    def content(self) -> bytes:
        """The bytes of the source or of the targets' file."""
        return self.files[self.source_name]

    @property
    def is_code(self) -> bool:
        """Whether it is a function, which runs, and no file of targets."""
        return ":" in self.reference

    @property
    def model_hash(self) -> str:
        """SHA-256 of `content`."""
        return digest_bytes(self.content)

    def targets(self, rows: pd.DataFrame) -> np.ndarray:
        """Give the target of every bar, starting flat.

        Parameters
        ----------
        rows : DataFrame of shape (n_bars, ...)
            Index bar open (UTC): at least `SEEN`, raw.

        Returns
        -------
        ndarray of shape (n_bars,), int8
            -1, 0 or 1. A bar with a missing feature, and one whose target is NaN, leave the target unchanged.

        Raises
        ------
        StrategyError
            If the function fails, gives other values, or another target once later bars are known.
        """
        decided = self.decide(rows)
        if self.is_code:
            self._check_prefixes(rows, decided)
        decided[rows[list(MARKET_FEATURES)].isna().any(axis=1).to_numpy()] = np.nan
        return pd.Series(decided).ffill().fillna(0.0).to_numpy(np.int8)

    def decide(self, rows: pd.DataFrame) -> np.ndarray:
        """Give what function or file says of every bar, shape (n_bars,), float: -1, 0, 1, or NaN for none."""
        if not self.is_code:
            return _targets_in_file(self.reference, self.content, pd.DatetimeIndex(rows.index))
        try:
            answer = self._function()(rows[list(SEEN)].copy())
        except StrategyError:
            raise
        except Exception as error:
            raise self._problem(f"fails on {len(rows):,} bars: {type(error).__name__}: {error}") from error
        return self._checked(answer, rows)

    def _function(self) -> TargetFunction:
        """Run the source as a module of its own, so that nothing is kept from an earlier call."""
        name = self.reference.partition(":")[2]
        try:
            found = getattr(_run_module(self.content, self.model_hash, self.folder), name)
        except Exception as error:
            raise self._problem(f"cannot be imported: {type(error).__name__}: {error}") from error
        if not callable(found):
            raise self._problem(f"must be a function of the features, was {found!r}")
        function: TargetFunction = found
        return function

    def _checked(self, answer: Any, rows: pd.DataFrame) -> np.ndarray:
        if isinstance(answer, pd.Series) and not answer.index.equals(rows.index):
            raise self._problem("must give a target a bar, indexed like the features; its index differs")
        try:
            decided = np.array(answer, dtype=float)
        except (TypeError, ValueError) as error:
            raise self._problem(f"must give numbers: {error}") from error
        if decided.shape != (len(rows),):
            raise self._problem(f"must give {len(rows):,} targets, one a bar, gave shape {decided.shape}")
        _refuse_other_values(self.reference, decided)
        return decided

    def _check_prefixes(self, rows: pd.DataFrame, decided: np.ndarray) -> None:
        """Ask again as if the bars ended earlier: a function that looks ahead gives other targets then."""
        lengths = np.random.default_rng(0).integers(1, max(2, len(rows)), _PREFIXES)
        for length in sorted({*lengths.tolist()} - {len(rows)}):
            known = self.decide(rows.iloc[:length])
            moved = ~((known == decided[:length]) | (np.isnan(known) & np.isnan(decided[:length])))
            if moved.any():
                bar = int(np.argmax(moved))
                raise self._problem(
                    f"sees the future: at {rows.index[bar]:%Y-%m-%d %H:%M} UTC its target is {known[bar]:g} "
                    f"when bars to {rows.index[length - 1]:%Y-%m-%d %H:%M} are known, {decided[bar]:g} with "
                    "the later ones"
                )

    def _problem(self, what: str) -> StrategyError:
        return StrategyError(f"candidate.targets {self.reference}: {what}")


def read_strategy(parent: Path, contract: ExperimentContract) -> Strategy:
    """Read the source of a contract's own strategy in the project; `seal` writes its copy below `parent`.

    Raises
    ------
    StrategyError
        If the contract states none, or there is no such module or file, or it is larger than 32 MiB.
    """
    candidate = contract.parameters.candidate
    if candidate is None:
        raise StrategyError(
            f"{contract.contract_id}: states no candidate.targets; name a strategy there "
            "(docs/own_strategy.md)"
        )
    reference = candidate.targets
    path = find_source(reference, contract.experiment_name)
    try:
        content = read_regular_file(path, MAX_BYTES)
    except FileError as error:
        raise StrategyError(f"candidate.targets {reference}: {error}") from error
    return make_strategy(parent, contract, path.name, content)


def make_strategy(parent: Path, contract: ExperimentContract, name: str, content: bytes) -> Strategy:
    """Take a source, or a targets' file, for a contract's strategy; `seal` writes its copy below `parent`."""
    files = {**contract_files(contract), name: content}
    manifest_hash, _ = seal(files)
    return Strategy(parent / manifest_hash, manifest_hash, files)


def open_strategy(folder: Path, manifest_hash: str) -> Strategy:
    """Read a sealed copy and verify every byte of it; raises LineageError."""
    return Strategy(folder, manifest_hash, open_sealed(folder, manifest_hash))


def find_source(reference: str, experiment: str) -> Path:
    """Find the file behind ``candidate.targets``, from the project's root.

    A module is looked for in the experiment's own folder, then in src/, then among installed packages.

    Raises
    ------
    StrategyError
    """
    module, is_function, _ = reference.partition(":")
    if not is_function:
        return Path(reference)
    own = Path(*module.split(".")).with_suffix(".py")
    for path in (Path("conf") / experiment / own, Path("src") / own):
        if path.is_file():
            return path
    try:
        found = importlib.util.find_spec(module)
    except Exception as error:  # of a package above it, which is imported first, may come anything
        raise _no_module(reference, experiment, own) from error
    if found is None or not str(found.origin).endswith(".py"):
        raise _no_module(reference, experiment, own)
    return Path(str(found.origin))


def _no_module(reference: str, experiment: str, own: Path) -> StrategyError:
    return StrategyError(
        f"candidate.targets {reference}: no source; looked for conf/{experiment}/{own}, src/{own} and an "
        "installed package of that name"
    )


class _SourceOf(importlib.abc.SourceLoader):
    """Runs the bytes it is given, whatever has become of the file they were read from."""

    def __init__(self, content: bytes, path: str) -> None:
        self._content, self._path = content, path

    def get_data(self, path: str | bytes) -> bytes:
        return self._content

    def get_filename(self, fullname: str) -> str:
        return self._path


def _run_module(content: bytes, model_hash: str, folder: Path) -> Any:
    name = f"own_strategy_{short(model_hash)}"
    spec = importlib.util.spec_from_loader(name, _SourceOf(content, str(folder / f"{name}.py")))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a dataclass of the module looks for what its annotations name
    spec.loader.exec_module(module)
    return module


def _targets_in_file(reference: str, content: bytes, times: pd.DatetimeIndex) -> np.ndarray:
    what = f"candidate.targets {reference}"
    try:
        if reference.endswith(".parquet"):
            table = pd.read_parquet(io.BytesIO(content))
        else:
            table = pd.read_csv(io.BytesIO(content))
        target = table["target"].to_numpy(float)
        bars = _bar_times(what, table["bar"])
    except (KeyError, ValueError) as error:
        raise StrategyError(f"{what}: needs the columns bar and target: {error}; name them so") from error
    if not bars.is_unique:
        raise StrategyError(
            f"{what}: each bar once; {bars[bars.duplicated()][0]} stands there twice; keep one"
        )
    _refuse_other_values(reference, target)
    if not bars.isin(times).any():
        raise StrategyError(
            f"{what}: holds no bar of {times[0]} to {times[-1]}, the window it is judged on; write those bars"
        )
    return pd.Series(target, bars).reindex(times).to_numpy(copy=True)


def _bar_times(what: str, column: pd.Series) -> pd.DatetimeIndex:
    """Read bar opens; those without a zone are refused."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(column).tz_convert("UTC")
    texts = column.astype(str)
    without = ~texts.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$")
    if without.any():
        raise StrategyError(
            f"{what}: bar needs its zone, as 2025-07-01T13:00:00Z, was {texts[without].iloc[0]}; write it so"
        )
    return pd.DatetimeIndex(pd.to_datetime(texts, utc=True, format="ISO8601"))


def _refuse_other_values(reference: str, targets: np.ndarray) -> None:
    other = targets[~(np.isin(targets, TARGETS) | np.isnan(targets))]
    if len(other):
        raise StrategyError(
            f"candidate.targets {reference}: a target is -1, 0 or 1, or NaN to keep the one before; "
            f"{len(other):,} are not, the first is {other[0]:g}; give one of them"
        )
