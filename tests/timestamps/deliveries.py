"""Deliveries of bars as a file may hold them, and what becomes of them."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.market.calendar import BOGOTA, in_session, session_dates
from dosvotos.timestamps.labels import find_shifted_sessions
from dosvotos.timestamps.resolve import ResolvedBars, resolve_bars

_STATE = re.compile(r"data_acquisition\.(\w+)=([\w/]+)")


def resolve(bars: pd.DataFrame, **stated) -> ResolvedBars:
    """Resolve bars with the defaults of conf/base save what is stated."""
    defaults = {"timezone": None, "mixed_timezone": "refuse", "bar_labels": "open", "resample": None}
    return resolve_bars(bars, subject="usdcop_5m.csv", **(defaults | stated))


def first_sessions(bars: pd.DataFrame, n: int, skip: int = 0) -> pd.DataFrame:
    days = session_dates(pd.DatetimeIndex(bars["timestamp"]))
    return bars[np.isin(days, np.unique(days)[skip : skip + n])].reset_index(drop=True)


def moved(bars: pd.DataFrame, **by) -> pd.DataFrame:
    """The same bars with labels moved by a Timedelta."""
    return bars.assign(timestamp=bars["timestamp"] + pd.Timedelta(**by))


def naive(bars: pd.DataFrame, zone: str) -> pd.DataFrame:
    """The same bars with the wall clock of a zone, which is not written."""
    return bars.assign(timestamp=bars["timestamp"].dt.tz_convert(zone).dt.tz_localize(None))


def aggregated(bars: pd.DataFrame, to: str) -> pd.DataFrame:
    """Longer bars of the same market, labelled by their opens."""
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return bars.groupby(bars["timestamp"].dt.floor(to)).agg(how).reset_index()


def minutes(bars: pd.DataFrame) -> pd.DataFrame:
    """1-minute bars of the same market: prices on a line from open to close, extremes in the third minute."""
    parts = []
    for i in range(5):
        start = bars["open"] + (bars["close"] - bars["open"]) * i / 5
        end = bars["open"] + (bars["close"] - bars["open"]) * (i + 1) / 5
        high, low = np.maximum(start, end), np.minimum(start, end)
        part = bars.assign(open=start, close=end, high=high, low=low, volume=i + 1.0)
        if i == 2:
            part = part.assign(high=bars["high"], low=bars["low"])
        parts.append(part.assign(timestamp=bars["timestamp"] + pd.Timedelta(minutes=i)))
    return pd.concat(parts).sort_values("timestamp", ignore_index=True)


def misplaced(bars: pd.DataFrame, true: pd.Series, **stated) -> int:
    """How many bars would be stored at another instant than the true one; 0 if the delivery is refused."""
    try:
        read = resolve(bars, **stated).bars
    except DataError:
        return 0
    times = pd.DatetimeIndex(read["timestamp"])
    kept = in_session(times)
    for session in find_shifted_sessions(times, read["close"].to_numpy()):
        kept[session.rows] = False
    return int((kept & (times != pd.DatetimeIndex(true))).sum())


def follow_advice(bars: pd.DataFrame, **stated) -> Iterator[tuple[dict, ResolvedBars | str]]:
    """Do what each message says until a delivery is read, or a message says no parameter to state."""
    while True:
        try:
            yield stated, resolve(bars, **stated)
            return
        except DataError as error:
            message = str(error)
        yield stated, message
        advice = dict(_STATE.findall(message))
        if "leave the parameter out" in message:
            named = re.search(r"data_acquisition\.(\w+)", message)
            advice = {named.group(1): {"bar_labels": "open"}.get(named.group(1))}
        if not advice:
            return
        stated = stated | advice


def tagged_utc(bars: pd.DataFrame, zone: str) -> pd.DataFrame:
    """The same bars with the wall clock of a zone, said to be UTC."""
    return bars.assign(timestamp=naive(bars, zone)["timestamp"].dt.tz_localize("UTC"))


def in_bogota(bars: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(bars["timestamp"]).tz_convert(BOGOTA)
