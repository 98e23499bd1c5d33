"""A desk's own feed: files in a folder, each taken once and whole."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.parameters import read_parameters
from dosvotos.errors import ParameterError, SourceError
from dosvotos.hashing import digest_bytes
from dosvotos.market.calendar import session_bar_times
from dosvotos.sources.files import read_bars_file
from dosvotos.sources.folder_feed import FolderReader, NewFiles, read_new_files
from tests.conftest import parameters_of

WRITTEN = 1_700_000_000.0
LONG_AGO, JUST_NOW = WRITTEN + 3600, WRITTEN + 5


def csv_of(day: str, level: float = 4000.0) -> str:
    times = session_bar_times(np.datetime64(day))
    close = level * np.exp(np.random.default_rng(int(day[-2:])).normal(0, 3e-4, len(times)).cumsum())
    prices = dict.fromkeys(("open", "high", "low", "close"), close.round(2))
    return pd.DataFrame({"timestamp": times, **prices, "volume": 0.0}).to_csv(index=False)


def put(folder: Path, name: str, content: str | bytes, seconds: float = 0) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (WRITTEN + seconds, WRITTEN + seconds))
    return path


def read(folder: Path, now: float = LONG_AGO, taken: frozenset[str] = frozenset()) -> NewFiles:
    return read_new_files(folder, FolderReader(read_bars_file, taken, lambda: now))


def test_every_new_file_is_read_once_and_one_taken_before_is_skipped_whatever_its_name(tmp_path):
    put(tmp_path, "a.csv", csv_of("2024-07-02"))
    put(tmp_path, "b.csv", csv_of("2024-07-03"))
    new = read(tmp_path)
    assert [Path(file.name).name for file in new.files] == ["a.csv", "b.csv"] and new.notes == ()
    assert new.bars["file"].value_counts().to_dict() == {"a.csv": 60, "b.csv": 60}
    taken = frozenset(file.source_hash for file in new.files)
    put(tmp_path, "copy of a.csv", csv_of("2024-07-02"))
    assert read(tmp_path, taken=taken).files == () and read(tmp_path, taken=taken).bars.empty
    put(tmp_path, "b.csv", csv_of("2024-07-03", 4100.0), 60)
    again = read(tmp_path, taken=taken)
    assert [Path(file.name).name for file in again.files] == ["b.csv"]
    assert again.files[0].source_hash == digest_bytes((tmp_path / "b.csv").read_bytes())


def test_a_file_that_goes_while_it_is_read_is_left_and_the_others_are_taken(tmp_path):
    put(tmp_path, "a.csv", csv_of("2024-07-02"))
    put(tmp_path, "b.csv", csv_of("2024-07-03"))

    def remove(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
        answer = read_bars_file(path)
        if path.name == "a.csv":
            path.unlink()
        return answer

    new = read_new_files(tmp_path, FolderReader(remove, frozenset(), lambda: LONG_AGO))
    assert [Path(file.name).name for file in new.files] == ["b.csv"]
    assert new.notes == ("folder: a.csv left: it went while it was read; it is read when it is back",)


def test_of_two_files_with_the_same_bars_the_later_one_counts(tmp_path):
    put(tmp_path, "z_first.csv", csv_of("2024-07-02"))
    put(tmp_path, "a_second.csv", csv_of("2024-07-02", 4100.0), 1)
    new = read(tmp_path)
    assert len(new.files) == 2 and set(new.bars["file"]) == {"a_second.csv"} and len(new.bars) == 60


def test_the_same_content_twice_is_taken_once(tmp_path):
    put(tmp_path, "a.csv", csv_of("2024-07-02"))
    put(tmp_path, "b.csv", csv_of("2024-07-02"))
    assert len(read(tmp_path).files) == 1


@pytest.mark.parametrize("cut", [-1, -3, -40, 200])
def test_a_half_written_text_is_left_until_it_is_whole(tmp_path, cut):
    whole = csv_of("2024-07-02")
    put(tmp_path, "other.csv", csv_of("2024-07-03"))
    put(tmp_path, "a.csv", whole[:cut])
    new = read(tmp_path, JUST_NOW)
    assert [Path(file.name).name for file in new.files] == ["other.csv"]
    assert "a.csv left: its last line is not ended" in new.notes[0]
    put(tmp_path, "a.csv", whole)
    assert len(read(tmp_path, JUST_NOW).files) == 2


def test_a_half_written_parquet_is_left_and_a_broken_one_is_named_with_its_reason(tmp_path):
    frame = pd.read_csv(put(tmp_path, "x.tmp", csv_of("2024-07-02")))
    content = frame.to_parquet()
    put(tmp_path, "a.parquet", content[:-100])
    [note] = read(tmp_path, JUST_NOW).notes
    assert "a.parquet left: cannot be read yet" in note
    [note] = read(tmp_path, LONG_AGO).notes
    assert "cannot be read as parquet" in note and "yet" not in note
    put(tmp_path, "a.parquet", content)
    assert len(read(tmp_path, JUST_NOW).bars) == 60


def test_a_file_that_ends_without_a_newline_is_taken_when_nobody_writes_to_it_any_more(tmp_path):
    put(tmp_path, "a.csv", csv_of("2024-07-02").rstrip("\n"))
    assert read(tmp_path, JUST_NOW).files == ()
    assert len(read(tmp_path, LONG_AGO).bars) == 60


def test_a_file_that_changes_while_it_is_read_is_left(tmp_path):
    path = put(tmp_path, "a.csv", csv_of("2024-07-02"))

    def grows(file: Path) -> pd.DataFrame:
        frame = read_bars_file(file)
        put(tmp_path, path.name, csv_of("2024-07-02") + "x\n", 3)
        return frame

    new = read_new_files(tmp_path, FolderReader(grows, frozenset(), lambda: LONG_AGO))
    assert new.files == () and "changed while it was read" in new.notes[0]


def test_files_of_other_programs_in_the_making_are_not_looked_at(tmp_path):
    for name in (".hidden.csv", "~$lock.csv", "a.csv.part", "a.tmp", "b.crdownload"):
        put(tmp_path, name, "nothing")
    (tmp_path / "folder.csv").mkdir()
    assert read(tmp_path).notes == () and read(tmp_path).files == ()


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"none is not a folder; correct data_acquisition\.live\.bars"):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ({"provider": "folder"}, "folder needs path"),
        ({"provider": "folder", "path": "x", "symbol": "USD/COP"}, "takes no symbol"),
        ({"provider": "yahoo", "path": "x"}, "yahoo needs symbol"),
        ({"provider": "yahoo", "symbol": "COP=X", "path": "x"}, "takes no path"),
    ],
)
def test_a_bar_source_says_where_it_is(source, rule):
    tree = parameters_of().model_dump()
    tree["data_acquisition"]["live"]["bars"] = [source]
    with pytest.raises(ParameterError, match=rule):
        read_parameters(tree)


def test_a_provider_is_asked_once():
    tree = parameters_of().model_dump()
    tree["data_acquisition"]["live"]["bars"] = [{"provider": "folder", "path": name} for name in "ab"]
    with pytest.raises(ParameterError, match="each provider once"):
        read_parameters(tree)
