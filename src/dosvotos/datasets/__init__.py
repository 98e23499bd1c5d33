"""The few Kedro datasets we own: atomic files, handles on the database, and the two sides of the vote."""

from dosvotos.datasets.database import KeysDataset, TableDataset
from dosvotos.datasets.files import (
    AtomicParquetDataset,
    BytesDataset,
    FolderDataset,
    JsonDataset,
    PlottedRecordDataset,
    RecordDataset,
    TextDataset,
)
from dosvotos.datasets.models import CandidateModelDataset, JudgedModelDataset, ProductionModelDataset

__all__ = [
    "AtomicParquetDataset",
    "BytesDataset",
    "CandidateModelDataset",
    "FolderDataset",
    "JsonDataset",
    "JudgedModelDataset",
    "KeysDataset",
    "PlottedRecordDataset",
    "ProductionModelDataset",
    "RecordDataset",
    "TableDataset",
    "TextDataset",
]
