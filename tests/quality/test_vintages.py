"""Every dated vintage is judged, the superseded ones too."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from dosvotos.quality.vintages import check_superseded, is_superseded
from tests.quality.conftest import NOW

CPI = "infl_cpi_all_usa_m_cpiaucsl"


def observations(n: int = 40, first: str = "2021-01-01", start: float = 260.0) -> pd.DataFrame:
    """Three vintages a month: a first print, a revision by 0.1%, a last one by 0.2%."""
    months = pd.date_range(first, periods=n, freq="MS")
    level = start * np.exp(0.002 * np.arange(n) + 0.0005 * np.sin(np.arange(n)))
    prints = [
        pd.DataFrame(
            {
                "variable": CPI,
                "observation_date": months.date,
                "value": (level * (1 + 0.001 * k)).round(3),
                "vintage": [f"{month + pd.DateOffset(months=k + 1):%Y-%m}-12" for month in months],
                "source": "fred",
            }
        )
        for k in range(3)
    ]
    return pd.concat(prints, ignore_index=True)


def judge(rows, variables, macro_limits):
    superseded = is_superseded(rows)
    return check_superseded(rows[superseded], rows[~superseded], variables, macro_limits, NOW)


def test_the_last_vintage_of_a_date_supersedes_the_others_and_words_supersede_nothing():
    rows = observations(3)
    assert rows["vintage"][is_superseded(rows)].tolist() == rows["vintage"][:6].tolist()
    assert not is_superseded(rows.assign(vintage="final")).any()


def test_true_revisions_stay(variables, macro_limits):
    checked = judge(observations(), variables, macro_limits)
    assert checked.findings.empty and len(checked.kept) == 80


@pytest.mark.parametrize(
    ("value", "rule"),
    [(5_100.0, "out_of_range"), (310.0, "step"), (np.nan, "not_finite"), (27.5, "decimal_slip")],
)
def test_a_bad_first_print_is_quarantined_though_its_last_vintage_is_right(
    value, rule, variables, macro_limits
):
    rows = observations()
    rows.loc[20, "value"] = value
    checked = judge(rows, variables, macro_limits)
    assert len(checked.quarantined) == 1 and len(checked.kept) == 79
    found = checked.quarantined.iloc[0]
    assert found["at"].date() == rows["observation_date"][20]
    assert found["rule"] == rule


def test_a_single_vintage_without_neighbours_is_compared_with_the_latest(variables, macro_limits):
    rows = observations(1)[1:].reset_index(drop=True)
    rows.loc[0, "value"] = 300.0
    (detail,) = judge(rows, variables, macro_limits).quarantined["detail"]
    assert "300 of vintage 2021-03-12" in detail and "of the latest vintage" in detail


def test_another_base_year_that_lasts_is_a_true_vintage(variables, macro_limits):
    rows = observations()
    earlier = is_superseded(rows) & (pd.to_datetime(rows["observation_date"]) < "2022-06-01")
    rows.loc[earlier, "value"] = (rows.loc[earlier, "value"] * 1.1).round(3)
    checked = judge(rows, variables, macro_limits)
    assert checked.quarantined.empty


def test_a_vintage_of_a_date_that_never_began_is_put_aside(variables, macro_limits):
    rows = observations(2)
    rows["observation_date"] = rows["observation_date"].where(rows.index != 1, dt.date(2031, 1, 1))
    rows.loc[len(rows)] = [CPI, dt.date(2031, 1, 1), 260.0, "2031-03-01", "fred"]
    assert judge(rows, variables, macro_limits).quarantined["rule"].tolist() == ["future"]
