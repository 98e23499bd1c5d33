"""Aggregate 1-minute bars to five minutes."""

from typing import NamedTuple

import pandas as pd

from dosvotos.market.calendar import BAR

_AGGREGATES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
_MINUTES = 5


class ResampledBars(NamedTuple):
    """Five-minute bars, and what their minutes lacked."""

    bars: pd.DataFrame
    note: str


def resample_minutes(bars: pd.DataFrame) -> ResampledBars:
    """Aggregate 1-minute bars to 5-minute bars: open first, high max, low min, close last, volume sum.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, UTC), open, high, low, close, volume; in any order. A minute that stands twice
        counts by its last row; a volume that is missing in all minutes stays missing.

    Returns
    -------
    ResampledBars
        Labelled by their opens, in time order. A bucket of fewer than five minutes is kept, since a quiet
        market has minutes without a price; the first and last are left out where the delivery cuts them off,
        for their open or close is unknown. The note counts both.
    """
    minutes = bars.drop_duplicates("timestamp", keep="last").sort_values("timestamp", kind="stable")
    opens = minutes["timestamp"].dt.floor(BAR)
    grouped = minutes.groupby(opens, sort=True)
    columns = {name: how for name, how in _AGGREGATES.items() if name != "volume"}
    result = grouped.agg(columns).assign(volume=grouped["volume"].sum(min_count=1), n=grouped.size())
    first, last = minutes["timestamp"].iloc[[0, -1]]
    is_cut = pd.Series(False, index=result.index)
    is_cut.iloc[0] = first != opens.iloc[0]
    is_cut.iloc[-1] |= last != opens.iloc[-1] + BAR - BAR / _MINUTES
    kept = result[~is_cut]
    extra = [name for name in bars.columns if name not in (*_AGGREGATES, "timestamp")]
    firsts = grouped[extra].first().loc[kept.index] if extra else pd.DataFrame(index=kept.index)
    frame = kept.drop(columns="n").join(firsts).rename_axis("timestamp").reset_index()
    return ResampledBars(frame[list(bars.columns)], _describe(len(minutes), kept["n"], is_cut))


def _describe(n_minutes: int, n_held: pd.Series, is_cut: pd.Series) -> str:
    said = [f"{n_minutes:,} 1-minute bars aggregated to {len(n_held):,} 5-minute bars"]
    if len(incomplete := n_held[n_held < _MINUTES]):
        said.append(
            f"{len(incomplete):,} of these hold fewer than five minutes and are kept as they are, first "
            f"{incomplete.index[0]:%Y-%m-%d %H:%M} UTC with {incomplete.iloc[0]}"
        )
    if is_cut.any():
        times = " and ".join(f"{time:%Y-%m-%d %H:%M}" for time in is_cut.index[is_cut])
        said.append(f"left out are those that the delivery's ends cut off: {times} UTC")
    return "; ".join(said)
