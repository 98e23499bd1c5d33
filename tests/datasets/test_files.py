import copy
import inspect
import json
import math
import os
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DataCatalog, DatasetError

from dosvotos.contracts.records import BacktestRecord, parse_record
from dosvotos.datasets import (
    AtomicParquetDataset,
    BytesDataset,
    FolderDataset,
    JsonDataset,
    PlottedRecordDataset,
    ProductionModelDataset,
    RecordDataset,
    TextDataset,
)
from dosvotos.errors import LineageError
from dosvotos.files import write_file, write_folder
from tests.report_factory import report_of
from tests.unpickling import dump, load

PREVIEWED = (AtomicParquetDataset, RecordDataset, PlottedRecordDataset)
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
    for kind in (AtomicParquetDataset, JsonDataset):
        dataset = kind(filepath=str(tmp_path / "no"))
        assert not dataset.exists()
        with pytest.raises(DatasetError, match="does not exist yet; run the layer that makes it first"):
            dataset.load()


def test_json_refuses_what_json_cannot_say(tmp_path):
    dataset = JsonDataset(filepath=str(tmp_path / "a.json"))
    dataset.save({"x": [1, None]})
    with pytest.raises(DatasetError, match="not JSON compliant"):
        dataset.save({"x": float("nan")})
    assert dataset.load() == {"x": [1, None]}


def test_a_record_that_is_not_its_model_is_refused(tmp_path):
    path = tmp_path / "record.json"
    path.write_text('{"experiment_name": "demo"}')
    dataset = RecordDataset(filepath=str(path), model="dosvotos.contracts.records.BacktestRecord")
    with pytest.raises(Exception, match="not a BacktestRecord") as caught:
        dataset.load()
    assert isinstance(caught.value, LineageError) or isinstance(caught.value.__cause__, LineageError)
    assert BacktestRecord.model_config["extra"] == "forbid"


FILES = {
    AtomicParquetDataset: FRAME,
    BytesDataset: b"\x00\xff",
    JsonDataset: {"x": [1, None]},
    TextDataset: "un d\u00eda\r\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_every_version_of_a_file_is_kept_and_the_last_is_loaded(tmp_path, kind):
    entry = {"type": kind, "filepath": str(tmp_path / "a"), "versioned": True}
    for moment in ("2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"):
        catalog = DataCatalog.from_config({"a": entry}, save_version=moment)
        catalog.save("a", FILES[kind])
    assert sorted(path.parent.name for path in tmp_path.glob("a/*/a")) == [
        "2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z",
    ]  # fmt: skip
    loaded = DataCatalog.from_config({"a": entry}).load("a")
    assert loaded.equals(FRAME) if kind is AtomicParquetDataset else loaded == FILES[kind]


@pytest.mark.parametrize("kind", FILES)
def test_a_fault_while_saving_leaves_the_file_that_was_there(tmp_path, monkeypatch, kind):
    dataset = kind(filepath=str(tmp_path / "a"))
    dataset.save(FILES[kind])
    before = (tmp_path / "a").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DatasetError, match="No space left"):
        dataset.save(FILES[kind])
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", before)]


@pytest.mark.parametrize("kind", [*FILES, FolderDataset])
@pytest.mark.parametrize("place", ["s3://bucket/a", "memory://a", "simplecache::s3://bucket/a"])
def test_a_file_that_cannot_be_kept_atomic_is_refused_in_one_line(tmp_path, monkeypatch, kind, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="only local files are written whole") as caught:
        kind(filepath=place)
    assert place in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", FILES)
def test_a_dataset_tells_its_arguments_and_can_be_copied(tmp_path, kind):
    path = str(tmp_path / "a")
    catalog = DataCatalog.from_config({"a": {"type": kind, "filepath": path, "metadata": {"x": 1}}})
    config = catalog.to_config()[0]["a"]
    assert (config["filepath"], config["metadata"]) == (path, {"x": 1})
    copy.deepcopy(catalog["a"]).save(FILES[kind])
    assert load(dump(catalog["a"])).exists()
    assert path in repr(catalog["a"])


def test_arguments_of_pandas_and_json_pass_through(tmp_path):
    frame = AtomicParquetDataset(
        filepath=str(tmp_path / "a"), save_args={"compression": "gzip"}, load_args={"columns": []}
    )
    frame.save(FRAME)
    assert frame.load().shape == (2, 0)
    assert frame.preview(1)["columns"] == []
    text = JsonDataset(filepath=f"file://{tmp_path}/b", save_args={"indent": None, "sort_keys": True})
    text.save({"b": 1, "a": 2})
    assert (tmp_path / "b").read_text() == '{"a": 2, "b": 1}\n'


def test_kedro_viz_is_shown_a_record_and_the_figure_of_a_backtest(tmp_path):
    report, path = report_of(), str(tmp_path / "a.json")
    model = {"filepath": path, "model": "dosvotos.backtest.report.BacktestReport"}
    RecordDataset(**model).save(report)
    assert json.loads(RecordDataset(**model).preview()) == report.model_dump(mode="json")
    plotted = PlottedRecordDataset(**model)
    drawn = plotted.preview(plot="dosvotos.reports.backtest.draw_equity")
    equity = go.Figure(drawn).data[0].y
    assert equity[-1] == pytest.approx(math.prod(1 + one for one in report.daily_returns.values()))
    assert min(go.Figure(drawn).data[-1].y) <= 0
    types = {kind: inspect.signature(kind.preview).return_annotation.__name__ for kind in PREVIEWED}
    assert list(types.values()) == ["TablePreview", "JSONPreview", "PlotlyPreview"]  # by which kedro-viz goes


def test_no_pipeline_can_write_the_production_model(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    dataset = ProductionModelDataset(instrument="USD/COP", credentials={"url": url})
    assert dataset.load() is None
    with pytest.raises(DatasetError):
        dataset.save(None)


@pytest.mark.parametrize("kind", [JsonDataset, RecordDataset])
def test_a_key_that_stands_twice_is_refused_by_every_reader_of_json(tmp_path, kind):
    path = tmp_path / "x.json"
    path.write_text('{"a": 1, "a": 2}')
    model = {"model": "dosvotos.contracts.records.BacktestRecord"} if kind is RecordDataset else {}
    with pytest.raises(DatasetError, match="key 'a' stands twice"):
        kind(filepath=str(path), **model).load()
    with pytest.raises(LineageError, match="key 'a' stands twice"):
        parse_record(BacktestRecord, path.read_bytes(), "x.json")


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["fifo", "device"]
)
def test_a_record_that_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, make):
    path = tmp_path / "x.json"
    make(path)
    for dataset in (
        JsonDataset(filepath=str(path)),
        RecordDataset(filepath=str(path), model="dosvotos.contracts.records.BacktestRecord"),
        BytesDataset(filepath=str(path)),
    ):
        with pytest.raises(DatasetError, match="must be a regular file"):
            dataset.load()
