"""Whether a window lies outside of what a model was trained and chosen on."""

from collections.abc import Mapping
from datetime import date
from typing import Literal

import numpy as np

from dosvotos.errors import InSampleError

Sample = Literal["OUT-OF-SAMPLE", "IN-SAMPLE"]
_SEEN = {"train": "trained", "val": "chosen"}


def seen_splits(first: date, last: date, date_ranges: Mapping[str, str]) -> tuple[str, ...]:
    """Name the splits of training and selection that share a day with a window.

    Parameters
    ----------
    first, last : date
        Bogota sessions, both included.
    date_ranges : mapping of str
        The model's ``train`` and ``val`` as ``2023-01-01 to 2024-12-30``, as its dataset's record has them.
    """
    return tuple(name for name in _SEEN if _touch(first, last, date_ranges[name]))


def sample_of(first: date, last: date, date_ranges: Mapping[str, str]) -> Sample:
    """Label a window IN-SAMPLE if it shares a day with train or val, else OUT-OF-SAMPLE."""
    return "IN-SAMPLE" if seen_splits(first, last, date_ranges) else "OUT-OF-SAMPLE"


def touches_unseen(sessions: np.ndarray, date_ranges: Mapping[str, str]) -> bool:
    """Tell whether any of some sessions (``datetime64[D]``) lies outside of training and selection."""
    unseen = np.ones(len(sessions), dtype=bool)
    for name in _SEEN:
        start, end = (np.datetime64(day) for day in date_ranges[name].split(" to "))
        unseen &= (sessions < start) | (sessions > end)
    return bool(unseen.any())


def refuse_in_sample(first: date, last: date, date_ranges: Mapping[str, str]) -> None:
    """Refuse to judge a model on a window it has seen.

    Raises
    ------
    InSampleError
        Naming the window and the splits it touches.
    """
    if seen := seen_splits(first, last, date_ranges):
        touched = " and ".join(f"{_SEEN[name]} on {name}, {date_ranges[name]}" for name in seen)
        raise InSampleError(
            f"test window {first} to {last}: the model was {touched}; L4 judges on sessions it has "
            "not seen, so move date_ranges.test and raise experiment.version"
        )


def _touch(first: date, last: date, period: str) -> bool:
    start, end = (date.fromisoformat(day) for day in period.split(" to "))
    return first <= end and start <= last
