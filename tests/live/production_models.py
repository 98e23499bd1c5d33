"""A model in production as a vote leaves it: bundle, registry, head row, proposal and audit row."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from sqlalchemy import Connection, Engine, update

from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.log import append_audit_row
from dosvotos.audit.people import Signatory
from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.database.connection import writing
from dosvotos.database.registry import add_model, add_proposal, change_one, lock_instrument
from dosvotos.database.tables import instruments, model_registry, promotion_proposals
from dosvotos.hashing import digest_json, short
from dosvotos.policy.bundle import Bundle, write_bundle
from dosvotos.policy.forward import ServedPolicy
from dosvotos.promotion.transaction import ActOf, Entry, Subject, carry_out
from dosvotos.promotion.tripwires import Lapses
from tests.conftest import parameters_of
from tests.proposal_fixtures import tiny_policy

INSTRUMENT = "USD/COP.SIM"
NOW = datetime(2026, 11, 20, 23, tzinfo=UTC)
NOTES = "the desk has seen what it can lose"


class Approved(NamedTuple):
    model_id: str
    bundle: Bundle
    epoch: int


def approve(
    engine: Engine,
    folder: Path,
    policy: ServedPolicy | None = None,
    version: str = "1.0.0",
    signed: bool = True,
    stage: str = "production",
    lapses: Lapses | None = None,
) -> Approved:
    """Give a model its stage by a vote of single-user mode, or by the rows of one before signatures."""
    contract = make_contract(parameters_of(experiment={"version": version}), date(2026, 7, 31), "alice")
    config = {"config.yaml": yaml.safe_dump(contract.frozen_config).encode()}
    bundle = write_bundle(folder, policy or tiny_policy(1), config)
    model_id = f"demo_20261120_{short(bundle.policy.model_hash)}"
    hashes = {
        "model_hash": bundle.policy.model_hash,
        "manifest_hash": bundle.manifest_hash,
        "norm_stats_hash": bundle.policy.norm_stats.digest,
        "config_hash": contract.config_hash,
        "feature_order_hash": FEATURE_ORDER_HASH,
        "dataset_hash": digest_json("dataset"),
    }
    named = {"model_id": model_id, "instrument": INSTRUMENT, "experiment_name": "demo", "created_at": NOW}
    path = str(bundle.folder)
    model = {
        **named, **hashes, "model_path": path, "norm_stats_path": f"{path}/norm_stats.json",
        "trained_by": "alice", "metrics": {"sharpe_ratio": 1.2}, "lineage": hashes,
    }  # fmt: skip
    proposal = {
        **named, "recommendation": "REVIEW", "reason": "a short window", "metrics": {},
        "criteria_results": {}, "evidence": {}, "requires_human_approval": True, "lineage": hashes,
        "report_folder": "x", "report_files": {}, "content_hash": digest_json("proposal"),
    }  # fmt: skip
    with writing(engine) as connection:
        add_model(connection, model)
        proposal_id = add_proposal(connection, proposal)
    act = InstalledModel(proposal_id, model_id, bundle.manifest_hash, stage, lapses)
    if signed:
        return Approved(model_id, bundle, carry_out(engine, act, "bob", NOW).row.epoch)
    with writing(engine) as connection:
        epoch = lock_instrument(connection, INSTRUMENT).epoch
        entry = act.carry_out(connection, Signatory("bob", None), None, epoch, NOW)
        head = update(instruments).where(instruments.c.instrument == INSTRUMENT)
        change_one(connection, head.values(epoch=entry.epoch))
        voted = {"action": "APPROVE", "reviewer": "bob", "notes": NOTES}
        append_audit_row(connection, entry._asdict() | voted, NOW)
    return Approved(model_id, bundle, entry.epoch)


@dataclass(frozen=True)
class InstalledModel(ActOf):
    """An approval whose proposal has no dossier: what L5 needs of one, signed or not."""

    proposal_id: int
    model_id: str
    manifest_hash: str
    stage: str = "production"
    lapses: Lapses | None = None
    action: str = "APPROVE"
    reason: str = NOTES

    def instrument_in(self, connection: Connection) -> str:
        return INSTRUMENT

    @property
    def request(self) -> dict[str, Any]:
        return {"proposal": self.proposal_id}

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Nothing of it is judged."""

    def subject(self, connection: Connection) -> Subject:
        about = Subject(proposal=self.proposal_id, model=self.manifest_hash, stage=self.stage)
        return about._replace(lapses=self.lapses)

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        m, p, to_production = model_registry, promotion_proposals, self.stage == "production"
        if to_production:
            connection.execute(update(m).where(m.c.stage == "production").values(stage="archived"))
            head = update(instruments).where(instruments.c.instrument == INSTRUMENT)
            change_one(connection, head.values(production_model_id=self.model_id))
        promoted = {"stage": self.stage, "promoted_at": now}
        change_one(connection, update(m).where(m.c.model_id == self.model_id).values(promoted))
        voted = {"status": "APPROVED", "reviewer": "bob", "reviewer_notes": NOTES, "approved_at": now}
        change_one(connection, update(p).where(p.c.id == self.proposal_id).values(voted))
        return Entry(
            epoch + to_production, model_id=self.model_id, proposal_id=self.proposal_id, new_stage=self.stage,
            trained_by="alice", agreement=digest_json(self.model_id), approvals=1, quorum=1,
        )  # fmt: skip
