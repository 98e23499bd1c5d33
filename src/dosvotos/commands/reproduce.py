"""``dosvotos reproduce``: a stored model trained again in a clean folder, and its hashes compared."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from dosvotos.console import open_console, plain_table
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.errors import FileError
from dosvotos.hashing import short
from dosvotos.lineage.reproduce import HashMatch, reproduce
from dosvotos.market.normalization import NormStats
from dosvotos.pipelines.training.nodes import train_candidate
from dosvotos.policy.bundle import Bundle, write_bundle


def print_reproduction(engine: Engine, model_id: str, folder: Path | None) -> bool:
    """Make a model again and print which hashes match; tells whether all do."""
    with _clean(folder) as place:
        matches = list(reproduce(engine, model_id, place, train_again))
    _print(matches)
    return all(one.matches for one in matches)


def train_again(
    contract: ExperimentContract, train: pd.DataFrame, val: pd.DataFrame, norm_stats: NormStats, folder: Path
) -> Bundle:
    """Train every seed of a contract and write the candidate's bundle, as L3 does."""
    trained, _ = train_candidate(
        contract, contract.parameters, train, val, norm_stats, folder / "checkpoints"
    )
    return write_bundle(folder / "models", trained.policy, trained.files)


def _print(matches: list[HashMatch]) -> None:
    table = plain_table("layer", "hash", "recorded", "made again", "")
    for one in matches:
        says = "matches" if one.matches else "DIFFERS"
        shown = [one.recorded or "-", one.made or "-"]
        if one.name != "model_id":
            shown = [short(one.recorded), short(one.made)]
        table.add_row(one.layer, one.name, *shown, says)
    open_console().print(table)


@contextmanager
def _clean(folder: Path | None) -> Iterator[Path]:
    """Give an empty folder; one that nobody named is removed again."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="reproduce-") as place:
            yield Path(place)
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise FileError(f"{folder}: is not empty; name a new folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"{folder}: cannot be made: {error.strerror}; name a new folder with --out"
        ) from error
    yield folder
