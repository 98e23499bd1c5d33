import datetime as dt

import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.sources.base import check_bars, check_macro
from dosvotos.sources.files import read_folder

VIX = "volt_vix_usa_d_vix"


def bars(n: int = 4) -> pd.DataFrame:
    times = pd.date_range("2025-07-01 13:00", periods=n, freq="5min", tz="UTC")
    close = 4000.0 + np.arange(n)
    return pd.DataFrame(
        {"timestamp": times, "open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 0}
    )


def session_labels(n_days: int) -> pd.Series:
    opens = pd.date_range("2025-07-01 13:00", periods=n_days, freq="D", tz="UTC")
    return pd.Series([start + i * pd.Timedelta(minutes=5) for start in opens for i in range(60)])


def macro() -> pd.DataFrame:
    days = [dt.date(2025, 6, 27), dt.date(2025, 6, 30)]
    return pd.DataFrame({"variable": VIX, "observation_date": days, "value": [16.3, 16.7]})


@pytest.fixture
def folder(tmp_path):
    bars().to_parquet(tmp_path / "usdcop_5m.parquet")
    macro().to_parquet(tmp_path / "macro_daily.parquet")
    return tmp_path


def test_parquet_and_csv_give_the_same_market(folder, tmp_path_factory):
    csv = tmp_path_factory.mktemp("csv")
    bars().to_csv(csv / "usdcop_5m.csv", index=False)
    macro().to_csv(csv / "macro_daily.csv", index=False)
    one, other = read_folder(folder), read_folder(csv)
    pd.testing.assert_frame_equal(check_bars(one.bars), check_bars(other.bars), check_dtype=False)
    pd.testing.assert_frame_equal(one.macro, other.macro, check_dtype=False)
    assert set(one.macro["vintage"]) == {"final"}


def test_a_missing_folder_or_file_is_named(folder):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        read_folder(folder / "nowhere")
    (folder / "usdcop_5m.parquet").unlink()
    with pytest.raises(DataError, match=r"neither usdcop_5m\.parquet nor usdcop_5m\.csv"):
        read_folder(folder)


def test_two_files_of_one_name_are_refused(folder):
    bars().to_csv(folder / "usdcop_5m.csv", index=False)
    with pytest.raises(DataError, match=r"both usdcop_5m\.parquet and usdcop_5m\.csv"):
        read_folder(folder)


def test_a_missing_column_is_named_with_what_was_found(folder):
    bars().drop(columns="close").to_parquet(folder / "usdcop_5m.parquet")
    with pytest.raises(DataError, match=r"column\(s\) \['close'\] are missing, found \['timestamp', 'open'"):
        read_folder(folder)


def test_a_file_that_is_no_parquet_is_refused(folder):
    (folder / "macro_daily.parquet").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"macro_daily\.parquet: cannot be read"):
        read_folder(folder)


@pytest.mark.parametrize("as_csv", [False, True])
def test_naive_timestamps_are_refused_until_their_zone_is_stated(folder, as_csv):
    naive = bars().assign(timestamp=lambda f: f["timestamp"].dt.tz_localize(None))
    (folder / "usdcop_5m.parquet").unlink()
    if as_csv:
        naive.to_csv(folder / "usdcop_5m.csv", index=False)
    else:
        naive.to_parquet(folder / "usdcop_5m.parquet")
    with pytest.raises(DataError, match=r"4 stamps carry no zone; .* data_acquisition\.timezone="):
        read_folder(folder)
    stated = read_folder(folder, timezone="UTC")
    pd.testing.assert_frame_equal(check_bars(stated.bars), check_bars(bars().assign(source="files")))


def test_what_was_detected_is_logged(folder, caplog):
    local = bars(120).assign(timestamp=session_labels(2))
    local.loc[60:, "timestamp"] -= pd.Timedelta(hours=5)
    local.to_parquet(folder / "usdcop_5m.parquet")
    with pytest.raises(DataError, match=r"60 of 120 stamps .*mixed_timezone=detect"):
        read_folder(folder)
    read = read_folder(folder, mixed_timezone="detect")
    assert read.bars["timestamp"].tolist() == session_labels(2).tolist()
    assert "60 of 120 stamps said to be UTC are America/Bogota wall clock" in caplog.text


def test_bars_in_another_zone_are_the_same_instants(folder):
    local = bars().assign(timestamp=lambda f: f["timestamp"].dt.tz_convert("America/Bogota"))
    pd.testing.assert_frame_equal(check_bars(local), check_bars(bars()))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("close", np.nan, "positive and finite"),
        ("close", -1.0, "positive and finite"),
        ("open", np.inf, "positive and finite"),
        ("high", 3990.0, "between low and high"),
        ("low", 4100.0, "between low and high"),
    ],
)
def test_an_impossible_price_is_refused_and_shown(column, value, message):
    broken = bars().astype({column: float})
    broken.loc[2, column] = value
    with pytest.raises(DataError, match=message) as caught:
        check_bars(broken)
    assert "1 row(s) do not" in str(caught.value)


def test_a_timestamp_stored_twice_is_refused():
    message = r"each timestamp may stand once: 2 row\(s\) do not, first 2025-07-01 13:05"
    with pytest.raises(DataError, match=message):
        check_bars(pd.concat([bars(), bars().iloc[[1]]]))


def test_a_file_without_rows_is_read_as_such(folder):
    bars(0).to_parquet(folder / "usdcop_5m.parquet")
    with pytest.raises(DataError, match="bars: no rows"):
        check_bars(read_folder(folder).bars)


def test_no_rows_at_all_are_refused(variables):
    with pytest.raises(DataError, match="bars: no rows"):
        check_bars(bars(0))
    with pytest.raises(DataError, match="macro: no rows"):
        check_macro(macro().iloc[:0], variables)


def test_bars_come_out_in_time_order():
    shuffled = bars().sample(frac=1, random_state=1)
    assert check_bars(shuffled)["timestamp"].is_monotonic_increasing


def test_observations_get_their_publication_and_frequency(variables):
    checked = check_macro(macro().assign(vintage="final", source="files"), variables)
    assert checked["published_at"].tolist() == [
        pd.Timestamp("2025-06-27 20:00", tz="America/New_York"),
        pd.Timestamp("2025-06-30 20:00", tz="America/New_York"),
    ]
    assert set(checked["frequency"]) == {"daily"}


@pytest.mark.parametrize("value", [4.9, 150.1, np.nan, np.inf])
def test_a_value_outside_its_range_is_refused_with_variable_day_and_range(variables, value):
    broken = macro()
    broken.loc[1, "value"] = value
    with pytest.raises(DataError, match=rf"{VIX} of 2025-06-30 must lie in \[5, 150\], was"):
        check_macro(broken, variables)


def test_an_unknown_variable_and_a_repeated_observation_are_refused(variables):
    with pytest.raises(DataError, match=r"unknown variable\(s\) \['gdp_of_mars'\]"):
        check_macro(macro().assign(variable="gdp_of_mars"), variables)
    with pytest.raises(DataError, match="each observation may stand once"):
        check_macro(pd.concat([macro(), macro()]), variables)
