"""When each macro value became visible to a bar, and how old it was while it was seen."""

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.market.alignment import weekday_observations
from dosvotos.market.calendar import BAR, slots

_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")


def first_visible(macro: pd.DataFrame, bar_times: pd.DatetimeIndex) -> pd.DataFrame:
    """The first bar that sees each published value of the variables behind features.

    Parameters
    ----------
    macro : DataFrame
        variable, observation_date and published_at (UTC); a revision is a further row.
    bar_times : DatetimeIndex of shape (n_bars,), UTC, bar opens in order

    Returns
    -------
    DataFrame
        A row a value published between the first and the last bar's close: variable (short name),
        observation_date, published_at, bar (its open, UTC), slot (0 to 59) and waited (hours from the
        publication to the bar's close).
    """
    closes = bar_times + BAR
    names = {full: short for short, full in MACRO_SOURCES.items()}
    known = pd.concat([weekday_observations(macro, full) for full in names])
    rows = known[(known["published_at"] > closes[0]) & (known["published_at"] <= closes[-1])]
    place = closes.searchsorted(pd.DatetimeIndex(rows["published_at"]))
    return pd.DataFrame(
        {
            "variable": rows["variable"].map(names).to_numpy(),
            "observation_date": rows["observation_date"].to_numpy(),
            "published_at": rows["published_at"].to_numpy(),
            "bar": bar_times[place],
            "slot": slots(bar_times[place]),
            "waited": (closes[place] - pd.DatetimeIndex(rows["published_at"])) / pd.Timedelta(hours=1),
        }
    )


def ages(
    macro: pd.DataFrame, bar_times: pd.DatetimeIndex, variables: dict[str, MacroVariable]
) -> pd.DataFrame:
    """Age of the newest value published, at each bar's close.

    Parameters
    ----------
    macro : DataFrame
        variable, observation_date and published_at (UTC).
    bar_times : DatetimeIndex of shape (n_bars,), UTC
    variables : dict of MacroVariable by full name

    Returns
    -------
    DataFrame of shape (n_bars, 7)
        Shares of the variable's ``ffill_max_days``, by short name: above 1 the value counts as missing. NaN
        before the first publication.
    """
    closes = (bar_times + BAR).as_unit("us").asi8
    shares = {}
    for short, name in MACRO_SOURCES.items():
        moments = _releases(weekday_observations(macro, name))
        place = np.searchsorted(moments, closes, side="right")
        age = (closes - np.insert(moments, 0, 0)[place]) / _DAY
        shares[short] = np.where(place > 0, age / variables[name].ffill_max_days, np.nan)
    return pd.DataFrame(shares, index=bar_times)


def _releases(observations: pd.DataFrame) -> np.ndarray:
    """Moments at which the newest observation known was published or revised, microseconds, in order."""
    rows = observations.sort_values(["published_at", "observation_date"])
    newest = rows["observation_date"].cummax() == rows["observation_date"]
    moments: np.ndarray = pd.DatetimeIndex(rows.loc[newest, "published_at"]).as_unit("us").asi8
    return moments
