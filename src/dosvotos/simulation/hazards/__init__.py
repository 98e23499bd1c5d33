"""Hazards: defects found in real files, put into a simulated market and listed as the truth to test against.

A hazard is a kind of defect (parameter ``sample_market.hazards``), a defect one event of it. Two defects
never touch the same bar or observation. ``fabricated_tail`` and ``future_observation`` strike at the data's
end, so they move with it; all others keep their rows when a simulation becomes longer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.sample_market import HAZARDS, Hazard
from dosvotos.market.calendar import BOGOTA
from dosvotos.simulation.hazards.bars import BAR_HAZARDS, BarEditor
from dosvotos.simulation.hazards.macro import DAILY_HAZARDS, SERIES_HAZARDS, MacroEditor
from dosvotos.simulation.hazards.schedule import SEED_KEY, Defect, half_years

__all__ = ["Defect", "MarketWithDefects", "inject_hazards"]


class MarketWithDefects(NamedTuple):
    """A market's bars and macro values as a faulty source would deliver them."""

    bars: pd.DataFrame
    macro: pd.DataFrame
    defects: tuple[Defect, ...]
    """What was injected."""


def inject_hazards(
    bars: pd.DataFrame, macro: pd.DataFrame, names: Sequence[Hazard], seed: int
) -> MarketWithDefects:
    """Inject defects into a clean market, one event of each hazard a half-year.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, UTC, sorted, unique), open, high, low, close; further columns are kept.
    macro : DataFrame
        variable, observation_date (date), value; further columns are kept.
    names : sequence of Hazard
    seed : int

    Returns
    -------
    MarketWithDefects
        New frames, sorted by timestamp and by variable and observation date; defects in the order of
        `HAZARDS`. Without names the frames themselves.

    Notes
    -----
    Hazards of bars strike sessions of which all 60 bars are there, so a defect near the end of the data
    appears once its session is complete.
    """
    if not names:
        return MarketWithDefects(bars, macro, ())
    bar_editor, macro_editor = BarEditor(bars), MacroEditor(macro)
    chosen = [hazard for hazard in HAZARDS if hazard in names]
    first = min(bars["timestamp"].iloc[0].date(), macro["observation_date"].min())
    last = max(bars["timestamp"].iloc[-1].date(), macro["observation_date"].max())
    for half in half_years(first, last):
        for hazard in filter(BAR_HAZARDS.__contains__, chosen):
            BAR_HAZARDS[hazard](bar_editor, half.target_sessions(seed), half.generator(seed, hazard))
        for hazard in filter(DAILY_HAZARDS.__contains__, chosen):
            weekdays = half.target_weekdays(seed)[hazard]
            DAILY_HAZARDS[hazard](macro_editor, weekdays, half.generator(seed, hazard))
    today = pd.Timestamp(bars["timestamp"].iloc[-1]).tz_convert(BOGOTA).date()
    for hazard in filter(SERIES_HAZARDS.__contains__, chosen):
        SERIES_HAZARDS[hazard](macro_editor, np.random.default_rng([seed, SEED_KEY]), today)
    defects = sorted(bar_editor.defects + macro_editor.defects, key=lambda row: HAZARDS.index(row.hazard))
    return MarketWithDefects(bar_editor.to_frame(), macro_editor.to_frame(), tuple(defects))
