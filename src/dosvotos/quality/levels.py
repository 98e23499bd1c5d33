"""Level rules of 5-minute bars: sessions of another pair or unit, and single bars far off their session.

Levels are natural logs of COP per USD, days are Bogota dates; a session's level is that of its median close.
"""

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.quality_thresholds import LevelParams
from dosvotos.errors import DataError
from dosvotos.market.calendar import in_session, session_dates
from dosvotos.quality.columns import MIN_WRONG, MOST
from dosvotos.quality.findings import (
    BARS,
    CheckedRows,
    QualityCheck,
    no_findings,
    require_columns,
    require_zone,
)
from dosvotos.quality.instruments import name_mismatch
from dosvotos.quality.references import SPOT, Sessions, Verdict, Witnesses, judge_sessions

OFF_LEVEL: Final = "off_level"
_PRICES: Final = ["open", "high", "low", "close"]
_RETURNED: Final = 1 / 4
"""Of a jump, how far from the price before it the close may be when it is back."""
_EXCURSION: Final = (60, np.timedelta64(4, "D"))
"""Fewer bars than these, and no more time, lie in an excursion: less than a session, a weekend before it."""


class LevelledBars(NamedTuple):
    """Bars after the level rules, and the days whose daily series was found wrong instead."""

    checked: CheckedRows
    wrong_spot_days: np.ndarray
    """``datetime64[D]``: the bars of these days contradict the daily series, and other evidence is theirs."""


def check_levels(
    bars: pd.DataFrame, witnesses: Witnesses, limits: LevelParams, origin: str = BARS
) -> LevelledBars:
    """Refuse bars that are not USD/COP in pesos a dollar; quarantine what alone is not.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, timezone-aware), open, high, low, close, source; in any order. Prices that are
        not positive and finite, and bars outside scheduled sessions, are left to other rules.
    witnesses : Witnesses
    limits : LevelParams
    origin : str
        What an error calls the bars, such as their file.

    Raises
    ------
    DataError
        If more than ``max_wrong_share`` of the sessions, or two or more at the begin or end, are off level;
        for missing columns or naive timestamps.
    """
    require_columns(origin, bars, ("timestamp", *_PRICES, "source"))
    require_zone(origin, bars["timestamp"])
    rows = bars.reset_index(drop=True)
    sound = np.isfinite(rows[_PRICES].to_numpy(float)).all(axis=1) & (rows[_PRICES] > 0).all(axis=1)
    times = pd.DatetimeIndex(rows["timestamp"])
    judged = np.flatnonzero(sound.to_numpy() & in_session(times))
    if len(judged) == 0:
        return LevelledBars(CheckedRows(rows, no_findings()), np.empty(0, dtype="datetime64[D]"))
    days = session_dates(times[judged])
    sessions = Sessions.of(days, rows["close"].to_numpy(float)[judged])
    verdict = judge_sessions(sessions, witnesses, limits)
    _refuse_wrong_delivery(sessions, verdict, limits, origin)
    at = times.tz_convert("UTC").to_series(index=rows.index)
    check = QualityCheck(rows, pd.Series(BARS, index=rows.index), at, rows["close"])
    numbers = np.full(len(rows), -1)
    numbers[judged] = np.searchsorted(sessions.days, days)
    session = pd.Series(numbers, index=rows.index)
    _quarantine_sessions(check, session, sessions, verdict, limits)
    _quarantine_bars(check, session, sessions, limits, origin)
    _quarantine_excursions(check, session, limits)
    return LevelledBars(check.result(), verdict.wrong_spot_days)


def quarantine_spot(macro: CheckedRows, wrong_days: np.ndarray) -> CheckedRows:
    """Quarantine the delivered values of the daily USD/COP of days on which the bars prove it wrong."""
    rows, why = macro.kept, "contradicts the sessions' closes, which go on: the series is wrong"
    if len(wrong_days) == 0:
        return macro
    check = QualityCheck.of_macro(rows)
    days = rows["observation_date"].to_numpy("datetime64[D]")
    violates = (rows["variable"] == SPOT).to_numpy() & np.isin(days, wrong_days)
    detail = [f"{value:,.2f} {why}" for value in rows["value"][violates]]
    if not violates.any():
        first = pd.Timestamp(wrong_days[0]).tz_localize("UTC")
        check.report(
            OFF_LEVEL, SPOT, first, len(wrong_days), f"what is stored of {len(wrong_days)} day(s) {why}"
        )
    check.quarantine(OFF_LEVEL, violates, detail)
    return macro.followed_by(check)


def session_levels(bars: pd.DataFrame) -> Sessions:
    """Return the level of each session of stored bars (timestamp, close), all positive; may be empty."""
    times = pd.DatetimeIndex(bars["timestamp"])
    inside = in_session(times)
    return Sessions.of(session_dates(times[inside]), bars["close"].to_numpy(float)[inside])


def _refuse_wrong_delivery(sessions: Sessions, verdict: Verdict, limits: LevelParams, origin: str) -> None:
    wrong, n_sessions = verdict.wrong, len(sessions.days)
    at_edge = n_sessions > 1 and (wrong[:2].all() or wrong[-2:].all())
    if not wrong.any() or (wrong.mean() <= limits.max_wrong_share and not at_edge):
        return
    first = int(np.flatnonzero(wrong)[0])
    raise DataError(
        f"{origin}: these are not pesos a dollar: {wrong.sum():,} of {n_sessions:,} sessions off level, "
        f"the first {sessions.days[first]}; its {_describe(sessions, verdict, limits, first)}. Nothing is "
        "stored. Deliver the price of a dollar in pesos, bar by bar; if the bars are right, correct the "
        f"daily USD/COP spot ({SPOT})"
    )


def _quarantine_sessions(
    check: QualityCheck, session: pd.Series, sessions: Sessions, verdict: Verdict, limits: LevelParams
) -> None:
    """Quarantine all bars of the sessions that are off level."""
    numbers = session[check.rows.index].to_numpy()
    violates = (numbers >= 0) & verdict.wrong[numbers]
    sentence = {
        int(i): f"session {sessions.days[i]}: its {_describe(sessions, verdict, limits, int(i))}"
        for i in np.flatnonzero(verdict.wrong)
    }
    check.quarantine(OFF_LEVEL, violates, [sentence[i] for i in numbers[violates]])


def _quarantine_bars(
    check: QualityCheck, session: pd.Series, sessions: Sessions, limits: LevelParams, origin: str
) -> None:
    """Quarantine bars with a price far from their session's median close; refuse them if most are."""
    numbers = session[check.rows.index].to_numpy()
    prices = check.rows[_PRICES].to_numpy(float)
    median = np.where(numbers >= 0, np.exp(sessions.level)[numbers], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(prices / median[:, np.newaxis]))
    violates = np.asarray((distance > limits.bar).any(axis=1))
    farthest = np.nan_to_num(distance[violates]).argmax(axis=1)
    found = prices[violates][np.arange(len(farthest)), farthest]
    detail = [
        f"{_PRICES[column]} {price:.6g} is {price / middle:.4g} times its session's median close "
        f"{middle:,.2f} ({name_mismatch(price, middle, limits.jump)}); at most {limits.bar:.0%} off is a move"
        for column, price, middle in zip(farthest, found, median[violates], strict=True)
    ]
    n_wrong, n_judged = len(detail), int((numbers >= 0).sum())
    if n_wrong >= MIN_WRONG and n_wrong > MOST * n_judged:
        raise DataError(
            f"{origin}: {n_wrong:,} of {n_judged:,} bars have a price off level, the first: {detail[0]}. "
            "Nothing is stored. A column is of another unit or no price: correct it, and deliver again"
        )
    check.quarantine(OFF_LEVEL, violates, detail)


def _quarantine_excursions(check: QualityCheck, session: pd.Series, limits: LevelParams) -> None:
    """Quarantine the bars between a jump of the close and one back, within a session's length."""
    inside = np.flatnonzero(session[check.rows.index].to_numpy() >= 0)
    times = pd.DatetimeIndex(check.rows["timestamp"]).tz_convert(None).to_numpy()[inside]
    order = np.argsort(times, kind="stable")
    close, at = np.log(check.rows["close"].to_numpy(float)[inside][order]), times[order]
    once = np.append(True, at[1:] != at[:-1]) & np.append(at[1:] != at[:-1], True)
    close, at, label = close[once], at[once], check.rows.index[inside[order]][once]
    steps = np.diff(close)
    jumps = np.flatnonzero(np.abs(steps) > limits.session)
    found: dict[int, str] = {}
    last = -1
    for away, back in pairwise(jumps.tolist()):
        is_back = abs(close[back + 1] - close[away]) <= abs(steps[away]) * _RETURNED
        is_short = back - away < _EXCURSION[0] and at[back + 1] - at[away] <= _EXCURSION[1]
        if away >= last and is_back and is_short:
            sizes = f"{np.expm1(steps[away]):+.1%} and {np.expm1(steps[back]):+.1%}"
            found |= dict.fromkeys(label[away + 1 : back + 1].tolist(), sizes)
            last = back + 1
    if not found:
        return
    violates = check.rows.index.isin(list(found))
    why = "{:.6g} stands between jumps of {}; at most {:.0%} is a move that comes back"
    rows = check.rows["close"][violates]
    each = zip(rows.index.tolist(), rows, strict=True)
    check.quarantine(OFF_LEVEL, violates, [why.format(p, found[i], limits.session) for i, p in each])


def _describe(sessions: Sessions, verdict: Verdict, limits: LevelParams, index: int) -> str:
    price, reference = np.exp(sessions.level[index]), np.exp(verdict.reference[index])
    limit = np.expm1(verdict.limit[index])
    return (
        f"median close {price:.6g} is {price / reference:.4g} times {verdict.against[index]} "
        f"{reference:,.2f} ({name_mismatch(price, reference, max(limit, limits.jump))}); at most "
        f"{limit:.1%} off is the same pair and unit (quality_thresholds.bars.level)"
    )
