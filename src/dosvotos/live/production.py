"""The production model, served only while bundle, registry, head row, proposal and vote agree on it."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Row

from dosvotos.audit.checkpoints import check_checkpoints, open_home
from dosvotos.audit.log import find_breaks, read_chain
from dosvotos.audit.signatures import read_trust
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.odd_values import odd_values_named
from dosvotos.database.registry import ProductionRows, production_rows
from dosvotos.errors import HomeError, LineageError
from dosvotos.hashing import digest_json, short
from dosvotos.live.reasons import Reason
from dosvotos.live.tick import Silence
from dosvotos.policy.bundle import Bundle, open_bundle
from dosvotos.promotion.agreement import (
    expected_rows,
    model_difference,
    proposal_difference,
    stage_difference,
)
from dosvotos.promotion.refit import refit_of
from dosvotos.promotion.standing import check_standing
from dosvotos.promotion.tripwires import Lapses
from dosvotos.promotion.vote_rules import columns_after, reopened_at

_IN_LINEAGE: Final = (
    "model_hash", "manifest_hash", "config_hash", "dataset_hash", "norm_stats_hash", "feature_order_hash",
)  # fmt: skip


class ProductionModel(NamedTuple):
    """The approved model of an instrument."""

    row: Row[Any]
    """Its line in the registry."""
    bundle: Bundle
    epoch: int
    proposal: Row[Any]
    """Which its approval was about."""
    silence: Silence | None = None
    """Why it may give no signal."""
    lapses: Lapses | None = None
    """When its approval ends, as its reviewer signed."""
    checkpoint: str | None = None
    """The log's last checkpoint, which its signals carry."""
    approval: Row[Any] | None = None
    """Of the model, in the log; an older one after a rollback."""


class Statement(NamedTuple):
    """What one place says, beside what another says of the same."""

    place: str
    """As ``table.column``."""
    value: Any
    other_place: str
    expected: Any


@odd_values_named("the production model")
def open_production(engine: Engine, instrument: str) -> ProductionModel | None:
    """Open the instrument's production model; None when no vote has made one.

    One that no signed vote covers, or whose votes cannot be verified for want of the home, is opened with its
    `silence`: L4 may compare with it, L5 may not signal by it.

    Raises
    ------
    LineageError
        Naming the first two places that differ, with both values: nothing may be signalled by this model.
    BundleError
        If its files are not those that were voted on.
    """
    with reading(engine) as connection:
        rows = production_rows(connection, instrument)
        breaks = find_breaks(read_chain(connection))
        reopened = reopened_at(connection, rows.proposal.id) if rows.proposal else None
    model, head, vote, approval, proposal = rows
    if model is None and vote is None and (head is None or head.production_model_id is None):
        return None
    if breaks:
        raise _refusal(instrument, f"approval_audit_log is not whole: {breaks[0]}")
    if model is None or head is None or vote is None or approval is None or proposal is None:
        named = ", ".join(
            f"{table} {'has none' if name is None else f'names {name}'}" for table, name in _names(rows)
        )
        raise _refusal(instrument, named)
    bundle = open_bundle(Path(model.model_path), model.manifest_hash)
    for place, value, other_place, expected in _statements(rows, model, proposal, bundle, reopened):
        if value != expected:
            raise _refusal(instrument, f"{place} is {value}, {other_place} says {expected}")
    opened = ProductionModel(model, bundle, head.epoch, proposal, approval=approval)
    with reading(engine) as connection:
        return _with_standing(connection, opened, rows)


def _with_standing(connection: Connection, opened: ProductionModel, rows: ProductionRows) -> ProductionModel:
    """Verify who made it production, and whether it may give signals."""
    try:
        home = open_home(connection)
    except HomeError as error:
        return opened._replace(silence=Silence(Reason.NO_HOME, str(error)))
    checkpoint = check_checkpoints(connection, home)
    standing = check_standing(connection, read_trust(connection, home), rows)
    opened = opened._replace(
        lapses=standing.lapses, checkpoint=checkpoint.note if checkpoint is not None else None
    )
    return opened if standing.signed else opened._replace(silence=_unsigned(opened))


def _unsigned(opened: ProductionModel) -> Silence:
    row = opened.row
    why = (
        f"{row.model_id} was approved before votes were signed; run 'kedro run --pipelines "
        f"backtest,promotion --env {row.experiment_name}' and vote on the proposal"
    )
    return Silence(Reason.UNSIGNED_VOTE, why)


@odd_values_named("the production model")
def check_dossier(engine: Engine, production: ProductionModel) -> None:
    """Refuse to serve a model whose rows are not what the dossier says that was voted on.

    Models approved before dossiers existed have none. L4 does not ask for this: it writes a damaged dossier
    again.

    Raises
    ------
    LineageError
        Naming the column with both values, or the file that is missing or altered.
    """
    model, proposal = production.row, production.proposal
    if proposal.dossier_hash is None:
        return
    expected = expected_rows(proposal)
    with reading(engine) as connection:
        differences = (
            ("promotion_proposals", proposal_difference(connection, proposal, expected)),
            ("model_registry", model_difference(model, expected, voted=True)),
            ("model_registry", stage_difference(connection, model)),
        )
    contract = expected.dossier.read(ExperimentContract)
    if ContractRegistry(engine).registered(contract) != contract:
        what = f"experiment_contracts has another {contract.contract_id} than the dossier"
        raise _refusal(model.instrument, what)
    for table, found in differences:
        if found is not None:
            raise _refusal(
                model.instrument,
                f"{table}.{found.field} is {found.recorded}, the dossier says {found.recomputed}",
            )


def _refusal(instrument: str, difference: str) -> LineageError:
    return LineageError(
        f"{instrument}: the production model is not what was voted on: {difference}. One of them was "
        "altered; no signal is given. See 'dosvotos audit verify'"
    )


def _names(rows: ProductionRows) -> Iterator[tuple[str, str | None]]:
    yield "model_registry", rows.model.model_id if rows.model else None
    yield "instruments", rows.head.production_model_id if rows.head else None
    yield "approval_audit_log", rows.vote.model_id if rows.vote else None
    yield "promotion_proposals", rows.proposal.model_id if rows.proposal else None


def _statements(
    rows: ProductionRows, model: Row[Any], proposal: Row[Any], bundle: Bundle, reopened: datetime | None
) -> Iterator[Statement]:
    registry, (_, head, vote, approval, _) = "model_registry", rows
    assert head is not None and vote is not None and approval is not None
    yield Statement("instruments.production_model_id", head.production_model_id, registry, model.model_id)
    yield Statement("instruments.epoch", head.epoch, "approval_audit_log", vote.epoch)
    yield Statement("model_registry.model_id", model.model_id, "approval_audit_log", vote.model_id)
    for name, value in _of_bundle(bundle).items():
        yield Statement(f"model_registry.{name}", getattr(model, name), "the model bundle", value)
    ids = (short(bundle.manifest_hash), short(bundle.policy.model_hash))  # the second before dossiers
    ending = model.model_id.rpartition("_")[2]
    if ending not in ids:
        yield Statement("model_registry.model_id's last digits", ending, "the model bundle", ids[0])
    if proposal.dossier_hash is None:  # made before dossiers, when models were named by their weights
        place = "promotion_proposals.dossier_hash is None and model_id's last digits"
        yield Statement(place, ending, "the policy", ids[1])
    path = f"{model.model_path}/norm_stats.json"
    yield Statement("model_registry.norm_stats_path", model.norm_stats_path, "its model_path", path)
    yield from _of_proposal(model, approval, proposal, reopened)


def _of_bundle(bundle: Bundle) -> dict[str, Any]:
    """Columns of the registry by what the bundle itself holds."""
    experiment = bundle.config["experiment"]
    return {
        "instrument": experiment["instrument"],
        "experiment_name": experiment["name"],
        "model_hash": bundle.policy.model_hash,
        "manifest_hash": bundle.manifest_hash,
        "norm_stats_hash": bundle.policy.norm_stats.digest,
        "config_hash": digest_json(bundle.config),
        "feature_order_hash": FEATURE_ORDER_HASH,
    }


def _of_proposal(
    model: Row[Any], approval: Row[Any], proposal: Row[Any], reopened: datetime | None
) -> Iterator[Statement]:
    table, registry = "promotion_proposals", "model_registry"
    yield Statement(f"{table}.lineage.refit_of", refit_of(proposal), "production", None)
    for name in ("model_id", "instrument", "experiment_name"):
        yield Statement(f"{table}.{name}", getattr(proposal, name), registry, getattr(model, name))
    for name, value in columns_after(approval, reopened).items():
        yield Statement(f"{table}.{name}", getattr(proposal, name), "approval_audit_log", value)
    for holder, stored in ((table, proposal.lineage), (registry, model.lineage)):
        lineage = stored if isinstance(stored, dict) else {}
        for name in _IN_LINEAGE:
            yield Statement(f"{holder}.lineage.{name}", lineage.get(name), registry, getattr(model, name))
