"""The real market: every true value survives, and each defect once found in its files is found again.

The counts stand in docs/quality.md; the defects are those of the original files, put back where they were.
"""

import datetime as dt
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from dosvotos.quality.bars import check_bars
from dosvotos.quality.findings import QUARANTINED, REPORTED
from dosvotos.quality.macro import check_macro
from tests.quality.conftest import NOW

pytestmark = pytest.mark.slow

US_MONTHLY = ("cpiaucsl", "cpilfesl", "pcepi", "m2sl", "umcsent", "unrate")
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def checked_bars(real_bars, bar_limits):
    return check_bars(real_bars, bar_limits, pd.Timestamp("2026-01-15 18:00", tz="UTC"))


@pytest.fixture
def check(real_variables, macro_limits):
    def _check(rows, known=None):
        return check_macro(rows, real_variables, macro_limits, NOW, known)

    return _check


def full_name(rows: pd.DataFrame, short: str) -> str:
    (name,) = {name for name in rows["variable"].unique() if name.endswith(f"_{short}")}
    return name


def of(rows: pd.DataFrame, short: str, start: str = "1900-01-01", end: str = "2100-01-01") -> pd.Index:
    """Labels of a variable's rows of a period, in order."""
    day = pd.to_datetime(rows["observation_date"])
    chosen = rows[(rows["variable"] == full_name(rows, short)) & (day >= start) & (day <= end)]
    return chosen.sort_values("observation_date").index


def found_and_false(checked, spoilt: pd.DataFrame) -> tuple[int, int]:
    """How many of the spoilt rows were quarantined, and how many others."""
    quarantined = set(zip(checked.quarantined["subject"], checked.quarantined["at"].dt.date, strict=True))
    bad = set(zip(spoilt["variable"], spoilt["observation_date"], strict=True))
    return len(quarantined & bad), len(quarantined - bad)


# ---- bars


def test_findings_of_real_bars_are_as_documented(checked_bars):
    counts = checked_bars.findings.groupby(["severity", "rule"]).size()
    assert counts[QUARANTINED].to_dict() == {
        "closed_day": 4365, "flat_session": 153, "off_session": 86, "spike": 44, "wick": 2,
    }  # fmt: skip
    assert counts[REPORTED].to_dict() == {
        "flat_bars": 37, "missing_session": 8, "sparse_session": 51, "stale_run": 20,
    }  # fmt: skip


def test_the_known_bad_tick_and_the_days_off_session_are_quarantined(checked_bars):
    found = checked_bars.quarantined.set_index("at")
    assert found.loc[pd.Timestamp("2024-01-22 17:40", tz="UTC"), "rule"] == "spike"
    assert set(found[found["rule"] == "off_session"].index.date) == {dt.date(2026, 1, 8)}
    sessions = {str(day) for day in found[found["rule"] == "flat_session"].index.date}
    assert sessions == {"2021-05-31", "2022-01-17", "2023-01-02", "2023-01-16"}


@pytest.mark.parametrize(
    "moment", ["2020-03-09 14:00", "2020-03-13 16:55", "2020-03-24 13:00", "2025-04-04 13:20"]
)
def test_the_largest_true_moves_survive(checked_bars, moment):
    assert pd.Timestamp(moment, tz="UTC") in set(checked_bars.kept["timestamp"])


@pytest.mark.parametrize(
    ("prices", "size", "recall"),
    [(PRICES, 0.01, 0.80), (PRICES, 0.02, 0.97), (["high"], 0.02, 0.60), (["high"], 0.04, 0.95)],
)
def test_bad_ticks_put_into_real_bars_are_found(checked_bars, bar_limits, prices, size, recall):
    """Closes and highs moved for one bar; 1% is no more than eight sigmas on the liveliest days."""
    clean = checked_bars.kept
    slot = (clean["timestamp"].dt.hour - 13) * 12 + clean["timestamp"].dt.minute // 5
    places = np.random.default_rng(0).choice(
        np.flatnonzero((slot > 3) & (slot < 56))[::10], 500, replace=False
    )
    spoilt = clean.copy()
    spoilt.loc[places, prices] *= 1 + size
    checked = check_bars(spoilt, bar_limits, NOW)
    quarantined = set(checked.quarantined["at"])
    bad = set(spoilt["timestamp"][places])
    assert len(quarantined & bad) >= recall * len(bad)
    assert len(quarantined - bad) <= 1


# ---- macro


def test_every_true_value_survives(real_macro, check):
    checked = check(real_macro)
    assert len(checked.kept) == len(real_macro)
    assert checked.findings["rule"].value_counts().to_dict() == {"gap": 38, "weekend": 179}


@pytest.mark.parametrize(("short", "factor"), [("usdmxn", 1e4), ("usdclp", 100.0)])
def test_a_decimal_comma_lost_from_a_day_on_is_found(real_macro, check, short, factor):
    rows = real_macro.copy()
    bad = of(rows, short, "2026-01-27")
    rows.loc[bad, "value"] *= factor
    checked = check(rows)
    assert found_and_false(checked, rows.loc[bad]) == (len(bad), 0)
    assert set(checked.quarantined["rule"]) == {"decimal_slip"}


def test_brent_s_wrong_instrument_is_found(real_macro, check):
    days = pd.bdate_range("2025-09-25", "2025-12-19")[:59]
    wrong = pd.DataFrame(
        {
            "variable": full_name(real_macro, "brent"),
            "observation_date": days.date,
            "value": np.random.default_rng(0).uniform(19.96, 24.38, 59),
            "vintage": "final",
            "source": "files",
        }
    )
    checked = check(pd.concat([real_macro, wrong], ignore_index=True))
    assert found_and_false(checked, wrong) == (59, 0)
    assert set(checked.quarantined["rule"]) == {"splice"}


@pytest.mark.parametrize("last", ["2026-01-22", "2100-01-01"])
def test_dxy_replaced_by_the_broad_index_is_found(real_macro, check, last):
    """82 days and more of an index about 120, to the end of the file or not."""
    rows = real_macro[
        (real_macro["variable"] != full_name(real_macro, "dxy"))
        | (pd.to_datetime(real_macro["observation_date"]) <= last)
    ].copy()
    bad = of(rows, "dxy", "2025-09-19", "2026-01-22")
    moves = np.random.default_rng(0).normal(0, 0.003, len(bad))
    rows.loc[bad, "value"] = 120.3 * np.exp(np.cumsum(moves))
    assert found_and_false(check(rows), rows.loc[bad]) == (len(bad), 0)


def test_us_months_that_repeat_when_the_first_is_a_weekend_are_found(real_macro, check):
    """Two months that follow another such month hold its value shifted, no repeat: nothing tells those."""
    rows = real_macro.copy()
    bad, shifted = [], []
    for short in US_MONTHLY:
        labels = of(rows, short, "2020-01-01", "2025-06-30")
        for before, label in pairwise(labels):
            if real_macro["observation_date"][label].weekday() >= 5:
                rows.loc[label, "value"] = real_macro["value"][before]
                repeats = rows["value"][label] == rows["value"][before]
                (bad if repeats else shifted).append(label)
    checked = check(rows)
    found, false = found_and_false(checked, rows.loc[bad])
    assert (found, len(bad), len(shifted)) == (102, 102, 12)
    assert false == 6  # fed funds rates that did repeat in those months
    assert set(checked.quarantined["rule"]) == {"copied"}


def test_the_fabricated_tail_of_the_shutdown_is_found(real_macro, check):
    months = [dt.date(2025, 10, 1), dt.date(2025, 11, 1), dt.date(2025, 12, 1), dt.date(2026, 1, 1)]
    rows, filled = real_macro, []
    for short in US_MONTHLY:
        rows = rows.drop(of(rows, short, "2025-10-01"))
        last = rows.loc[of(rows, short)[-1]]
        filled += [{**last, "observation_date": month} for month in months]
    spoilt = pd.DataFrame(filled)
    checked = check(pd.concat([rows, spoilt], ignore_index=True))
    assert found_and_false(checked, spoilt) == (24, 0)


@pytest.mark.parametrize(("days", "found_in"), [(2, 8), (3, 13), (5, 15)])
def test_a_daily_tail_filled_forward_is_found(real_macro, check, days, found_in):
    """Of 18 daily series; TPM and prime stand still by nature, and IBR for a week at times."""
    daily = real_macro["variable"].str.contains("_d_")
    last = real_macro[daily].sort_values("observation_date").groupby("variable").tail(days).index
    rows = real_macro.copy()
    for _, labels in real_macro.loc[last].groupby("variable").groups.items():
        name = real_macro["variable"][labels[0]]
        true = real_macro.loc[of(real_macro, name.split("_")[-1])]["value"]
        rows.loc[labels, "value"] = true.iloc[-days - 1]
    found = check(rows).quarantined
    assert found["subject"].nunique() == found_in


def test_padding_rows_of_1954_are_quarantined(real_macro, check):
    ends = pd.date_range("1954-07-31", periods=62, freq="ME").date
    names = [name for name in real_macro["variable"].unique() if "_d_" in name]
    padding = pd.DataFrame([(n, day, np.nan, "final", "files") for n in names for day in ends])
    padding.columns = real_macro.columns
    checked = check(pd.concat([padding, real_macro], ignore_index=True))
    assert checked.quarantined["rule"].value_counts().to_dict() == {"padding": 1116}
    assert len(checked.kept) == len(real_macro)


def test_single_lost_decimal_points_are_found_wherever_they_are(real_macro, check):
    """All but in balances, which cross zero: there a tenth of a value is as likely as the value."""
    balances = {full_name(real_macro, short) for short in ("cci", "ici", "cacct", "fdiin", "fdiout")}
    found = of_all = false = 0
    rng = np.random.default_rng(1)
    for power in (-3, -2, -1, 1, 2, 3):
        rows = real_macro[~real_macro["variable"].isin(balances)].copy()
        bad = rows.groupby("variable").sample(1, random_state=rng).index
        rows.loc[bad, "value"] *= 10.0**power
        here, more = found_and_false(check(rows), rows.loc[bad])
        found, of_all, false = found + here, of_all + len(bad), false + more
    assert false == 0
    assert found >= 0.97 * of_all
