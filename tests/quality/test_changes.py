"""What a delivery changes of what is stored is counted exactly, and refused above the limit."""

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.quality_thresholds import ChangeParams
from dosvotos.errors import DataError
from dosvotos.quality.changes import bar_changes, changes_found, macro_changes, refuse_rewrites

VIX, CPI = "volt_vix_usa_d_vix", "infl_cpi_all_usa_m_cpiaucsl"
LIMITS = ChangeParams(max_share=0.10, min_changed=12)


def bars(n: int = 200, source: str = "files") -> pd.DataFrame:
    times = pd.date_range("2025-11-18 13:00", periods=n, freq="5min", tz="UTC")
    return pd.DataFrame({"timestamp": times, "close": 4000.0 + np.arange(n), "source": source})


def values(variable: str, n: int = 60, vintage: str = "final", source: str = "files") -> pd.DataFrame:
    days = pd.date_range("2025-01-01", periods=n, freq="B").date
    known = {"variable": variable, "observation_date": days, "value": 20.0 + np.arange(n)}
    return pd.DataFrame(known | {"vintage": vintage, "source": source})


def with_values(rows: pd.DataFrame, column: str, n: int, factor: float) -> pd.DataFrame:
    """The first n values times a factor."""
    changed = rows.copy()
    changed.loc[: n - 1, column] *= factor
    return changed


def test_changed_closes_are_counted_with_the_largest_and_the_first():
    delivered = with_values(bars(), "close", 150, 1.001)
    delivered.loc[30, "close"] = bars()["close"][30] * 1.152
    (found,) = bar_changes(delivered, bars(), 0.01)
    assert (found.stored, found.changed) == (200, 150)
    assert found.describe() == (
        "changes 150 of 200 stored closes, largest 15.2%, first 2025-11-18 13:00 UTC: 4,000 stored, 4,004 "
        "delivered"
    )


def test_what_agrees_within_a_centavo_what_is_new_and_what_another_source_says_is_no_change():
    delivered = bars(250)
    delivered["close"] += 0.01
    assert bar_changes(delivered, bars(), 0.01) == []
    assert bar_changes(with_values(bars(), "close", 200, 2.0), bars(source="yahoo"), 0.01) == []
    assert bar_changes(bars(), bars(0), 0.01) == []


@pytest.mark.parametrize(("n", "refused"), [(11, False), (20, False), (21, True), (200, True)])
def test_more_than_a_tenth_and_a_dozen_is_no_correction(n, refused, variables):
    changes = bar_changes(with_values(bars(), "close", n, 1.01), bars(), 0.01, "usdcop_5m.csv")
    if not refused:
        refuse_rewrites(changes, variables, LIMITS)
        return
    with pytest.raises(DataError) as error:
        refuse_rewrites(changes, variables, LIMITS)
    message = str(error.value)
    assert message.startswith(f"usdcop_5m.csv: changes {n} of 200 stored closes, largest 1.0%")
    assert "at most 10% may change unasked" in message and "data_acquisition.revise=true" in message


def test_few_stored_values_may_all_be_corrected(variables):
    refuse_rewrites(bar_changes(with_values(bars(11), "close", 11, 1.01), bars(11), 0.01), variables, LIMITS)


def test_macro_values_are_counted_by_variable_and_the_worst_is_named(variables):
    stored = pd.concat([values(VIX), values("comm_oil_wti_glb_d_wti")], ignore_index=True)
    delivered = pd.concat([with_values(values(VIX), "value", 30, 1.1), values("comm_oil_wti_glb_d_wti")])
    changes = macro_changes(delivered, stored, "macro_daily.csv")
    assert [(c.subject, c.stored, c.changed) for c in changes] == [(VIX, 60, 30)]
    with pytest.raises(
        DataError, match=f"macro_daily.csv: {VIX}: changes 30 of 60 stored values, largest 10.0"
    ):
        refuse_rewrites(changes, variables, LIMITS)


def test_a_source_that_revises_may_revise_all_and_it_is_told(variables):
    assert variables[CPI].revised
    changes = macro_changes(with_values(values(CPI), "value", 60, 1.01), values(CPI))
    refuse_rewrites(changes, variables, LIMITS)
    told = changes_found(changes, "files")
    assert told["subject"].tolist() == [CPI] and told["severity"].tolist() == ["reported"]
    assert told["detail"].iloc[0].startswith("changes 60 of 60 stored values, largest 1.0%")


def test_a_new_dated_vintage_changes_nothing_but_another_value_of_the_same_one_does():
    stored = values(CPI, vintage="2025-04-10")
    newer = with_values(values(CPI, vintage="2025-05-10"), "value", 60, 1.2)
    assert macro_changes(newer, stored) == []
    same = with_values(stored, "value", 5, 1.2)
    assert [c.changed for c in macro_changes(same, stored)] == [5]


def test_of_several_stored_rows_the_last_is_what_would_change():
    stored = pd.concat([values(VIX), with_values(values(VIX), "value", 60, 2.0)], ignore_index=True)
    assert macro_changes(with_values(values(VIX), "value", 60, 2.0), stored) == []
    assert macro_changes(values(VIX, 0), stored) == []
