"""A stored model made again from its contract and the stored rows, and compared hash by hash."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Engine, Row

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import DatasetRecord, LayerRecords
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import find_model, latest_proposal
from dosvotos.errors import LineageError
from dosvotos.lineage.recompute import RecordedTraining, make_report, make_training_record, remake_dataset
from dosvotos.market.dataset import SPLITS
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.market.splits import splits_of
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.agreement import expected_rows, proposal_in
from dosvotos.promotion.gate_policy import GatePolicy, packaged_policy, policy_of_version

Train = Callable[[ExperimentContract, pd.DataFrame, pd.DataFrame, NormStats, Path], Bundle]
"""Trains a contract's seeds on rows of train and val, and writes the candidate's bundle into a folder."""


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


def reproduce(engine: Engine, model_id: str, folder: Path, train: Train) -> Iterator[HashMatch]:
    """Make dataset, model and backtest of a registered model again in a clean folder, layer by layer.

    Parameters
    ----------
    engine : Engine
    model_id : str
    folder : Path
        Empty; holds the checkpoints and the bundle that are made.
    train : callable
        Trains anew: nothing of the stored bundle is used.

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
    cut = splits_of(parameters)
    train_rows, val, test = (cut[name].select(rows) for name in SPLITS)
    candidate = train(contract, train_rows, val, fit_norm_stats(train_rows), folder)
    yield HashMatch("L3", "model_hash", stored.model.model_hash, candidate.policy.model_hash)
    yield HashMatch("L3", "manifest_hash", stored.model.manifest_hash, candidate.manifest_hash)
    recorded = RecordedTraining(stored.layers.training.model_id, stored.layers.training.run)
    training = make_training_record(contract, dataset, candidate, recorded)
    yield HashMatch("L3", "model_id", model_id, training.model_id)
    if (backtest := stored.layers.backtest) is not None:
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
    if contract.parameters.candidate or contract.parameters.splits.is_line:
        kind = "an own strategy" if contract.parameters.candidate else "a walk-forward line"
        raise LineageError(
            f"{model_id}: is {kind}; only a single trained model is made again by this command; run its "
            "L4 again instead"
        )
    return Stored(model, contract, new.layers, policy.policy)


def _of_dataset(stored: Stored, made: DatasetRecord) -> Iterator[HashMatch]:
    """Compare the contract's hashes and every one of the dataset's."""
    yield HashMatch("L2", "config_hash", stored.model.config_hash, stored.contract.config_hash)
    was = stored.layers.dataset
    for name in ("acquisition_hash", "feature_order_hash", "norm_stats_hash", "dataset_hash"):
        yield HashMatch("L2", name, getattr(was, name), getattr(made, name))
    for split in SPLITS:
        yield HashMatch("L2", f"{split} rows", was.splits[split].digest, made.splits[split].digest)
