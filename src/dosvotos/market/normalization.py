"""Normalisation of features: statistics taken from train, applied where rows enter the model."""

from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.errors import DataError
from dosvotos.hashing import digest_json

CLIP = 5.0


class NormStats(BaseModel):
    """Mean and standard deviation (ddof 1) of the 13 market features over train, in MARKET_FEATURES order."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.features != MARKET_FEATURES:
            raise ValueError(f"norm_stats: features must be {MARKET_FEATURES}, were {self.features}")
        if not len(self.mean) == len(self.std) == len(self.features):
            raise ValueError("norm_stats: mean and std must have one value a feature")
        if constant := [f for f, s in zip(self.features, self.std, strict=True) if s <= 0.0]:
            raise ValueError(f"norm_stats: std must be positive, was not for {constant}")
        return self

    @property
    def digest(self) -> str:
        """Hash of the statistics."""
        return digest_json(self.model_dump(mode="json"))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Normalise raw market features of shape (n, 13) and clip them to +-5; NaN stays NaN."""
        clipped: np.ndarray = np.clip(self.distances(features), -CLIP, CLIP)
        return clipped

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Give the distance of raw market features of shape (n, 13) from the mean, in standard deviations."""
        mean, std = self._arrays
        scaled: np.ndarray = (features - mean) / std
        return scaled

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean), np.array(self.std)


def fit_norm_stats(train: pd.DataFrame) -> NormStats:
    """Compute the statistics over the complete rows of train.

    Raises
    ------
    DataError
        If there are fewer than two complete rows, or a feature never moves.
    """
    rows = train[list(MARKET_FEATURES)].dropna()
    if len(rows) < 2:
        raise DataError(
            f"train: normalisation needs at least 2 complete rows, found {len(rows)}; set an earlier "
            "date_ranges.train.start"
        )
    if constant := [str(name) for name in rows.columns if rows[name].min() == rows[name].max()]:
        raise DataError(
            f"train: feature(s) {constant} never move, so they cannot be normalised; deliver what moves, "
            "or set an earlier date_ranges.train.start"
        )
    std = rows.std(ddof=1)
    return NormStats(features=MARKET_FEATURES, mean=tuple(rows.mean()), std=tuple(std))
