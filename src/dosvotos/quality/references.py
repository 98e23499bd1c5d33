"""What the level of a session is judged by: the daily USD/COP, stored closes, the delivery's other sessions.

Levels are natural logs of COP per USD; days are Bogota dates, ``datetime64[D]``.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, Self

import numpy as np
import pandas as pd

from dosvotos.contracts.quality_thresholds import LevelParams

SPOT: Final = "fxrt_spot_usdcop_col_d_usdcop"
"""The daily USD/COP among the macro variables: a spot close, or the TRM."""
BY_SPOT, BY_STORED = "the daily spot", "the stored closes of"
BY_DELIVERY, BY_RANGE = "the delivery's own sessions beside it,", "the middle of the pair's range,"
SPOT_DAYS: Final = 10
"""Calendar days up to which a daily value says where a session must be."""
STORED_DAYS: Final = 30
"""The same of a stored session."""
_MIN_MEDIAN: Final = 5
_MIN_IN_A_ROW: Final = 4
"""Of 1,469 real sessions no two in a row are so far off the daily spot; three are where it is 3 days late."""
_HALF_WAY_BACK: Final = 0.5


class Sessions(NamedTuple):
    """Days in order, each once, and the level of each; arrays of shape (n_sessions,)."""

    days: np.ndarray
    level: np.ndarray

    @classmethod
    def of(cls, days: np.ndarray, close: np.ndarray) -> Self:
        """Take the median close of each day; `days` and `close` of shape (n_bars,), in any order."""
        order = np.lexsort((close, days))
        names, first, n_bars = np.unique(days[order], return_index=True, return_counts=True)
        ordered, middle = np.log(close[order]), first + n_bars // 2
        return cls(names, (ordered[middle] + ordered[middle - (n_bars % 2 == 0)]) / 2)

    def select(self, mask: np.ndarray) -> Self:
        """Take some of the days."""
        return type(self)(self.days[mask], self.level[mask])


def spot_levels(observations: pd.DataFrame, known: pd.DataFrame) -> Sessions:
    """Return the level of each day of the daily USD/COP, delivered (first) or stored before (second).

    Both frames have variable, observation_date and value; of several rows of a day the last delivered one
    counts, else the last stored one.
    """
    parts = [rows[rows["variable"] == SPOT] for rows in (known, observations)]
    rows = pd.concat([part[["observation_date", "value"]] for part in parts if len(part)] or [parts[1]])
    rows = rows[rows["value"].astype(float) > 0].drop_duplicates("observation_date", keep="last")
    return Sessions.of(rows["observation_date"].to_numpy("datetime64[D]"), rows["value"].to_numpy(float))


class Witnesses(NamedTuple):
    """What was known of USD/COP beside the bars delivered; either series may be empty."""

    spot: Sessions
    """The daily series, delivered or stored."""
    stored: Sessions
    """Sessions stored before."""
    price_range: tuple[float, float]
    """COP per USD that are possible at all."""


class Verdict(NamedTuple):
    """Which sessions are wrong, and by what; arrays of shape (n_sessions,)."""

    wrong: np.ndarray
    reference: np.ndarray
    """The level each was compared with."""
    limit: np.ndarray
    """Largest true distance from it, log."""
    against: np.ndarray
    """What the reference is."""
    wrong_spot_days: np.ndarray
    """Days of the daily series that are wrong themselves."""


def judge_sessions(sessions: Sessions, witnesses: Witnesses, limits: LevelParams) -> Verdict:
    """Judge the level of each session.

    Notes
    -----
    A session may lie ``limits.session`` from the daily value of its day, times the square root of the
    weekdays that lie between; the median of five or more sessions, and each of four or more in a row on one
    side, ``limits.median``. Where the two contradict each other, the one that jumps more beside a day on
    which they agree is wrong. Where they never agree, stored sessions decide, and without any the bars count
    as wrong. A session without a daily value is compared with the stored one nearest to it, and with the
    longest part of the delivery that has no jump.
    """
    low, high = np.log(witnesses.price_range)
    possible = (sessions.level >= low) & (sessions.level <= high)
    by_spot = _compare(sessions, witnesses.spot, SPOT_DAYS, limits)
    by_stored = _compare(sessions, witnesses.stored, STORED_DAYS, limits)
    accused = _spot_is_wrong(sessions, by_spot, by_stored, possible, limits)
    comparable, too_far = np.isfinite(by_spot.reference), by_spot.limit > limits.jump
    by_spot = by_spot.without(accused | (~by_spot.off & too_far))
    found = _compare_with_range(sessions, possible, (low, high))
    by_own = _compare_parts(sessions, possible, limits)
    by_stored = _extend_off(sessions, by_stored)
    named = ((by_own, BY_DELIVERY), (by_stored.without(~by_stored.off), BY_STORED), (by_spot, BY_SPOT))
    for comparison, name in named:
        found = found.overlaid(comparison, name)
    always = accused.any() and accused[comparable].all()
    wrong_spot_days = witnesses.spot.days if always else _days(accused, sessions)
    return Verdict(found.off | ~possible, found.reference, found.limit, found.against, wrong_spot_days)


class Comparison(NamedTuple):
    """Each session beside a reference; NaN where it has none. Arrays of shape (n_sessions,)."""

    reference: np.ndarray
    limit: np.ndarray
    against: np.ndarray
    off: np.ndarray

    def without(self, mask: np.ndarray) -> "Comparison":
        """Forget the reference of some sessions."""
        reference = np.where(mask, np.nan, self.reference)
        return self._replace(reference=reference, off=self.off & ~mask)

    def overlaid(self, other: "Comparison", name: str) -> "Comparison":
        """Let another comparison replace this one where it has a reference."""
        has = np.isfinite(other.reference)
        pairs = zip(self[:2], other[:2], strict=True)
        reference, limit = (np.where(has, theirs, own) for own, theirs in pairs)
        against = np.where(has, name, self.against)
        return Comparison(reference, limit, against, np.where(has, other.off, self.off))


def _compare(sessions: Sessions, with_: Sessions, max_days: float, limits: LevelParams) -> Comparison:
    """Compare each session with the value of its day, or with that before or after that is more like it."""
    if len(with_.days) == 0:
        return _none(sessions)
    after = np.searchsorted(with_.days, sessions.days)
    before = np.searchsorted(with_.days, sessions.days, side="right") - 1
    neighbour = np.clip([before, after], 0, len(with_.days) - 1)
    n_days = np.abs((with_.days[neighbour] - sessions.days).astype(float))
    limit = limits.session * _root_of_weekdays(with_.days[neighbour], sessions.days)
    distance = np.abs(sessions.level - with_.level[neighbour])
    chosen = np.argmin(np.where(n_days <= max_days, distance / limit, np.inf), axis=0)
    each = (chosen, np.arange(len(sessions.days)))
    has = n_days[each] <= max_days
    reference = np.where(has, with_.level[neighbour][each], np.nan)
    off = has & (distance[each] > limit[each])
    signed, near = sessions.level - reference, has & (n_days[each] <= 1)
    if _is_off_as_a_whole(signed[near], signed[near & ~off], limits):
        return Comparison(reference, np.full(len(off), limits.median), _names(off), has)
    in_row = _off_in_a_row(np.where(near, signed, 0.0), limits)
    return Comparison(reference, np.where(in_row, limits.median, limit[each]), _names(off), off | in_row)


def _off_in_a_row(signed: np.ndarray, limits: LevelParams) -> np.ndarray:
    """Mask runs of sessions that lie off to one side, of which each alone could still be true."""
    found = np.zeros(len(signed), dtype=bool)
    for side in (signed > limits.median, signed < -limits.median):
        for run in _runs(side):
            found[run] = len(run) >= _MIN_IN_A_ROW
    return found


def _extend_off(sessions: Sessions, by_stored: Comparison) -> Comparison:
    """Count as off the sessions that go on from one that is off: their limit grows, their level stays.

    A session that is back half the way to what is stored ends it.
    """
    distance, off = sessions.level - by_stored.reference, by_stored.off.copy()
    for start in np.flatnonzero(by_stored.off):
        for step in (1, -1):
            index = start + step
            while 0 <= index < len(off) and not off[index]:
                goes_on = distance[index] / distance[start] > _HALF_WAY_BACK
                if not (np.isfinite(distance[index]) and goes_on):
                    break
                off[index] = True
                index += step
    return by_stored._replace(off=off)


def _is_off_as_a_whole(signed: np.ndarray, within: np.ndarray, limits: LevelParams) -> bool:
    """Tell whether all sessions are off, those too that each alone could still be true."""
    if len(signed) < _MIN_MEDIAN or len(within) == 0:
        return False
    return min(abs(float(np.median(part))) for part in (signed, within)) > limits.median


def _spot_is_wrong(
    sessions: Sessions, by_spot: Comparison, by_stored: Comparison, possible: np.ndarray, limits: LevelParams
) -> np.ndarray:
    """Mask the sessions that contradict the daily series and are right, as far as other evidence tells."""
    accused = np.zeros(len(sessions.days), dtype=bool)
    agrees = np.isfinite(by_spot.reference) & ~by_spot.off
    from_spot, from_stored = (np.abs(sessions.level - by.reference) for by in (by_spot, by_stored))
    as_stored = ~by_stored.off & (from_stored < from_spot / 2)
    for run in _runs(by_spot.off):
        beside = [(i, j) for i, j in ((run[0] - 1, run[0]), (run[-1] + 1, run[-1])) if _agrees(agrees, i)]
        near = [(i, j) for i, j in beside if _days_between(sessions, i, j) <= SPOT_DAYS]
        continues = [
            _step(sessions.level, i, j) < _step(by_spot.reference, i, j)
            and _step(sessions.level, i, j)
            <= limits.session * _root_of_weekdays(sessions.days[i], sessions.days[j])
            for i, j in near
        ]
        accused[run] = all(continues) if near else as_stored[run].any()
    root = _root_of_weekdays(sessions.days[:-1], sessions.days[1:])
    steps_on = np.abs(np.diff(sessions.level)) <= limits.session * root
    for run in _runs(accused):
        if not steps_on[run[:-1]].all():
            accused[run] = False
    return np.asarray(accused & possible)


def _compare_with_range(
    sessions: Sessions, possible: np.ndarray, log_range: tuple[float, float]
) -> Comparison:
    low, high = log_range
    n, middle = len(sessions.days), np.where(possible, np.nan, (low + high) / 2)
    return Comparison(middle, np.full(n, (high - low) / 2), np.full(n, BY_RANGE, dtype=object), ~possible)


def _compare_parts(sessions: Sessions, possible: np.ndarray, limits: LevelParams) -> Comparison:
    """Cut the delivery at its jumps; parts that do not go on where the longest was left are off."""
    found, usable = _none(sessions), np.flatnonzero(possible)
    if len(usable) == 0:
        return found
    jumps = _distance(sessions, usable[1:], usable[:-1]) > _jump_limit(
        sessions, usable[1:], usable[:-1], limits
    )
    parts = np.split(usable, np.flatnonzero(jumps) + 1)
    longest = int(np.argmax([len(part) for part in parts]))
    accepted = list(parts[longest])
    for outwards, near, far in ((parts[longest:], 0, -1), (parts[longest::-1], -1, 0)):
        last = outwards[0][far]
        for part in outwards[1:]:
            limit = _jump_limit(sessions, part[near], last, limits)
            if _distance(sessions, part[near], last) > limit:
                found.reference[part], found.limit[part], found.off[part] = sessions.level[last], limit, True
            else:
                last = part[far]
                accepted += list(part)
    nearest = _compare(sessions, sessions.select(np.isin(np.arange(len(possible)), accepted)), np.inf, limits)
    found.reference[~possible], found.limit[~possible] = nearest.reference[~possible], limits.session
    found.off[~possible] = True
    return found


def _distance(sessions: Sessions, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(sessions.level[one] - sessions.level[other]))


def _jump_limit(sessions: Sessions, one: np.ndarray, other: np.ndarray, limits: LevelParams) -> np.ndarray:
    """Return the largest true step between sessions of one delivery, which grows with the days between."""
    return np.asarray(limits.jump * _root_of_weekdays(sessions.days[one], sessions.days[other]))


def _root_of_weekdays(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the square root of the weekdays from one day to another, at least 1: markets rest on others."""
    n_weekdays = np.busday_count(np.minimum(one, other), np.maximum(one, other))
    return np.asarray(np.sqrt(np.maximum(n_weekdays, 1.0)))


def _none(sessions: Sessions) -> Comparison:
    n = len(sessions.days)
    missing = np.full(n, np.nan), np.full(n, np.nan)
    return Comparison(*missing, np.full(n, "", dtype=object), np.zeros(n, dtype=bool))


def _names(like: np.ndarray) -> np.ndarray:
    return np.full(len(like), "", dtype=object)


def _runs(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the indices of each run of true values."""
    true = np.flatnonzero(mask)
    yield from (run for run in np.split(true, np.flatnonzero(np.diff(true) > 1) + 1) if len(run))


def _step(level: np.ndarray, i: int, j: int) -> float:
    return abs(float(level[i] - level[j]))


def _agrees(agrees: np.ndarray, index: int) -> bool:
    return bool(0 <= index < len(agrees) and agrees[index])


def _days_between(sessions: Sessions, i: int, j: int) -> float:
    return abs(float((sessions.days[i] - sessions.days[j]).astype(int)))


def _days(mask: np.ndarray, sessions: Sessions) -> np.ndarray:
    """Return all days from the first to the last session of each run."""
    parts = [np.arange(sessions.days[run[0]], sessions.days[run[-1]] + 1) for run in _runs(mask)]
    return np.concatenate(parts) if parts else np.empty(0, dtype="datetime64[D]")
