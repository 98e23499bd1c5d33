"""kedro-datasets' frames, JSON and texts, and our records, in local files that are either whole or absent."""

import json
from pathlib import Path
from typing import Any, Final, cast

import pandas as pd
from kedro.io import AbstractDataset, DatasetError, Version
from kedro.io.core import get_filepath_str, get_protocol_and_path
from kedro.utils import load_obj
from kedro_datasets._typing import JSONPreview, PlotlyPreview, TablePreview
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import ParquetDataset
from kedro_datasets.text import TextDataset as KedroTextDataset
from pydantic import BaseModel

from dosvotos.errors import AlteredError
from dosvotos.files import read_regular_file, write_file
from dosvotos.jsonfile import read_json

_MAX_BYTES: Final = 512 * 1024 * 1024
_UTF8: Final = {"open_args_load": {"mode": "r", "encoding": "utf-8", "newline": ""}}


def local_path(filepath: str) -> Path:
    """The path of a local file or folder.

    Raises
    ------
    DatasetError
        If it lies on another file system, on which we cannot put a file in place in one step.
    """
    protocol, path = get_protocol_and_path(filepath)
    if protocol != "file" or ":/" in path:
        raise DatasetError(
            f"{filepath}: only local files are written whole or not at all; use a dataset of kedro-datasets "
            "for this one, or copy it there after the run"
        )
    return Path(path)


_KedroFile: Any = object  # whichever class of kedro-datasets stands behind


class _AtomicFile(_KedroFile):
    """What differs from the kedro-datasets class behind it: where files may lie, and how one is replaced."""

    def __new__(cls, *_: Any, filepath: str = "", **options: Any) -> Any:
        """Refuse a remote file; ``__init__`` stays that of kedro-datasets, whose arguments Kedro records."""
        local_path(filepath)
        return super().__new__(cls)

    def load(self) -> Any:
        """Read the file."""
        self._refuse_absent()
        return super().load()

    def _refuse_absent(self) -> None:
        if not self._exists():
            raise DatasetError(
                f"{self._filepath} does not exist yet; run the layer that makes it first (kedro run runs all)"
            )

    def _read_once(self) -> bytes:
        """Read a file that is checked from memory."""
        path = Path(get_filepath_str(self._get_load_path(), self._protocol))
        return read_regular_file(path, _MAX_BYTES)

    def save(self, data: Any) -> None:
        """Replace the file; a crash or a full disk leaves the old one whole."""
        write_file(Path(get_filepath_str(self._get_save_path(), self._protocol)), self._to_bytes(data))
        self._invalidate_cache()


class AtomicParquetDataset(_AtomicFile, ParquetDataset):
    """A DataFrame, with its index, in a parquet file."""

    def _to_bytes(self, data: pd.DataFrame) -> bytes:
        return cast(bytes, data.to_parquet(**self._save_args))

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, as kedro-viz shows them: JSON has no NaN and no time."""
        rows = self.load().head(nrows).reset_index(drop=True)
        return TablePreview(json.loads(rows.to_json(orient="split", date_format="iso")))


class TextDataset(_AtomicFile, KedroTextDataset):
    """A text in UTF-8, such as a page of HTML."""

    DEFAULT_FS_ARGS = _UTF8

    def _to_bytes(self, data: str) -> bytes:
        return data.encode()


class BytesDataset(_AtomicFile, KedroTextDataset):
    """Bytes that their reader checks; None before the first are written."""

    DEFAULT_FS_ARGS = {"open_args_load": {"mode": "rb"}}

    def load(self) -> bytes | None:
        """Read the bytes, or None when there is no file yet."""
        return self._read_once() if self._exists() else None

    def _to_bytes(self, data: bytes) -> bytes:
        return data


class JsonDataset(_AtomicFile, JSONDataset):
    """A JSON-like value, indented for people, without NaN."""

    DEFAULT_SAVE_ARGS = {"indent": 2, "allow_nan": False}

    def load(self) -> Any:
        """Read the value; a repeated key, or NaN, is refused."""
        self._refuse_absent()
        try:
            return read_json(self._read_once())
        except ValueError as error:
            raise AlteredError(f"{self._filepath}: not JSON as it is written here: {error}") from error

    def _to_bytes(self, data: Any) -> bytes:
        return (json.dumps(data, **self._save_args) + "\n").encode()


class RecordDataset(_AtomicFile, KedroTextDataset):
    """A pydantic model as JSON.

    Parameters
    ----------
    filepath : str
    model : str
        Full name of the model's class.
    save_args : dict, optional
        Arguments of ``model_dump_json``.
    optional : bool
        Whether it loads as None before it was made.
    version, fs_args, metadata : optional
        As for every file of Kedro.
    """

    DEFAULT_FS_ARGS = _UTF8

    def __init__(
        self,
        *,
        filepath: str,
        model: str,
        save_args: dict[str, Any] | None = None,
        optional: bool = False,
        version: Version | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath=filepath, version=version, fs_args=fs_args, metadata=metadata)
        self._model: type[BaseModel] = load_obj(model)
        self._save_args = {"indent": 2, **(save_args or {})}
        self._optional = optional

    def load(self) -> BaseModel | None:
        """Read and validate the record; a repeated key is refused."""
        if self._optional and not self._exists():
            return None
        self._refuse_absent()
        content = self._read_once()
        try:
            read_json(content)
            return self._model.model_validate_json(content)
        except ValueError as error:
            raise AlteredError(f"{self._filepath}: not a {self._model.__name__}: {error}") from error

    def _to_bytes(self, data: BaseModel) -> bytes:
        return (data.model_dump_json(**self._save_args) + "\n").encode()

    def preview(self) -> JSONPreview:
        """The record, as kedro-viz shows it."""
        self._refuse_absent()
        return JSONPreview(self._read_once().decode())

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "model": self._model.__name__}


class PlottedRecordDataset(RecordDataset):
    """A record of which kedro-viz shows a figure."""

    def preview(self, plot: str) -> PlotlyPreview:  # type: ignore[override]  # kedro-viz goes by this type
        """The plotly figure that the function of full name `plot` draws of the record."""
        return PlotlyPreview(json.loads(load_obj(plot)(self.load()).to_json()))


class FolderDataset(AbstractDataset[None, Path]):
    """A local folder that nodes work in; it loads as its path."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = local_path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The path, whether the folder exists or not."""
        return self._path

    def save(self, data: None) -> None:
        """Refuse: nodes write into the folder themselves."""
        raise DatasetError(f"{self._path}: a folder is no output")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
