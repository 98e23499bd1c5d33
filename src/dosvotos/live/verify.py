"""A signal walked back: its row, features, model, both votes, dossier, dataset and contract."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, Row, select

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.copies import compare_copy
from dosvotos.audit.log import find_breaks, read_chain
from dosvotos.audit.signatures import read_trust
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH, MARKET_FEATURES
from dosvotos.contracts.parameters import SIMULATED_INSTRUMENT
from dosvotos.contracts.records import ChainRecord, DatasetRecord, InferenceRecord, LinkRecord
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.odd_values import odd_values_named
from dosvotos.database.registry import ProductionRows, find_model, promoting_votes
from dosvotos.database.tables import inference_features_5m, promotion_proposals
from dosvotos.errors import BundleError, DataError, HomeError, LineageError
from dosvotos.hashing import digest_arrays
from dosvotos.lineage.vote import verify_proposal
from dosvotos.live.reasons import Reason
from dosvotos.live.state import MarketView, rebuild
from dosvotos.live.tick import LiveFeatures, decide, inference_hash, served_model
from dosvotos.policy.bundle import Bundle, open_bundle
from dosvotos.promotion.agreement import expected_rows, instrument_of, model_difference, proposal_difference
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.standing import check_standing

_MODEL_HASHES: Final = ("model_hash", "manifest_hash", "norm_stats_hash")
_HELD: Final = "as it says"
_SIGNED: Final = "valid"


class _Rows(NamedTuple):
    """What the database has of a signal, in one view of it."""

    signal: Row[Any]
    features: Row[Any] | None
    model: Row[Any] | None
    vote: Row[Any] | None
    """The decision that began the signal's epoch: an approval, or a rollback to a model approved before."""
    proposal: Row[Any] | None
    signed: str
    """Whether valid signatures cover the decision, or why not."""
    breaks: Sequence[str]
    """Of the log of votes."""
    checkpoint: str | None
    """Whether the log is what the signal's checkpoint says, or the first difference; None without one."""


def verify_signal(
    engine: Engine, signal_id: str, instrument: str | None = None, recompute: bool = False
) -> ChainRecord:
    """Walk a signal back to the data and both votes; the links that do not hold are `broken`.

    Parameters
    ----------
    engine : Engine
    signal_id : str
        Its inference_id.
    instrument : str, optional
        Needed where several instruments have a row of that id.
    recompute : bool
        Whether features, dataset, backtest and first vote are computed again from stored data.

    Raises
    ------
    DataError
        If there is no such signal, or several.
    AlteredError
        If a row on the way holds what cannot be compared.
    """
    with odd_values_named(signal_id):
        rows = _read(engine, signal_id, instrument)
        links = [*_of_row(rows), *_of_features(rows), *_of_model(rows), *_of_votes(engine, rows)]
        if recompute:
            links += _again(engine, rows)
    return ChainRecord(links=tuple(links))


def _read(engine: Engine, signal_id: str, instrument: str | None) -> _Rows:
    s, f = trading_signals, inference_features_5m
    with reading(engine) as connection:
        query = select(s).where(s.c.inference_id == signal_id)
        if instrument is not None:
            query = query.where(s.c.instrument == instrument)
        found = connection.execute(query).all()
        if len(found) != 1:
            named = ", ".join(row.instrument for row in found) or "none"
            raise DataError(f"{signal_id}: one signal expected, found {named}; name one with --instrument")
        signal = found[0]
        at = (f.c.instrument == signal.instrument) & (f.c.timestamp == signal.timestamp)
        features = connection.execute(select(f).where(at)).one_or_none()
        model = find_model(connection, signal.model_id) if signal.model_id else None
        decided = _decided(connection, signal, model)
        breaks = find_breaks(read_chain(connection))
        return _Rows(signal, features, model, *decided, breaks, _checkpoint(connection, signal))


def _checkpoint(connection: Connection, signal: Row[Any]) -> str | None:
    """Compare the log with the checkpoint that was signed into the signal's row."""
    if signal.checkpoint is None:
        return None
    try:
        problems = compare_copy(connection, signal.checkpoint)
    except (HomeError, LineageError) as error:
        return str(error)
    return problems[0] if problems else _HELD


def _decided(connection: Connection, signal: Row[Any], model: Row[Any] | None) -> tuple[Any, Any, str]:
    """Read the decision that began a signal's epoch, the proposal it rests on, and whether it is signed."""
    votes = promoting_votes(connection, signal.instrument)
    vote = next((row for row in votes if row.epoch == signal.epoch), None)
    if vote is None:
        return None, None, "no vote"
    approvals = [row for row in votes if row.action == "APPROVE" and row.model_id == vote.model_id]
    approval = next((row for row in reversed(approvals) if row.id <= vote.id), None)
    p = promotion_proposals
    query = select(p).where(p.c.id == (approval.proposal_id if approval is not None else None))
    proposal = connection.execute(query).one_or_none()
    rows = ProductionRows(model, None, vote, approval, proposal)
    try:
        standing = check_standing(connection, read_trust(connection, open_home(connection)), rows)
    except (HomeError, LineageError) as error:
        return vote, proposal, str(error)
    return vote, proposal, _SIGNED if standing.signed else "approved before votes were signed"


def _of_row(rows: _Rows) -> Iterator[LinkRecord]:
    signal = rows.signal._mapping
    fields = {name: signal[name] for name in InferenceRecord.model_fields if name in signal}
    fields |= {"macro_late": tuple(signal["macro_late"] or ()), "latency_ms": signal["inference_latency_ms"]}
    recorded = signal["inference_hash"] or "none"
    yield _link("signal", "inference_hash", recorded, inference_hash(InferenceRecord(**fields)), "its row")


def _of_features(rows: _Rows) -> Iterator[LinkRecord]:
    signal, features = rows.signal, rows.features
    if signal.feature_hash is None:
        return
    if features is None:
        yield _link("signal", "feature_hash", signal.feature_hash, "missing", "inference_features_5m")
        return
    if not (_infinite(rows) and np.isnan(_vector(features)).any()):  # infinite values are stored as none
        found = digest_arrays({"features": _vector(features)})
        yield _link("signal", "feature_hash", signal.feature_hash, found, "inference_features_5m")
    yield _link("features", "feature_hash", features.feature_hash, signal.feature_hash, "the signal")
    yield _link(
        "features", "feature_order_hash", features.feature_order_hash, FEATURE_ORDER_HASH, "FEATURE_ORDER"
    )
    yield _link("signal", "position", signal.position, features.position, "inference_features_5m")


def _of_model(rows: _Rows) -> Iterator[LinkRecord]:
    """Compare the model's files with the signal, and let it decide on the stored features again."""
    signal, model = rows.signal, rows.model
    if signal.model_id is None:
        return
    if model is None:
        yield _link("signal", "model_id", signal.model_id, "missing", "model_registry")
        return
    for name in _MODEL_HASHES:
        yield _link("signal", name, getattr(signal, name), getattr(model, name), "model_registry")
    try:
        bundle = open_bundle(Path(model.model_path), model.manifest_hash)
    except BundleError as error:
        yield _link("model", "manifest_hash", model.manifest_hash, str(error), "the bundle's files")
        return
    yield _link("model", "model_hash", model.model_hash, bundle.policy.model_hash, "the bundle's files")
    found = bundle.policy.norm_stats.digest
    yield _link("model", "norm_stats_hash", model.norm_stats_hash, found, "the bundle's files")
    if rows.features is not None and signal.reason_code is None:
        yield from _decided_again(rows, bundle)


def _decided_again(rows: _Rows, bundle: Bundle) -> Iterator[LinkRecord]:
    signal, vector = rows.signal, _vector(rows.features)
    n_market = len(MARKET_FEATURES)
    features = LiveFeatures(signal.timestamp, vector[:n_market], float(vector[-1]))
    served = served_model(signal.model_id, bundle.manifest_hash, signal.epoch, bundle.policy)
    decision = decide(features, served, signal.position)
    for name in ("signal", "confidence"):
        yield _link(
            "signal", name, getattr(signal, name), getattr(decision, name), "the model on the stored features"
        )


def _of_votes(engine: Engine, rows: _Rows) -> Iterator[LinkRecord]:
    """Compare the vote that began the epoch, its dossier and the rows that repeat it."""
    signal, vote, proposal = rows.signal, rows.vote, rows.proposal
    if signal.model_id is None:
        return
    yield _link("log of votes", "row_hash", _HELD, rows.breaks[0] if rows.breaks else _HELD, "its rows")
    if rows.checkpoint is not None:
        yield _link("signal", "checkpoint", _HELD, rows.checkpoint, "the log of votes")
    voted = vote.model_id if vote else "no vote"
    yield _link("signal", "model_id", signal.model_id, voted, f"the vote of epoch {signal.epoch}")
    if vote is None or proposal is None or rows.model is None:
        return
    yield _link("vote", "signature", _SIGNED, rows.signed, "the signed texts and who could sign then")
    if signal.instrument != SIMULATED_INSTRUMENT:  # whose rows are dated by the market's clock
        after = str(signal.created_at >= vote.created_at)
        yield _link("signal", "created_at", after, "True", "after the vote")
    if proposal.dossier_hash is None:
        return
    try:
        expected = expected_rows(proposal)
    except LineageError as error:
        yield _link("proposal", "dossier_hash", proposal.dossier_hash, str(error), "the dossier's files")
        return
    found = expected.dossier.dossier_hash
    yield _link("proposal", "dossier_hash", proposal.dossier_hash, found, "the dossier's files")
    with reading(engine) as connection:
        differences = {
            "proposal": proposal_difference(connection, proposal, expected),
            "model": model_difference(rows.model, expected, voted=True),
        }
    for record, difference in differences.items():
        field = difference.field if difference else "content"
        values = (difference.recorded, difference.recomputed) if difference else (_HELD, _HELD)
        yield _link(record, field, *values, "the dossier")
    yield from _of_contract(engine, expected.dossier)


def _of_contract(engine: Engine, dossier: Dossier) -> Iterator[LinkRecord]:
    contract, dataset = dossier.read(ExperimentContract), dossier.read(DatasetRecord)
    registered = ContractRegistry(engine).registered(contract)
    found = "missing" if registered is None else registered.config_hash
    yield _link("contract", "config_hash", contract.config_hash, found, "experiment_contracts")
    yield _link("dataset", "config_hash", dataset.config_hash, contract.config_hash, "the contract")


def _again(engine: Engine, rows: _Rows) -> Iterator[LinkRecord]:
    """Compute features from what was stored when the signal was written, and the proposal from its data."""
    proposal, features = rows.proposal, rows.features
    if proposal is None or proposal.dossier_hash is None:
        raise LineageError(
            f"{rows.signal.inference_id}: no dossier stands behind it, so there is nothing to compute "
            "again; leave --recompute out"
        )
    expected = expected_rows(proposal)
    if features is not None:
        yield _features_again(engine, rows, expected.dossier)
    yield from verify_proposal(engine, proposal).chain.links


def _features_again(engine: Engine, rows: _Rows, dossier: Dossier) -> LinkRecord:
    contract, signal = dossier.read(ExperimentContract), rows.signal
    parameters = contract.parameters
    tables = StoredMarket(engine, instrument_of(contract), parameters.feed).tables
    as_fetched = parameters.inference.clock == "wall"
    stream, _ = rebuild(parameters, MarketView(*tables, signal.created_at, as_fetched, signal.timestamp))
    market, stored = stream.row[: len(MARKET_FEATURES)], _vector(rows.features)[: len(MARKET_FEATURES)]
    recorded, found = (digest_arrays({"features": np.array(values)}) for values in (stored, market))
    return _link("features", "market features", recorded, found, "bars and values stored by then")


def _vector(features: Any) -> np.ndarray:
    """Read the 15 raw features in FEATURE_ORDER; NaN where missing or infinite."""
    values = (features._mapping[name] for name in FEATURE_ORDER)
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _infinite(rows: _Rows) -> bool:
    return bool(rows.signal.reason_code == Reason.FEATURE_OUT_OF_RANGE)


def _link(record: str, field: str, recorded: Any, recomputed: Any, source: str) -> LinkRecord:
    return LinkRecord(
        record=record, field=field, recorded=str(recorded), recomputed=str(recomputed), source=source
    )
