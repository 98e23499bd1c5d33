"""A calendar with exceptions in the rules of quality: what is quarantined, reported and covered."""

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import CalendarParams
from dosvotos.market.calendar import session_bar_times
from dosvotos.quality.bars import check_bars
from dosvotos.quality.freshness import session_calendar, summary_table

CALENDAR = CalendarParams.model_validate(
    {
        "exceptions": {
            "2024-07-02": {"closed": True, "reason": "a strike"},
            "2024-07-03": {"opens": "09:00", "closes": "12:00", "reason": "a blackout"},
        }
    }
)


def test_bars_outside_an_exceptions_hours_are_quarantined_and_coverage_counts_without_them(bar_limits):
    days = [session_bar_times(np.datetime64(day)) for day in ("2024-07-02", "2024-07-03", "2024-07-04")]
    times = pd.DatetimeIndex(np.concatenate(days), tz="UTC").as_unit("us")
    close = 4000 * np.exp(np.random.default_rng(3).normal(0, 5e-4, len(times)).cumsum())
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    bars = pd.DataFrame({"timestamp": times, **prices, "volume": 0.0, "source": "files"})
    now = pd.Timestamp("2024-07-05 12:00", tz="UTC")
    checked = check_bars(bars, bar_limits, now, CALENDAR)
    assert len(checked.kept) == 36 + 60
    assert len(check_bars(bars, bar_limits, now).kept) == 180
    found = checked.findings[checked.findings["rule"] == "closed_day"]["detail"].value_counts()
    assert found.to_dict() == {
        "2024-07-02 is closed by calendar.exceptions: a strike": 60,
        "2024-07-03 is open 09:00 to 12:00 only by calendar.exceptions: a blackout": 24,
    }
    assert not checked.findings["rule"].isin(["sparse_session", "missing_session"]).any()
    stored = checked.kept.set_index("timestamp")
    kinds = session_calendar(pd.DatetimeIndex(stored.index), now, CALENDAR)["kind"]
    assert kinds["2024-07-04"] == "60 bars"
    empty = pd.DataFrame()
    assert summary_table(stored, empty, empty, {}, now, CALENDAR)["coverage"].iloc[0] == 1.0
