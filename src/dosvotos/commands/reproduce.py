"""``dosvotos reproduce``: a stored model made again in a clean folder, and its hashes compared."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from dosvotos.console import open_console, plain_table
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.datasets.models import write_model
from dosvotos.errors import FileError, StrategyError
from dosvotos.hashing import short
from dosvotos.lineage.recompute import fold_rows
from dosvotos.lineage.reproduce import HashMatch, reproduce
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.market.splits import splits_of
from dosvotos.pipelines.training.nodes import train_candidate, train_line
from dosvotos.policy.candidate import Candidate, open_candidate
from dosvotos.policy.strategy import Strategy, find_source


def print_reproduction(engine: Engine, model_id: str, folder: Path | None, run_stored: bool = False) -> bool:
    """Make a model again and print which hashes match; tells whether all do.

    Parameters
    ----------
    engine : Engine
    model_id : str
    folder : Path, optional
        A clean one to keep what is made.
    run_stored : bool
        Whether an own strategy's stored source may run though it is not the project's own.
    """
    allow = _anything if run_stored else refuse_others_code
    with _clean(folder) as place:
        matches = list(reproduce(engine, model_id, place, train_again, allow))
    _print(matches)
    return all(one.matches for one in matches)


def train_again(contract: ExperimentContract, rows: pd.DataFrame, folder: Path) -> Candidate:
    """Train every seed of a contract, of a line every fold, and write the candidate's bundle, as L3 does."""
    checkpoints = folder / "checkpoints"
    if contract.parameters.splits.is_line:
        model, _ = train_line(contract, fold_rows(contract, rows), checkpoints)
    else:
        splits = splits_of(contract.parameters)
        train, val = (splits[name].select(rows) for name in ("train", "val"))
        norm_stats = fit_norm_stats(train)
        model, _ = train_candidate(contract, contract.parameters, train, val, norm_stats, checkpoints)
    bundle = write_model(folder / "models", model)
    return open_candidate(bundle.folder, bundle.manifest_hash)


def refuse_others_code(strategy: Strategy, stored: Path) -> None:
    """Refuse a stored source that is not, to the byte, the project's own: anybody may have put it there.

    Raises
    ------
    StrategyError
    """
    if not strategy.is_code:
        return
    own = find_source(strategy.reference, strategy.config["experiment"]["name"])
    if not (own.is_file() and own.read_bytes() == strategy.content):
        raise StrategyError(
            f"candidate.targets {strategy.reference}: the stored source {stored} is not {own} as it is now, "
            "and it would run as you; read it, then say --stored-source"
        )


def _anything(strategy: Strategy, stored: Path) -> None:
    """Let every stored source run."""


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
