"""Files that are either whole or absent: written beside their place, flushed, then renamed into it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj
from pydantic import BaseModel, ValidationError

from dosvotos.errors import LineageError


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step; a crash or a full disk leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
        self._read_header()
        return pd.read_parquet(self._path)

    def save(self, data: pd.DataFrame) -> None:
        """Replace the file."""
        replace_file(self._path, data.to_parquet())

    def _read_header(self) -> None:
        if not self._path.is_file():
            self._read()


class JsonDataset(_FileDataset):
    """A JSON-like value, indented for people."""

    def load(self) -> Any:
        """Read the value."""
        return json.loads(self._read())

    def save(self, data: Any) -> None:
        """Replace the file."""
        replace_file(self._path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


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
        replace_file(self._path, (data.model_dump_json(indent=2) + "\n").encode())
