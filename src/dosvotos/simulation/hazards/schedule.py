"""Where hazards strike: sessions and weekdays drawn for each calendar half-year; and the record of a defect.

Each half-year has generators of its own, so that a longer simulation has the same defects in the same rows.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Final, NamedTuple, TypeVar, cast

import numpy as np
import pandas as pd

from dosvotos.contracts.sample_market import HAZARDS, Hazard
from dosvotos.market.calendar import closed_days, scheduled_sessions

SEED_KEY: Final = 101
"""Keeps the generators of hazards apart from those of the market with the same seed."""
ONE_SESSION_HAZARDS: Final[tuple[Hazard, ...]] = (
    "disagreeing_duplicates", "stale_run", "off_session_bars", "weekend_bars",
    "sparse_session", "missing_session", "bad_tick", "close_spike",
)  # fmt: skip
"""Hazards of bars that strike one session a half-year; `TargetSessions.single` follows this order."""
LEVEL_HAZARDS: Final[tuple[Hazard, ...]] = ("session_hundredth", "inverted_session", "bar_at_tenth")
"""The same, drawn after the others, which keep the sessions they had without these."""

_CHUNK_SESSIONS: Final = 20
_MIXED_ZONE_SESSIONS, _FLAT_SESSIONS = 8, 15
_PART_WEEKDAYS: Final = 40
_N_FIRST: Final = 19
_STREAMS: Final[tuple[str, ...]] = (*HAZARDS[:_N_FIRST], "sessions", "weekdays", *HAZARDS[_N_FIRST:])
"""What is drawn; the index of an entry is part of its generator's seed, so new ones come last."""

Edit = TypeVar("Edit", bound=Callable[..., None])


def by_name(*edits: Edit) -> dict[Hazard, Edit]:
    """Index functions by the hazard they inject, which is their name without the underscore."""
    return {cast(Hazard, edit.__name__[1:]): edit for edit in edits}


class Defect(NamedTuple):
    """One event of a hazard, in one macro variable or in the bars."""

    hazard: Hazard
    subject: str
    """``bars``, or the macro variable."""
    first: pd.Timestamp | date
    """First affected bar open (UTC, as labelled in the data) or observation date, missing ones included."""
    last: pd.Timestamp | date
    rows: int
    """Number of bars or observations changed, added or removed."""
    description: str


class TargetSessions(NamedTuple):
    """Sessions of a half-year that hazards of bars strike, ``datetime64[D]``; no two share one."""

    mixed_zone: np.ndarray
    flat: np.ndarray
    single: dict[Hazard, np.datetime64]
    holiday: np.datetime64


class HalfYear(NamedTuple):
    """January to June, or July to December."""

    year: int
    is_second: bool

    def days(self) -> np.ndarray:
        """All calendar days, ``datetime64[D]``."""
        first = np.datetime64(f"{self.year}-{'07' if self.is_second else '01'}", "M")
        return np.arange(first.astype("datetime64[D]"), (first + 6).astype("datetime64[D]"))

    def generator(self, seed: int, stream: str) -> np.random.Generator:
        """Generator of one hazard, or of ``sessions`` or ``weekdays``, in this half-year."""
        return np.random.default_rng([seed, SEED_KEY, self.year, self.is_second, _STREAMS.index(stream)])

    def target_sessions(self, seed: int) -> TargetSessions:
        """Draw the sessions that hazards of bars strike.

        Hazards that last several sessions get a chunk of consecutive ones each, those of one session share
        the other chunks.
        """
        rng = self.generator(seed, "sessions")
        days = self.days()
        sessions = scheduled_sessions(days[0].astype(object), days[-1].astype(object))
        n_chunks = len(sessions) // _CHUNK_SESSIONS
        chunks = [sessions[i * _CHUNK_SESSIONS : (i + 1) * _CHUNK_SESSIONS] for i in range(n_chunks)]
        mixed_zone, flat, *others = (chunks[i] for i in rng.permutation(n_chunks))
        mixed_from = rng.integers(_CHUNK_SESSIONS - _MIXED_ZONE_SESSIONS)
        flat_from = rng.integers(_CHUNK_SESSIONS - _FLAT_SESSIONS)
        single = rng.choice(np.concatenate(others), size=len(ONE_SESSION_HAZARDS), replace=False)
        closed = closed_days("CO", self.year, self.year)
        holidays = closed[(closed >= days[0]) & (closed <= days[-1]) & np.is_busday(closed)]
        holiday = holidays[rng.integers(len(holidays))]
        left = np.setdiff1d(np.concatenate(others), single)
        single = np.concatenate([single, rng.choice(left, size=len(LEVEL_HAZARDS), replace=False)])
        return TargetSessions(
            mixed_zone[mixed_from : mixed_from + _MIXED_ZONE_SESSIONS],
            flat[flat_from : flat_from + _FLAT_SESSIONS],
            dict(zip(ONE_SESSION_HAZARDS + LEVEL_HAZARDS, single, strict=True)),
            holiday,
        )

    def target_weekdays(self, seed: int) -> dict[Hazard, np.ndarray]:
        """Draw the weekdays that each hazard of daily variables may use; those that last share none."""
        rng = self.generator(seed, "weekdays")
        days = self.days()
        weekdays = days[np.is_busday(days)]
        parts = [weekdays[i * _PART_WEEKDAYS : (i + 1) * _PART_WEEKDAYS] for i in rng.permutation(3)]
        lasting: tuple[Hazard, ...] = ("decimal_comma", "wrong_instrument", "macro_hole")
        drawn: dict[Hazard, np.ndarray] = dict(zip(lasting, parts, strict=True))
        # each beside one that strikes other variables
        beside: dict[Hazard, np.ndarray] = {
            "percent_fraction": drawn["decimal_comma"],
            "swapped_series": drawn["wrong_instrument"],
        }
        return {**drawn, **beside, "weekend_observations": weekdays}


def half_years(first: date, last: date) -> Iterator[HalfYear]:
    """Yield both half-years of each calendar year that the range touches."""
    for year in range(first.year, last.year + 1):
        yield from (HalfYear(year, False), HalfYear(year, True))
