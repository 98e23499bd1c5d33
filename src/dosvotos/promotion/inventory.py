"""The model inventory: who answers for each model, what it is for, who approved it over what, until when."""

import csv
import io
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Row, select

from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import FEATURE_VARIABLES
from dosvotos.contracts.parameters import SIMULATED_INSTRUMENT, ModelParams
from dosvotos.contracts.records import Record
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.registry import list_models
from dosvotos.database.tables import STAGES, approval_audit_log, deliveries, promotion_proposals
from dosvotos.promotion.own_strategy import Kind, kind_of
from dosvotos.promotion.tripwires import Lapses
from dosvotos.promotion.vote_rules import is_partial

NOT_STATED: Final = "not stated"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_ORDER: Final = ("production", "shadow", *(one for one in STAGES if one not in ("production", "shadow")))
_APPROVED_TO: Final = ("production", "shadow", "archived")


class InventoryEntry(Record):
    """One model, as a validator or auditor asks for it; what nobody stated is None."""

    instrument: str
    model_id: str
    stage: str
    kind: Kind
    experiment: str
    owner: str | None
    purpose: str | None
    permitted_use: str | None
    tier: int | None
    trained_by: str
    approved_by: str | None
    """Everybody of the quorum; None while nobody has approved it."""
    approved_at: datetime | None
    overrides: str | None
    """L4's recommendation and its reasons, where the approval went against them; None where it did not."""
    self_approved: bool
    max_drawdown: float | None
    """At which the approval lapses, a positive fraction from the live account's peak."""
    next_review: date | None
    """UTC day on which the approval lapses by its age."""
    data_licences: str
    manifest_hash: str
    dossier_hash: str | None
    """Of what was approved."""


class _Approval(NamedTuple):
    """What brought a model out of staging: the last row, those who agreed with it, the proposal."""

    row: Row[Any]
    people: tuple[str, ...]
    proposal: Row[Any] | None


def model_inventory(engine: Engine) -> list[InventoryEntry]:
    """List every registered model, those in production first, then shadow, staging and archived.

    Raises
    ------
    ContractError
        If a model's stored contract is not as it was written.
    """
    contracts = ContractRegistry(engine)
    with reading(engine) as connection:
        models = sorted(list_models(connection), key=lambda row: _ORDER.index(row.stage))
        approvals = _approvals(connection)
        sources = _sources(connection)
    entries = []
    for model in models:
        contract = contracts.of_hash(model.experiment_name, model.config_hash)
        approval = approvals.get(model.model_id) if model.stage in _APPROVED_TO else None
        licences = _licences(model.instrument, sources.get(model.instrument, set()), contract)
        entries.append(_entry(model, contract, approval, licences))
    return entries


def csv_of_inventory(entries: Iterable[InventoryEntry]) -> str:
    """Write the inventory as CSV; a cell that a spreadsheet would compute begins with an apostrophe."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(InventoryEntry.model_fields)
    for entry in entries:
        writer.writerow(_cell(value) for value in entry.model_dump(mode="json").values())
    return written.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _entry(
    model: Row[Any], contract: ExperimentContract | None, approval: _Approval | None, licences: str
) -> InventoryEntry:
    stated = _stated(contract)
    row, proposal = (approval.row, approval.proposal) if approval else (None, None)
    lapses = Lapses.model_validate(row.lapses) if row is not None and row.lapses else None
    return InventoryEntry(
        instrument=model.instrument,
        model_id=model.model_id,
        stage=model.stage,
        kind=kind_of(model),
        experiment=model.experiment_name,
        owner=stated.owner,
        purpose=stated.purpose,
        permitted_use=stated.permitted_use,
        tier=stated.tier,
        trained_by=model.trained_by,
        approved_by=", ".join(approval.people) if approval else None,
        approved_at=row.created_at if row is not None else None,
        overrides=_overridden(proposal),
        self_approved=bool(row is not None and row.self_approved),
        max_drawdown=lapses.max_drawdown if lapses else None,
        next_review=(row.created_at + timedelta(lapses.max_age_days)).date() if row and lapses else None,
        data_licences=licences,
        manifest_hash=model.manifest_hash,
        dossier_hash=proposal.dossier_hash if proposal is not None else None,
    )


def _stated(contract: ExperimentContract | None) -> ModelParams:
    stated = contract.frozen_config.get("model") if contract else None
    return ModelParams.model_validate(stated) if stated else ModelParams()


def _approvals(connection: Connection) -> dict[str, _Approval]:
    """Read the last approval of each model, and everybody whose approval agrees with it."""
    a, p = approval_audit_log, promotion_proposals
    rows = list(connection.execute(select(a).where(a.c.action == "APPROVE").order_by(a.c.id)))
    proposals = {row.id: row for row in connection.execute(select(p))} if rows else {}
    found = {}
    for row in rows:
        if not is_partial(row):
            agreeing = [
                one.reviewer
                for one in rows
                if one.id == row.id or (row.agreement is not None and one.agreement == row.agreement)
            ]
            found[row.model_id] = _Approval(row, tuple(agreeing), proposals.get(row.proposal_id))
    return found


def _overridden(proposal: Row[Any] | None) -> str | None:
    if proposal is None or proposal.recommendation == "PROMOTE":
        return None
    codes = [str(reason.get("code")) for reason in proposal.reasons or ()]
    return f"{proposal.recommendation}: {', '.join(codes)}" if codes else str(proposal.recommendation)


def _sources(connection: Connection) -> dict[str, set[str]]:
    """Read from where the data of each instrument came."""
    t, found = deliveries, dict[str, set[str]]()
    for row in connection.execute(
        select(t.c.instrument, t.c.source).where(t.c.retracts.is_(None)).distinct()
    ):
        found.setdefault(row.instrument, set()).add(row.source)
    return found


def _licences(instrument: str, sources: set[str], contract: ExperimentContract | None) -> str:
    """Say under which terms the data behind a model stand."""
    if instrument == SIMULATED_INSTRUMENT:
        return "none needed: the market is simulated"
    files = ["files of your own: under the terms you have them by"] if sources & {"files", "folder"} else []
    terms = set[str]()
    if "live" in sources and contract is not None:
        variables = contract.parameters.macro_variables.variables
        terms = {variables[name].terms for name in FEATURE_VARIABLES.values() if name in variables}
        terms.add("bars: under their provider's terms")
    return "; ".join([*files, *sorted(terms)]) or NOT_STATED
