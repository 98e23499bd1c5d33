import os
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError

from dosvotos.contracts.records import BacktestRecord
from dosvotos.datasets import AtomicParquetDataset, JsonDataset, ProductionModelDataset, RecordDataset
from dosvotos.errors import LineageError
from dosvotos.files import write_file, write_folder

FRAME = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.date_range("2025-07-01", periods=2, tz="UTC", name="t"))


def test_a_frame_comes_back_with_its_index(tmp_path):
    dataset = AtomicParquetDataset(filepath=str(tmp_path / "deep/down/frame.parquet"))
    dataset.save(FRAME)
    pd.testing.assert_frame_equal(dataset.load(), FRAME, check_freq=False)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_fault_while_writing_leaves_the_old_file_whole_and_no_draft(tmp_path, monkeypatch, step):
    path = tmp_path / "frame.parquet"
    write_file(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new content")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["frame.parquet"]


def test_a_fault_while_writing_a_folder_leaves_the_old_one_and_no_draft(tmp_path, monkeypatch):
    write_folder(tmp_path / "bundle", {"a": b"old", "b": b""})
    calls = iter([None, OSError(28, "No space left on device")])

    def second_fails(_):
        if error := next(calls):
            raise error

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(OSError, match="No space left"):
        write_folder(tmp_path / "bundle", {"a": b"new", "b": b"new"})
    assert (tmp_path / "bundle/a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_missing_file_says_which_layer_makes_it(tmp_path):
    for dataset in (AtomicParquetDataset(str(tmp_path / "no")), JsonDataset(str(tmp_path / "no"))):
        assert not dataset.exists()
        with pytest.raises(DatasetError, match="does not exist yet; run the layer that makes it first"):
            dataset.load()


def test_json_refuses_what_json_cannot_say(tmp_path):
    dataset = JsonDataset(str(tmp_path / "a.json"))
    dataset.save({"x": [1, None]})
    with pytest.raises(DatasetError, match="not JSON compliant"):
        dataset.save({"x": float("nan")})
    assert dataset.load() == {"x": [1, None]}


def test_a_record_that_is_not_its_model_is_refused(tmp_path):
    path = tmp_path / "record.json"
    path.write_text('{"experiment_name": "demo"}')
    dataset = RecordDataset(str(path), model="dosvotos.contracts.records.BacktestRecord")
    with pytest.raises(Exception, match="not a BacktestRecord") as caught:
        dataset.load()
    assert isinstance(caught.value, LineageError) or isinstance(caught.value.__cause__, LineageError)
    assert BacktestRecord.model_config["extra"] == "forbid"


def test_no_pipeline_can_write_the_production_model(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    dataset = ProductionModelDataset(instrument="USD/COP", credentials={"url": url})
    assert dataset.load() is None
    with pytest.raises(DatasetError):
        dataset.save(None)
