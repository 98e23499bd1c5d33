"""A stored model made again from its contract and the stored rows, and compared hash by hash."""

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Engine, Row

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import DatasetRecord, LayerRecords, TrainingRecord
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import find_model, latest_proposal
from dosvotos.errors import LineageError
from dosvotos.lineage.recompute import RecordedTraining, make_candidate_record, make_report, remake_dataset
from dosvotos.market.dataset import SPLITS
from dosvotos.market.splits import splits_of
from dosvotos.policy.candidate import Candidate
from dosvotos.policy.strategy import Strategy, make_strategy, open_strategy
from dosvotos.promotion.agreement import expected_rows, proposal_in
from dosvotos.promotion.gate_policy import GatePolicy, packaged_policy, policy_of_version

Train = Callable[[ExperimentContract, pd.DataFrame, Path], Candidate]
"""Trains what a contract asks for, a model or a line, on rows of its dataset, and writes it into a folder."""
Allow = Callable[[Strategy, Path], None]
"""Raises unless whoever asks lets an own strategy run, whose source is stored in a file."""


class HashMatch(NamedTuple):
    """One hash, as recorded and as made again."""

    layer: str
    name: str
    recorded: str | None
    made: str | None

    @property
    def matches(self) -> bool:
        """Whether both are the same."""
        return self.recorded == self.made


class Stored(NamedTuple):
    """What the database and the dossier say of a model."""

    model: Row[Any]
    contract: ExperimentContract
    layers: LayerRecords
    policy: GatePolicy
    """Under which L4 judged it."""


def reproduce(engine: Engine, model_id: str, folder: Path, train: Train, allow: Allow) -> Iterator[HashMatch]:
    """Make dataset, model and backtest of a registered model again in a clean folder, layer by layer.

    A line is made again fold by fold. Of an own strategy nothing is trained: its stored source is sealed
    again with the stored contract, and runs on the dataset made again.

    Parameters
    ----------
    engine : Engine
    model_id : str
    folder : Path
        Empty; holds the checkpoints and the bundles, or the sealed copy, that are made.
    train : callable
        Trains anew: nothing of the stored bundles is used.
    allow : callable
        Asked before an own strategy's stored source runs.

    Yields
    ------
    HashMatch
        In the order of the layers.

    Raises
    ------
    LineageError
        If the model is not registered, or its contract or dossier is missing.
    """
    stored = _stored(engine, model_id)
    contract, parameters = stored.contract, stored.contract.parameters
    tables = StoredMarket(engine, stored.model.instrument, parameters.feed).tables
    history = stored_history(parameters, *tables, contract.data_as_of, contract.test_end)
    dataset, rows = remake_dataset(contract, history)
    yield from _of_dataset(stored, dataset)
    if parameters.candidate:
        candidate: Candidate = _sealed_again(stored, folder, allow)
    else:
        candidate = train(contract, rows, folder)
    recorded = RecordedTraining(stored.layers.training.model_id, stored.layers.training.run)
    training = make_candidate_record(contract, dataset, candidate, rows, recorded)
    yield from _of_training(stored, candidate, training)
    if (backtest := stored.layers.backtest) is not None:
        test = splits_of(parameters)["test"].select(rows)
        report = make_report(contract, dataset, training, candidate, test, stored.policy)
        yield HashMatch("L4", "backtest_hash", backtest.backtest_hash, report.backtest_hash)


def _stored(engine: Engine, model_id: str) -> Stored:
    with reading(engine) as connection:
        model, proposal = find_model(connection, model_id), latest_proposal(connection, model_id)
        if model is None or proposal is None:
            raise LineageError(f"{model_id}: is not registered with a proposal; see 'dosvotos models'")
        new = proposal_in(expected_rows(proposal).dossier)
        judged_under = new.proposal.evidence.policy if new.proposal.evidence else None
        policy = policy_of_version(connection, judged_under or packaged_policy().version)
    contract = ContractRegistry(engine).registered(new.layers.contract)
    if contract is None:
        raise LineageError(
            f"{model_id}: its contract {new.layers.contract.contract_id} is not in this database; run it "
            "where it was trained"
        )
    return Stored(model, contract, new.layers, policy.policy)


def _sealed_again(stored: Stored, folder: Path, allow: Allow) -> Strategy:
    """Seal an own strategy's stored source again, with the stored contract, in the clean folder."""
    kept = open_strategy(Path(stored.model.model_path), stored.layers.training.manifest_hash)
    made = make_strategy(folder / "models", stored.contract, kept.source_name, kept.content)
    allow(made, kept.folder / kept.source_name)
    made.seal()
    return made


def _of_training(stored: Stored, candidate: Candidate, made: TrainingRecord) -> Iterator[HashMatch]:
    """Compare the model, of a line every fold of it."""
    was = stored.layers.training
    for before, fold in zip_longest(was.folds, made.folds):
        number = (before or fold).fold
        for name in ("dataset_hash", "norm_stats_hash", "model_hash", "manifest_hash"):
            yield HashMatch(
                "L3", f"fold {number} {name}", getattr(before, name, None), getattr(fold, name, None)
            )
    yield HashMatch("L3", "model_hash", stored.model.model_hash, candidate.model_hash)
    yield HashMatch("L3", "manifest_hash", stored.model.manifest_hash, candidate.manifest_hash)
    yield HashMatch("L3", "model_id", stored.model.model_id, made.model_id)


def _of_dataset(stored: Stored, made: DatasetRecord) -> Iterator[HashMatch]:
    """Compare the contract's hashes and every one of the dataset's."""
    yield HashMatch("L2", "config_hash", stored.model.config_hash, stored.contract.config_hash)
    was = stored.layers.dataset
    for name in ("acquisition_hash", "feature_order_hash", "norm_stats_hash", "dataset_hash"):
        yield HashMatch("L2", name, getattr(was, name), getattr(made, name))
    for split in SPLITS:
        yield HashMatch("L2", f"{split} rows", was.splits[split].digest, made.splits[split].digest)
