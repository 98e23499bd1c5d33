import datetime as dt

import numpy as np
import pandas as pd
import pytest

from dosvotos.errors import DataError
from dosvotos.sources.checks import add_published_at
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
    pd.testing.assert_frame_equal(one.bars, other.bars, check_dtype=False)
    pd.testing.assert_frame_equal(one.macro, other.macro, check_dtype=False)
    assert set(one.macro["vintage"]) == {"final"}


def test_a_missing_folder_or_file_is_named(folder):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        read_folder(folder / "nowhere")
    (folder / "usdcop_5m.parquet").unlink()
    with pytest.raises(DataError, match=r"has no usdcop_5m \(\.csv, .*docs/data\.md has the formats"):
        read_folder(folder)


def test_two_files_of_one_name_are_refused(folder):
    bars().to_csv(folder / "usdcop_5m.csv", index=False)
    with pytest.raises(DataError, match=r"usdcop_5m\.csv and usdcop_5m\.parquet; keep one"):
        read_folder(folder)


def test_a_missing_column_is_named_with_what_was_found(folder):
    bars().drop(columns="close").to_parquet(folder / "usdcop_5m.parquet")
    with pytest.raises(DataError, match=r"column\(s\) \['close'\] are missing, found \['timestamp', 'open'"):
        read_folder(folder)


def test_a_file_that_is_no_parquet_is_refused(folder):
    (folder / "macro_daily.parquet").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"macro_daily\.parquet: cannot be read"):
        read_folder(folder)


def test_a_date_that_cannot_be_read_puts_its_row_aside(folder):
    macro().assign(observation_date=["2025-06-27", "30 de junio"]).to_parquet(folder / "macro_daily.parquet")
    read = read_folder(folder)
    assert read.macro["observation_date"].tolist() == [dt.date(2025, 6, 27)]
    [found] = read.unreadable.itertuples(index=False)
    assert (found.rule, found.severity, found.subject, found.source) == (
        "not_a_date",
        "quarantined",
        VIX,
        "files",
    )
    assert found.detail.startswith(
        "macro_daily.parquet row 2: observation_date '30 de junio' is no date; write"
    )
    assert found.at == pd.Timestamp("2025-06-27", tz="UTC")  # of the row before it


def test_a_bar_that_cannot_be_read_is_put_aside_at_its_instant(folder):
    (folder / "usdcop_5m.parquet").unlink()
    text = bars().to_csv(index=False).replace(",4001.0,0", ",N.D.,0")
    (folder / "usdcop_5m.csv").write_text(text)
    read = read_folder(folder)
    assert len(read.bars) == 3
    [found] = read.unreadable.itertuples(index=False)
    assert (found.rule, found.subject, found.at) == ("not_a_number", "bars", bars()["timestamp"][1])


def test_names_are_known_by_any_letters_and_refused_if_none_is_known(folder, variables):
    macro().assign(variable=[f" {VIX.upper()}", "no_such"]).to_parquet(folder / "macro_daily.parquet")
    assert read_folder(folder, variables=variables).macro["variable"].tolist() == [VIX, "no_such"]
    macro().assign(variable="no_such").to_parquet(folder / "macro_daily.parquet")
    with pytest.raises(
        DataError, match=r"macro_daily\.parquet: none of its 1 variable name\(s\) .*'no_such'"
    ):
        read_folder(folder, variables=variables)


@pytest.mark.parametrize("as_csv", [False, True])
def test_naive_timestamps_are_refused_until_their_zone_is_stated(folder, as_csv):
    naive = bars().assign(timestamp=lambda f: f["timestamp"].dt.tz_localize(None))
    (folder / "usdcop_5m.parquet").unlink()
    if as_csv:
        naive.to_csv(folder / "usdcop_5m.csv", index=False)
    else:
        naive.to_parquet(folder / "usdcop_5m.parquet")
    with pytest.raises(DataError, match=r"4 timestamps carry no zone; .* data_acquisition\.timezone="):
        read_folder(folder)
    stated = read_folder(folder, timezone="UTC")
    pd.testing.assert_frame_equal(stated.bars, bars().assign(source="files"), check_dtype=False)


def test_what_was_detected_is_logged(folder, caplog):
    local = bars(120).assign(timestamp=session_labels(2))
    local.loc[60:, "timestamp"] -= pd.Timedelta(hours=5)
    local.to_parquet(folder / "usdcop_5m.parquet")
    with pytest.raises(DataError, match=r"60 of 120 timestamps .*mixed_timezone=detect"):
        read_folder(folder)
    read = read_folder(folder, mixed_timezone="detect")
    assert read.bars["timestamp"].tolist() == session_labels(2).tolist()
    assert "60 of 120 timestamps stated to be UTC are America/Bogota wall clock" in caplog.text


def test_bars_in_another_zone_are_the_same_instants(folder):
    local = bars().assign(timestamp=lambda f: f["timestamp"].dt.tz_convert("America/Bogota"))
    local.to_parquet(folder / "usdcop_5m.parquet")
    assert read_folder(folder).bars["timestamp"].tolist() == bars()["timestamp"].tolist()


@pytest.mark.parametrize("name", ["usdcop_5m", "macro_daily"])
def test_a_file_without_rows_is_refused(folder, name):
    empty = {"usdcop_5m": bars(), "macro_daily": macro()}[name].iloc[:0]
    empty.to_parquet(folder / f"{name}.parquet")
    with pytest.raises(DataError, match=rf"{name}\.parquet: holds a header and no"):
        read_folder(folder)


def test_observations_get_their_publication_and_frequency(variables):
    dated = add_published_at(macro().assign(vintage="final", source="files"), variables)
    assert dated["published_at"].tolist() == [
        pd.Timestamp("2025-06-27 20:00", tz="America/New_York"),
        pd.Timestamp("2025-06-30 20:00", tz="America/New_York"),
    ]
    assert set(dated["frequency"]) == {"daily"}


def test_a_vintage_is_published_on_its_day_and_a_late_source_by_its_own_rule(variables):
    name = "comm_oil_wti_glb_d_wti"
    rows = pd.DataFrame(
        {
            "variable": name, "observation_date": [dt.date(2025, 6, 27)] * 3, "value": 65.0,
            "vintage": ["2025-07-09", "unrevised", "unrevised"], "source": ["fred", "fred", "yahoo"],
        }
    )  # fmt: skip
    assert add_published_at(rows, variables)["published_at"].dt.strftime("%m-%d").tolist() == [
        "07-09", "07-09", "06-27",
    ]  # fmt: skip  # seven business days over the Fourth of July
