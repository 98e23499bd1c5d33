"""Quality rules for 5-minute bars: each is kept as it came, or quarantined; none is repaired.

Prices are in COP per USD, times are bar opens.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import CalendarParams
from dosvotos.contracts.quality_thresholds import BarQualityParams
from dosvotos.market.calendar import (
    BAR,
    BOGOTA,
    REGULAR,
    in_session,
    scheduled_sessions,
    session_bar_times,
    session_dates,
    session_slots,
    slots,
)
from dosvotos.quality.copied_sessions import quarantine_copied_sessions
from dosvotos.quality.findings import BARS, CheckedRows, QualityCheck, require_columns, require_zone
from dosvotos.quality.price_outliers import flag_outliers
from dosvotos.timestamps.labels import find_shifted_sessions

_PRICES: Final = ["open", "high", "low", "close"]
_COLUMNS: Final = ("timestamp", *_PRICES, "volume", "source")
_ZONE_SHIFT: Final = pd.Timedelta(hours=5)
_ZONE_SHARE: Final = 0.9
_ROUNDING: Final = 1 + 1e-9
_NIGHT: Final = np.timedelta64(8, "h")
_MOST_LONG_BARS: Final = 30
"""Bars of ten minutes in a session."""
_MIN_LONG_STEPS, _MOST_STEPS = 4, 0.5
"""Steps from label to label from which a session shows its bars' length, and the share of the shortest."""


def check_bars(
    bars: pd.DataFrame,
    thresholds: BarQualityParams,
    as_of: pd.Timestamp,
    calendar: CalendarParams = REGULAR,
    stored: pd.DataFrame | None = None,
) -> CheckedRows:
    """Quarantine the bars that violate a rule, and report anomalies among the others.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, timezone-aware), open, high, low, close, volume, source; in any order, duplicates
        and NaN prices allowed.
    thresholds : BarQualityParams
    as_of : Timestamp, timezone-aware
        What counts as now.
    calendar : CalendarParams
    stored : DataFrame or None
        Bars stored before: timestamp (UTC), close; each instant once.

    Returns
    -------
    CheckedRows
        Kept bars lie in scheduled sessions, each instant once, in UTC and time order, prices finite. Each
        input row is kept, or has one quarantined finding, or one of rule ``duplicate_agrees``. Checking the
        kept bars again quarantines nothing.

    Raises
    ------
    DataError
        For missing columns or naive timestamps.
    """
    rows = _in_time_order(bars)
    subject = pd.Series(BARS, index=rows.index)
    check = QualityCheck(rows, subject, rows["timestamp"], rows["close"])
    _report_zone_labels(check, thresholds)
    _quarantine_impossible_prices(check)
    _quarantine_negative_volume(check)
    _quarantine_open_bars(check, as_of)
    _quarantine_shifted_sessions(check)
    _quarantine_unscheduled(check, calendar)
    _resolve_duplicates(check, thresholds)
    _quarantine_longer_bars(check)
    quarantine_copied_sessions(check, stored)
    n_before = -1
    while n_before != len(check.rows):
        n_before = len(check.rows)
        _flag_flat_sessions(check, thresholds, as_of)
        flag_outliers(check, thresholds)
    _report_flat_bars(check, thresholds)
    _report_stale_runs(check, thresholds)
    _report_coverage(check, thresholds, as_of, calendar)
    return check.result()


def flat_shares(bars: pd.DataFrame) -> pd.Series:
    """Return the share of bars with open = high = low = close, by source."""
    return _is_flat(bars).groupby(bars["source"]).mean()


def bars_per_session(
    bar_times: pd.DatetimeIndex, as_of: pd.Timestamp, calendar: CalendarParams = REGULAR
) -> pd.Series:
    """Count the bars of each scheduled session from that of the first bar to the last that has ended.

    Parameters
    ----------
    bar_times : DatetimeIndex, UTC
    as_of : Timestamp, timezone-aware

    Returns
    -------
    Series of int, by date (naive, Bogota); 0 where a session has no bar.
    """
    days, counts = np.unique(session_dates(bar_times), return_counts=True)
    if len(days) == 0:
        return pd.Series(dtype=int)
    sessions = scheduled_sessions(days[0].astype(object), last_ended_day(as_of).astype(object), calendar)
    return pd.Series(counts, index=days).reindex(pd.DatetimeIndex(sessions), fill_value=0)


def last_ended_day(as_of: pd.Timestamp) -> np.datetime64:
    """Return the last Bogota date, with a session or without, whose 12:55 bar would have closed."""
    today = np.datetime64(as_of.tz_convert(BOGOTA).date())
    has_ended = session_bar_times(today)[-1] + BAR <= as_of
    return today if has_ended else today - np.timedelta64(1, "D")


def _in_time_order(bars: pd.DataFrame) -> pd.DataFrame:
    require_columns("bars", bars, _COLUMNS)
    require_zone(BARS, bars["timestamp"])
    times = bars["timestamp"].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return bars.assign(timestamp=times).sort_values("timestamp", kind="stable", ignore_index=True)


# ---- rules of a single bar


def _report_zone_labels(check: QualityCheck, thresholds: BarQualityParams) -> None:
    """Report sources whose bars off session would lie in it if moved by five hours."""
    off = check.rows[slots(_times(check.rows)) < 0]
    for source, rows in off.groupby("source"):
        for shift in (_ZONE_SHIFT, -_ZONE_SHIFT):
            in_session_then = slots(pd.DatetimeIndex(rows["timestamp"] + shift)) >= 0
            n_bars = in_session_then.sum()
            if n_bars >= thresholds.stale_bars and in_session_then.mean() >= _ZONE_SHARE:
                detail = (
                    f"{n_bars:,} of {len(rows):,} bars off session would lie in it if moved by "
                    f"{shift / pd.Timedelta(hours=1):+.0f} h: their labels are in another zone than they say"
                )
                check.report("zone_label", BARS, rows["timestamp"].iloc[0], n_bars, detail, str(source))


def _quarantine_impossible_prices(check: QualityCheck) -> None:
    prices = check.rows[_PRICES].to_numpy(float)
    violates = ~(np.isfinite(prices) & (prices > 0)).all(axis=1)
    detail = [f"prices must be positive and finite, were {_format_ohlc(row)}" for row in prices[violates]]
    check.quarantine("impossible_price", violates, detail)
    prices = check.rows[_PRICES].to_numpy(float)
    violates = (prices[:, 1] < prices.max(axis=1)) | (prices[:, 2] > prices.min(axis=1))
    must = "open and close must lie between low and high"
    detail = [f"{must}, were {_format_ohlc(row)}" for row in prices[violates]]
    check.quarantine("close_outside_range", violates, detail)


def _quarantine_negative_volume(check: QualityCheck) -> None:
    volume = pd.to_numeric(check.rows["volume"], errors="coerce").to_numpy(float)
    negative = volume < 0
    detail = [f"a volume is at least 0, was {value:g}" for value in volume[negative]]
    check.quarantine("negative_volume", negative, detail)


def _quarantine_open_bars(check: QualityCheck, as_of: pd.Timestamp) -> None:
    is_open = (check.rows["timestamp"] + BAR > as_of).to_numpy()
    detail = [f"closes after now, {as_of.tz_convert('UTC'):%Y-%m-%d %H:%M} UTC"] * int(is_open.sum())
    check.quarantine("not_closed", is_open, detail)


def _quarantine_shifted_sessions(check: QualityCheck) -> None:
    """Quarantine sessions of which each bar would be stored early or late."""
    times, close = _times(check.rows), check.rows["close"].to_numpy(float)
    detail = pd.Series("", index=range(len(times)))
    for session in find_shifted_sessions(times, close):
        first, last = times[session.rows[[0, -1]]].tz_convert(BOGOTA)
        lateness = f"{abs(session.minutes_late)} min {'late' if session.minutes_late > 0 else 'early'}"
        runs = f"{first:%Y-%m-%d} runs {first:%H:%M} to {last:%H:%M} Bogota instead of 08:00 to 12:55"
        detail.iloc[session.rows] = f"{runs}: its labels lie {lateness}"
    violates = detail.ne("").to_numpy()
    check.quarantine("shifted_labels", violates, detail[violates].tolist())


def _quarantine_unscheduled(check: QualityCheck, calendar: CalendarParams) -> None:
    """Quarantine bars off the session's grid, and those of days without a session."""
    times = _times(check.rows)
    off_grid = slots(times) < 0
    local = times[off_grid].tz_convert(BOGOTA)
    clock = (local.hour * 10_000 + local.minute * 100 + local.second).to_numpy()
    must = "Bogota, not at 08:00, 08:05 ... 12:55"
    detail = _describe_each(clock, lambda c: f"opens at {_format_clock(c)} {must}")
    check.quarantine("off_session", off_grid, detail)
    times = _times(check.rows)
    closed = ~in_session(times, calendar)
    days = session_dates(times[closed])
    detail = _describe_each(days, lambda day: _describe_closed(day, calendar))
    check.quarantine("closed_day", closed, detail)


def _resolve_duplicates(check: QualityCheck, thresholds: BarQualityParams) -> None:
    """Keep one bar an instant; remove the others, quarantined if their close differs from the kept one."""
    duplicates = check.rows[check.rows["timestamp"].duplicated(keep=False)]
    if duplicates.empty:
        return
    ordered = _best_first(duplicates, thresholds.preferred_sources)
    is_duplicate = check.rows.index.isin(ordered.index[ordered["timestamp"].duplicated()])
    best = ordered.drop_duplicates("timestamp").set_index("timestamp")
    kept = best[["close", "source"]].reindex(check.rows["timestamp"])
    close, kept_close = check.rows["close"].to_numpy(float), kept["close"].to_numpy(float)
    kept_source, limit = kept["source"].to_numpy(), thresholds.agree_within
    agrees = is_duplicate & (np.abs(close - kept_close) <= limit * _ROUNDING)
    disagrees = is_duplicate & ~agrees
    agreeing = [
        f"close {c:.5f} repeats the bar kept from {s} within {limit:g}"
        for c, s in zip(close[agrees], kept_source[agrees], strict=True)
    ]
    disagreeing = [
        f"close {c:.5f} differs by {abs(c - k):.5f} from {k:.5f} of {s}, which is kept; at most "
        f"{limit:g} is the same bar"
        for c, k, s in zip(close[disagrees], kept_close[disagrees], kept_source[disagrees], strict=True)
    ]
    check.remove_duplicates("duplicate_agrees", agrees, agreeing)
    check.quarantine("duplicate_disagrees", disagrees[~agrees], disagreeing)


def _quarantine_longer_bars(check: QualityCheck) -> None:
    """Quarantine sessions of longer bars: all steps are multiples of one, and most are that one."""
    times = _times(check.rows).tz_localize(None).to_numpy()
    begins = np.flatnonzero(np.diff(times, prepend=times[:1]) > _NIGHT)
    length = np.ones(len(times), dtype=int)
    for rows in np.split(np.arange(len(times)), begins):
        if _MIN_LONG_STEPS < len(rows) <= _MOST_LONG_BARS:
            steps = np.diff(times[rows]) // BAR.to_timedelta64()
            step = int(steps.min())
            is_longer = step > 1 and not (steps % step).any() and (steps == step).mean() >= _MOST_STEPS
            length[rows] = step if is_longer else 1
    violates = length > 1
    if not violates.any():
        return
    minutes = length[violates] * int(BAR / pd.Timedelta(minutes=1))
    detail = _describe_each(minutes, lambda n: f"its session has bars of {n} minutes: each closes too late")
    check.quarantine("bar_length", violates, detail)


def _best_first(duplicates: pd.DataFrame, preferred_sources: tuple[str, ...]) -> pd.DataFrame:
    """Sort the bars of each instant by: a range, preferred source, source name, low prices."""
    rank = {name: i for i, name in enumerate(preferred_sources)}
    ranks = duplicates["source"].map(rank).fillna(len(rank))
    order = ["timestamp", "is_flat", "rank", "source", "close", "open", "high", "low", "volume"]
    return duplicates.assign(is_flat=_is_flat(duplicates), rank=ranks).sort_values(order)


# ---- rules of a bar among its neighbours


def _flag_flat_sessions(check: QualityCheck, thresholds: BarQualityParams, as_of: pd.Timestamp) -> None:
    """Flag the bars of ended sessions whose closes hardly ever move: quotes carried forward."""
    days = session_dates(_times(check.rows))
    names, session, n_bars = np.unique(days, return_inverse=True, return_counts=True)
    n_repeats = np.bincount(session, _repeats_close(check.rows, days), minlength=len(names))
    share = n_repeats / np.maximum(n_bars - 1, 1)
    has_ended = names <= last_ended_day(as_of)
    is_flat = has_ended & (n_bars >= thresholds.stale_bars) & (share >= thresholds.flat_session_share)
    violates = is_flat[session]
    detail = _describe_each(
        session[violates],
        lambda s: (
            f"{names[s]}: {n_repeats[s]:.0f} of {n_bars[s] - 1} closes repeat the one before "
            f"(from {thresholds.flat_session_share:.0%} on no market stands behind the quotes)"
        ),
    )
    check.flag("flat_session", violates, detail, thresholds.doubtful)


# ---- reports about the kept bars


def _report_flat_bars(check: QualityCheck, thresholds: BarQualityParams) -> None:
    """Report consecutive sessions of a source with more flat bars than the limit."""
    rows = check.rows.assign(day=session_dates(_times(check.rows)), is_flat=_is_flat(check.rows))
    for source, of_source in rows.groupby("source"):
        shares = of_source.groupby("day")["is_flat"].mean()
        for sessions in _consecutive(np.flatnonzero(shares > thresholds.max_flat_share)):
            first, last = shares.index[sessions[0]], shares.index[sessions[-1]]
            bars = of_source[of_source["day"].between(first, last)]
            share = bars["is_flat"].mean()
            detail = (
                f"{len(sessions)} session(s), {first:%Y-%m-%d} to {last:%Y-%m-%d}: {share:.1%} of the bars "
                f"have open = high = low = close, in each more than {thresholds.max_flat_share:.0%}; closes "
                "stand, ranges do not"
            )
            check.report("flat_bars", BARS, bars["timestamp"].iloc[0], share, detail, str(source))


def _report_stale_runs(check: QualityCheck, thresholds: BarQualityParams) -> None:
    """Report each session's longest run of equal closes."""
    days = session_dates(_times(check.rows))
    run = np.cumsum(~_repeats_close(check.rows, days))
    _, start, length = np.unique(run, return_index=True, return_counts=True)
    runs = pd.DataFrame({"start": start, "length": length, "day": days[start]})
    longest = runs.sort_values("length", ascending=False, kind="stable").drop_duplicates("day")
    for index, n, _ in longest[longest["length"] >= thresholds.stale_bars].to_numpy():
        first: Any = check.rows.iloc[index]
        detail = f"{n} closes in a row equal {first['close']:.5f} (from {thresholds.stale_bars} on)"
        check.report("stale_run", BARS, first["timestamp"], n, detail, first["source"])


def _describe_closed(day: np.datetime64, calendar: CalendarParams) -> str:
    if (exception := calendar.exceptions.get(day.astype(object))) is not None:
        kept = "closed" if exception.closed else f"open {exception.hours} only"
        return f"{day} is {kept} by calendar.exceptions: {exception.reason}"
    why = "a Colombian holiday or the banks' closing day" if np.is_busday(day) else "a weekend"
    return f"{day} is {why}"


def _report_coverage(
    check: QualityCheck, thresholds: BarQualityParams, as_of: pd.Timestamp, calendar: CalendarParams
) -> None:
    """Report sparse sessions, and consecutive scheduled sessions without a bar."""
    counts = bars_per_session(_times(check.rows), as_of, calendar)
    sessions, n_bars = counts.index.to_numpy("datetime64[D]"), counts.to_numpy()
    for day, n in zip(sessions, n_bars, strict=True):
        first_slot, last_slot = session_slots(day, calendar)
        whole = last_slot - first_slot + 1
        if 0 < n < (fewest := thresholds.min_session_share * whole):
            detail = f"{day} has {n} of {whole} bars (fewer than {fewest:.0f})"
            check.report("sparse_session", BARS, session_bar_times(day)[0], n, detail)
    for missing in _consecutive(np.flatnonzero(n_bars == 0)):
        first, last = sessions[missing[0]], sessions[missing[-1]]
        detail = f"{len(missing)} scheduled session(s) without a bar, {first} to {last}"
        check.report("missing_session", BARS, session_bar_times(first)[0], len(missing), detail)


# ---- helpers


def _times(rows: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(rows["timestamp"])


def _repeats_close(rows: pd.DataFrame, days: np.ndarray) -> np.ndarray:
    """Tell whether each bar's close equals that of the bar before it in the same session."""
    close = rows["close"].to_numpy(float)
    repeats = np.zeros(len(rows), dtype=bool)
    repeats[1:] = (close[1:] == close[:-1]) & (days[1:] == days[:-1])
    return repeats


def _is_flat(bars: pd.DataFrame) -> pd.Series:
    return bars["high"].eq(bars["low"])


def _consecutive(indices: np.ndarray) -> list[np.ndarray]:
    """Split increasing indices into runs without a gap."""
    return np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1) if len(indices) else []


def _describe_each(values: np.ndarray, describe: Callable[[Any], str]) -> list[str]:
    """Return a sentence for each value; each distinct value is described once."""
    distinct, inverse = np.unique(values, return_inverse=True)
    details = [describe(value) for value in distinct]
    return [details[index] for index in inverse]


def _format_clock(hhmmss: int) -> str:
    return f"{hhmmss // 10_000:02d}:{hhmmss // 100 % 100:02d}:{hhmmss % 100:02d}"


def _format_ohlc(row: np.ndarray) -> str:
    return ", ".join(f"{price:.5f}" for price in row)
