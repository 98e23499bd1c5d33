"""Frames, JSON, texts and records in files that are either whole or absent."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj
from kedro_datasets._typing import TablePreview
from pydantic import BaseModel, ValidationError

from dosvotos.errors import LineageError
from dosvotos.files import write_file


class _FileDataset(AbstractDataset[Any, Any]):
    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}

    def _exists(self) -> bool:
        return self._path.is_file()

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError as error:
            raise DatasetError(
                f"{self._path} does not exist yet; run the layer that makes it first (kedro run runs all)"
            ) from error


class AtomicParquetDataset(_FileDataset):
    """A DataFrame, with its index, in a parquet file."""

    def load(self) -> pd.DataFrame:
        """Read the frame."""
        return pd.read_parquet(io.BytesIO(self._read()))

    def save(self, data: pd.DataFrame) -> None:
        """Replace the file."""
        write_file(self._path, data.to_parquet())

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, as kedro-viz shows them."""
        rows = self.load().head(nrows).reset_index(drop=True)
        return TablePreview(json.loads(rows.to_json(orient="split", date_format="iso")))


class BytesDataset(_FileDataset):
    """Bytes that their reader checks; none before the first are written."""

    def load(self) -> bytes | None:
        """Read the bytes, or None when there is no file yet."""
        return self._read() if self._exists() else None

    def save(self, data: bytes) -> None:
        """Replace the file."""
        write_file(self._path, data)


class TextDataset(_FileDataset):
    """A text, such as a page of HTML."""

    def load(self) -> str:
        """Read the text."""
        return self._read().decode()

    def save(self, data: str) -> None:
        """Replace the file."""
        write_file(self._path, data.encode())


class JsonDataset(_FileDataset):
    """A JSON-like value, indented for people."""

    def load(self) -> Any:
        """Read the value."""
        return json.loads(self._read())

    def save(self, data: Any) -> None:
        """Replace the file."""
        write_file(self._path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


class RecordDataset(_FileDataset):
    """A pydantic model as JSON.

    Parameters
    ----------
    filepath : str
    model : str
        Full name of the model's class.
    """

    def __init__(self, filepath: str, model: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath, metadata)
        self._model: type[BaseModel] = load_obj(model)

    def load(self) -> BaseModel:
        """Read and validate the record."""
        try:
            return self._model.model_validate_json(self._read())
        except ValidationError as error:
            raise LineageError(f"{self._path}: not a {self._model.__name__}: {error}") from error

    def save(self, data: BaseModel) -> None:
        """Replace the file."""
        write_file(self._path, (data.model_dump_json(indent=2) + "\n").encode())


class FolderDataset(AbstractDataset[None, Path]):
    """A folder that nodes work in; it loads as its path."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The path, whether the folder exists or not."""
        return self._path

    def save(self, data: None) -> None:
        """Refuse: nodes write into the folder themselves."""
        raise DatasetError(f"{self._path}: a folder is no output")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
