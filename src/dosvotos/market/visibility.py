"""When each macro value became visible to a bar, and how old it was while it was seen."""

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.market.alignment import weekday_observations
from dosvotos.market.calendar import BAR, slots
from dosvotos.market.microseconds import US_PER_DAY, to_microseconds


def first_visible(macro: pd.DataFrame, bar_times: pd.DatetimeIndex) -> pd.DataFrame:
    """Find the first bar that sees each published value of the variables behind features.

    Parameters
    ----------
    macro : DataFrame
        variable, observation_date and published_at (UTC); a revision is a further row.
    bar_times : DatetimeIndex of shape (n_bars,), UTC, bar opens in order

    Returns
    -------
    DataFrame
        A row for each value published between the first and the last close: variable (short name),
        observation_date, published_at, bar (its open, UTC), slot and waited (hours until the bar's close).
    """
    closes = bar_times + BAR
    names = {full: short for short, full in MACRO_SOURCES.items()}
    known = pd.concat([weekday_observations(macro, full) for full in names])
    rows = known[(known["published_at"] > closes[0]) & (known["published_at"] <= closes[-1])]
    index = closes.searchsorted(pd.DatetimeIndex(rows["published_at"]))
    return pd.DataFrame(
        {
            "variable": rows["variable"].map(names).to_numpy(),
            "observation_date": rows["observation_date"].to_numpy(),
            "published_at": rows["published_at"].to_numpy(),
            "bar": bar_times[index],
            "slot": slots(bar_times[index]),
            "waited": (closes[index] - pd.DatetimeIndex(rows["published_at"])) / pd.Timedelta(hours=1),
        }
    )


def staleness(
    macro: pd.DataFrame, bar_times: pd.DatetimeIndex, variables: dict[str, MacroVariable]
) -> pd.DataFrame:
    """Compute the age of each variable's newest value at each bar's close, as a share of its limit.

    Parameters
    ----------
    macro, bar_times : as `first_visible`
    variables : dict of MacroVariable by full name

    Returns
    -------
    DataFrame of shape (n_bars, 7)
        By short name; the limit is ``ffill_max_days``, and above 1 the value counts as missing. NaN before
        the first publication.
    """
    closes = to_microseconds(bar_times + BAR)
    shares = {}
    for short, name in MACRO_SOURCES.items():
        moments = _newest_published(weekday_observations(macro, name))
        n_known = np.searchsorted(moments, closes, side="right")
        age = (closes - np.insert(moments, 0, 0)[n_known]) / US_PER_DAY
        shares[short] = np.where(n_known > 0, age / variables[name].ffill_max_days, np.nan)
    return pd.DataFrame(shares, index=bar_times)


def _newest_published(observations: pd.DataFrame) -> np.ndarray:
    """Publications and revisions of whatever observation was then the newest, microseconds UTC, in order."""
    rows = observations.sort_values(["published_at", "observation_date"])
    newest = rows["observation_date"].cummax() == rows["observation_date"]
    return to_microseconds(pd.DatetimeIndex(rows.loc[newest, "published_at"]))
