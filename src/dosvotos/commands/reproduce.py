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
from dosvotos.pipelines.training.nodes import bundle_files
from dosvotos.pipelines.training.progress import training_progress
from dosvotos.policy.bundle import Bundle, write_bundle
from dosvotos.training.results import training_metrics
from dosvotos.training.seeds import available_cores, select_candidate, train_seeds


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
    parameters = contract.parameters
    with training_progress(parameters.training.seeds) as show:
        results = train_seeds(
            parameters, train, val, norm_stats, folder / "checkpoints", show, available_cores()
        )
    candidate = select_candidate(results)
    metrics = training_metrics(parameters.training.engine, candidate, results)
    return write_bundle(folder / "models", candidate.policy, bundle_files(contract, candidate, metrics))


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
    if folder.exists() and any(folder.iterdir()):
        raise FileError(f"{folder}: is not empty; a model is made again in a clean folder")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
