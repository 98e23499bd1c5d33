"""The code under test: features of a history, and the rows a model is trained and tested on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import CalendarParams, Parameters
from dosvotos.errors import DataError
from dosvotos.market.calendar import REGULAR
from dosvotos.market.features import MarketHistory
from dosvotos.market.splits import splits_of

BARS: Final = "bars"
CLOCK: Final = "clock"
"""Inputs beside the macro variables: the prices, and the times of the bars."""
ROUNDING_TOLERANCE: Final = 1e-9
"""Share of a feature's standard deviation that counts as rounding: sums in another order are no leak."""

FeatureFunction = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]


class Dataset(NamedTuple):
    """What a model is given, by split in time order; frames of floats, index bar open (UTC)."""

    rows: Mapping[str, pd.DataFrame]
    """Features as computed. The first split is the one statistics may be taken from."""
    scaled: Mapping[str, pd.DataFrame]
    """Features as the model sees them."""
    norm_stats: pd.DataFrame
    """One row a feature; columns such as mean and std."""


class Features(NamedTuple):
    """Features of one history."""

    times: pd.DatetimeIndex
    """Bar opens, UTC."""
    names: tuple[str, ...]
    values: np.ndarray
    """Of shape (n_bars, n_features); NaN where missing."""
    extra_times: pd.DatetimeIndex
    """Rows that the code returned though there is no bar."""

    def frame(self) -> pd.DataFrame:
        """Return the values by time and name."""
        return pd.DataFrame(self.values, self.times, list(self.names))


@dataclass(frozen=True)
class FeaturePipeline:
    """Code under test.

    Attributes
    ----------
    name : str
    features : callable of (bars, macro) to DataFrame
        Bars as `MarketHistory.bars`, macro as `MarketHistory.macro`. One row a bar, floats, NaN where
        missing. It must be a function of its arguments alone.
    dataset : callable of DataFrame to Dataset, optional
        Splits and scales the features of a whole history.
    embargo_sessions : int
        Scheduled sessions that must lie between two splits.
    inputs : mapping of feature to names, optional
        The inputs that each feature must react to, and no others: ``bars``, ``clock`` or variables. A feature
        declared without ``bars`` depends on nothing but what is known at its bar's close. Of features that
        are not declared, the inputs are only reported.
    tolerance : float
        Share of a feature's standard deviation that counts as equal; 0 is bit for bit.
    calendar : CalendarParams
        Which sessions count for the embargo.
    stateless : bool
        Whether every call is a first call, so that none in a fresh process tells more.
    """

    name: str
    features: FeatureFunction
    dataset: Callable[[pd.DataFrame], Dataset] | None = None
    embargo_sessions: int = 0
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tolerance: float = 0.0
    calendar: CalendarParams = REGULAR
    stateless: bool = False

    def compute(self, history: MarketHistory, names: tuple[str, ...] | None = None) -> Features:
        """Compute the features of a copy of a history; with `names`, exactly those, all NaN if not returned.

        Raises
        ------
        DataError
            If the code raises, or does not return one row of numbers a bar.
        """
        what = f"features {self.name} on {len(history.bars):,} bars"
        try:
            frame = self.features(history.bars.copy(), history.macro.copy())
        except Exception as error:
            raise DataError(f"{what}: {type(error).__name__}: {error}; correct the function") from error
        _require_unique_labels(frame, what)
        times = pd.DatetimeIndex(history.bars.index)
        columns = tuple(map(str, frame.columns))
        kept = columns if names is None else names
        aligned = frame.set_axis(list(columns), axis=1).reindex(times).reindex(columns=list(kept))
        try:
            values = aligned.to_numpy(float)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what}: columns must be numbers: {error}; leave texts out") from error
        return Features(times, kept, values, pd.DatetimeIndex(frame.index.difference(times)))


def _require_unique_labels(frame: object, what: str) -> None:
    if not isinstance(frame, pd.DataFrame) or not isinstance(frame.index, pd.DatetimeIndex):
        raise DataError(
            f"{what}: must return a DataFrame indexed like the bars, was {type(frame).__name__}; "
            "docs/leakcheck.md has one"
        )
    if frame.index.tz is None or not frame.index.is_unique or not frame.columns.is_unique:
        raise DataError(
            f"{what}: rows need unique, timezone-aware labels and columns unique names; write bars.index "
            "and other names"
        )


def pipeline_from_function(
    name: str, features: FeatureFunction, parameters: Parameters, tolerance: float = ROUNDING_TOLERANCE
) -> FeaturePipeline:
    """Return a pipeline of a feature function, the experiment's splits, and train's mean and deviation.

    Parameters
    ----------
    name : str
    features : callable of (bars, macro) to DataFrame
    parameters : Parameters
        Those of a contract, so that the end of test is a date.
    tolerance : float
    """
    splits = splits_of(parameters)

    def dataset(frame: pd.DataFrame) -> Dataset:
        rows = {name: split.select(frame) for name, split in splits.items()}
        train = rows["train"].dropna()
        stats = pd.DataFrame({"mean": train.mean(), "std": train.std(ddof=1)})
        scaled = {name: (part - stats["mean"]) / stats["std"] for name, part in rows.items()}
        return Dataset(rows, scaled, stats)

    embargo = parameters.splits.embargo_sessions
    return FeaturePipeline(
        name, features, dataset, embargo, tolerance=tolerance, calendar=parameters.calendar
    )
