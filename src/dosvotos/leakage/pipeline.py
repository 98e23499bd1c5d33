"""What is put under test: features of a history, and the rows a model is trained and judged on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import DataError
from dosvotos.market.features import MarketHistory
from dosvotos.market.splits import splits_of

BARS: Final = "bars"
CLOCK: Final = "clock"
"""Inputs beside the macro variables: the prices, and the labels of the bars."""
OWN_TOLERANCE: Final = 1e-9
"""Share of a feature's standard deviation that own code may differ by: sums in another order are no leak."""

FeatureFunction = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]


class Dataset(NamedTuple):
    """What a model is given, by split in time order; frames of floats, index bar open (UTC)."""

    rows: Mapping[str, pd.DataFrame]
    """As computed. The first split is the one statistics may be taken from."""
    scaled: Mapping[str, pd.DataFrame]
    """As the model sees them."""
    norm_stats: pd.DataFrame
    """One row a feature; columns such as mean and std."""


@dataclass(frozen=True)
class Pipeline:
    """Code under test.

    Attributes
    ----------
    name : str
    features : callable of (bars, macro) to DataFrame
        Bars as `MarketHistory.bars`, macro as `MarketHistory.macro`. A row a bar, floats, NaN where missing.
        It must be a function of its arguments alone.
    dataset : callable of DataFrame to Dataset, optional
        Splits and scales the features of a whole history.
    embargo_sessions : int
        Scheduled sessions that must lie between two splits.
    inputs : mapping of feature to names, optional
        What each feature is allowed to react to, and must: ``bars``, ``clock`` or variables. A feature
        declared here without ``bars`` is a function of what is known at its bar's close alone. Features that
        are absent are only described, not held to it.
    tolerance : float
        Share of a feature's standard deviation that counts as equal; 0 is bit for bit.
    """

    name: str
    features: FeatureFunction
    dataset: Callable[[pd.DataFrame], Dataset] | None = None
    embargo_sessions: int = 0
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tolerance: float = 0.0


class Computed(NamedTuple):
    """Features of one history."""

    times: pd.DatetimeIndex
    """Bar opens, UTC."""
    names: tuple[str, ...]
    values: np.ndarray
    """Of shape (n_bars, n_features)."""
    invented: pd.DatetimeIndex
    """Rows delivered for which there is no bar."""

    def frame(self) -> pd.DataFrame:
        """The values with their labels."""
        return pd.DataFrame(self.values, self.times, list(self.names))


def compute(pipeline: Pipeline, history: MarketHistory, names: tuple[str, ...] | None = None) -> Computed:
    """Run the features on copies of a history; columns as `names` if given, absent ones all NaN.

    Raises
    ------
    DataError
        If the code raises, or does not deliver one row of numbers a bar.
    """
    where = f"features {pipeline.name} on {len(history.bars):,} bars"
    try:
        frame = pipeline.features(history.bars.copy(), history.macro.copy())
    except Exception as error:
        raise DataError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(frame, pd.DataFrame) or not isinstance(frame.index, pd.DatetimeIndex):
        raise DataError(f"{where}: must return a DataFrame indexed like the bars, was {type(frame).__name__}")
    if frame.index.tz is None or not frame.index.is_unique or not frame.columns.is_unique:
        raise DataError(f"{where}: rows need unique, timezone-aware labels and columns unique names")
    times = pd.DatetimeIndex(history.bars.index)
    kept = tuple(map(str, frame.columns)) if names is None else names
    aligned = frame.set_axis(list(map(str, frame.columns)), axis=1).reindex(times).reindex(columns=list(kept))
    try:
        values = aligned.to_numpy(float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: columns must be numbers: {error}") from error
    return Computed(times, kept, values, frame.index.difference(times))


def own_pipeline(
    name: str, features: FeatureFunction, parameters: Parameters, tolerance: float = OWN_TOLERANCE
) -> Pipeline:
    """Own features with the experiment's splits, normalised by mean and standard deviation over train.

    Parameters
    ----------
    name : str
    features : callable of (bars, macro) to DataFrame
    parameters : Parameters
        A contract's: the test's end is settled.
    tolerance : float
    """
    splits = splits_of(parameters)

    def dataset(frame: pd.DataFrame) -> Dataset:
        rows = {part: split.take(frame) for part, split in splits.items()}
        train = rows["train"].dropna()
        stats = pd.DataFrame({"mean": train.mean(), "std": train.std(ddof=1)})
        scaled = {part: (taken - stats["mean"]) / stats["std"] for part, taken in rows.items()}
        return Dataset(rows, scaled, stats)

    embargo = parameters.splits.embargo_sessions
    return Pipeline(name, features, dataset, embargo, tolerance=tolerance)
