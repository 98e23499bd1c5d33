"""The real files as one delivery: nothing new is put aside, each new defect is found as documented."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.market.calendar import in_session, session_dates
from dosvotos.quality.dates import check_dates, check_dates_by_bars
from dosvotos.quality.findings import CheckedRows, no_findings
from dosvotos.quality.levels import check_levels
from dosvotos.quality.references import SPOT, Witnesses, spot_levels
from dosvotos.simulation.hazards.deliveries import DELIVERIES
from dosvotos.sources.checks import check_market
from dosvotos.sources.raw_market import RawMarket
from tests.quality.conftest import NOW

pytestmark = pytest.mark.slow
NONE = pd.DataFrame(columns=["variable", "observation_date", "value", "vintage", "source"])
NEW_RULES = {"off_level", "percent_fraction", "swapped", "relation", "dated_early", "off_vintage"}


@pytest.fixture(scope="module")
def judge(parameters, variables):
    def _judge(bars, macro):
        return check_market(RawMarket(bars, macro), variables, parameters.quality_thresholds, NOW, NONE)

    return _judge


def test_of_the_real_files_no_new_rule_finds_anything(judge, real_bars, real_macro):
    checked = judge(real_bars, real_macro)
    assert len(checked.bars) == 85_891 and len(checked.macro) == len(real_macro)
    assert not NEW_RULES & set(checked.findings["rule"])


@pytest.mark.parametrize("n_sessions", [1, 2, 6, 60])
def test_windows_of_real_bars_are_kept_and_each_kind_of_wrong_delivery_is_refused(
    n_sessions, bar_limits, real_bars, real_macro
):
    bars = real_bars[in_session(pd.DatetimeIndex(real_bars["timestamp"]))]
    days = session_dates(pd.DatetimeIndex(bars["timestamp"]))
    spot = spot_levels(real_macro, NONE)
    known = Witnesses(spot, spot.select(spot.days < spot.days[0]), (1500.0, 9000.0))
    sessions = np.unique(days)
    for first in np.random.default_rng(n_sessions).integers(0, len(sessions) - n_sessions, 6):
        window = bars[np.isin(days, sessions[first : first + n_sessions])].reset_index(drop=True)
        assert check_levels(window, known, bar_limits.level).checked.findings.empty
        for kind, spoil in DELIVERIES.items():
            if n_sessions > 1 or kind not in ("redenomination", "turns_into_eurcop"):
                with pytest.raises(DataError, match="not pesos a dollar"):
                    check_levels(spoil(window), known, bar_limits.level)


def test_a_percent_as_a_fraction_is_out_in_all_nine_series_that_are_measured(
    judge, real_bars, real_macro, variables
):
    named = set(real_macro["variable"])
    percents = sorted(name for name in named if variables[name].unit.startswith("percent"))
    assert len(percents) == 9
    for name in percents:
        own = real_macro["variable"] == name
        rows = real_macro.assign(value=real_macro["value"].where(~own, real_macro["value"] / 100))
        kept = judge(real_bars[:0], rows).macro["variable"]
        assert name not in set(kept) and len(kept) == (~own).sum()


@pytest.mark.campaign
@pytest.mark.parametrize(("how", "found"), [("calendar", 18), ("business", 15), ("row", 11)])
def test_dates_a_day_early_are_told_in_as_many_series_as_documented(
    how, found, real_macro, real_bars, variables
):
    daily = [name for name in sorted(set(real_macro["variable"])) if variables[name].frequency == "daily"]
    assert len(daily) == 18
    caught = set()
    for name in daily:
        rows = real_macro[real_macro["variable"].isin(daily)].reset_index(drop=True)
        own = rows.index[rows["variable"] == name]
        day = pd.to_datetime(rows["observation_date"][own])
        if how == "row":
            ordered = rows.loc[own].sort_values("observation_date")
            rows.loc[ordered.index, "value"] = ordered["value"].shift(-1).ffill().to_numpy()
        else:
            early = day - (pd.Timedelta(days=1) if how == "calendar" else pd.offsets.BDay(1))
            rows.loc[own, "observation_date"] = early.dt.date
        rows = rows.drop_duplicates(["variable", "observation_date"], ignore_index=True)
        told = check_dates(CheckedRows(rows, no_findings()), variables)
        caught_now = set(check_dates_by_bars(told, real_bars, variables).quarantined["subject"])
        assert caught_now <= {name}
        caught |= caught_now
    assert len(caught) == found


@pytest.mark.campaign
@pytest.mark.parametrize("n_sessions", [10, 15, 40])
def test_the_spot_is_told_early_by_the_bars_of_few_sessions_and_never_when_it_is_right(
    n_sessions, real_macro, real_bars, variables
):
    spot = real_macro[real_macro["variable"] == SPOT].sort_values("observation_date", ignore_index=True)
    early = spot.assign(value=spot["value"].shift(-1).ffill())
    late = spot.assign(value=spot["value"].shift(1).bfill())
    bars = real_bars[in_session(pd.DatetimeIndex(real_bars["timestamp"]))]
    days = session_dates(pd.DatetimeIndex(bars["timestamp"]))
    sessions, found = np.unique(days), dict.fromkeys(("right", "early", "late"), 0)
    starts = range(0, len(sessions) - n_sessions, 21)
    for first in starts:
        window = bars[np.isin(days, sessions[first : first + n_sessions])]
        for name, rows in (("right", spot), ("early", early), ("late", late)):
            told = check_dates_by_bars(CheckedRows(rows, no_findings()), window, variables)
            found[name] += len(told.quarantined) > 0
    assert found["right"] == found["late"] == 0
    assert found["early"] >= {10: 0.93, 15: 0.95, 40: 0.99}[n_sessions] * len(starts)
