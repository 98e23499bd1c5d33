"""A model in production as a vote leaves it: bundle, registry, head row, proposal and audit row."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import yaml
from sqlalchemy import Engine, update

from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.database.connection import writing
from dosvotos.database.registry import add_model, add_proposal, change_one, lock_instrument
from dosvotos.database.tables import instruments, model_registry, promotion_proposals
from dosvotos.hashing import digest_json, short
from dosvotos.policy.bundle import Bundle, write_bundle
from dosvotos.policy.forward import ServedPolicy
from dosvotos.promotion.audit import append_audit_row
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
    engine: Engine, folder: Path, policy: ServedPolicy | None = None, version: str = "1.0.0"
) -> Approved:
    """Put a model into production by rows as a vote before dossiers wrote them."""
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
        proposal_id, epoch = (
            add_proposal(connection, proposal),
            lock_instrument(connection, INSTRUMENT).epoch + 1,
        )
        m, p = model_registry, promotion_proposals
        connection.execute(update(m).where(m.c.stage == "production").values(stage="archived"))
        promoted = {"stage": "production", "promoted_at": NOW}
        change_one(connection, update(m).where(m.c.model_id == model_id).values(promoted))
        head = {"epoch": epoch, "production_model_id": model_id}
        change_one(connection, update(instruments).where(instruments.c.instrument == INSTRUMENT).values(head))
        voted = {"status": "APPROVED", "reviewer": "bob", "reviewer_notes": NOTES, "approved_at": NOW}
        change_one(connection, update(p).where(p.c.id == proposal_id).values(voted))
        entry = {
            "action": "APPROVE", "model_id": model_id, "proposal_id": proposal_id, "reviewer": "bob",
            "notes": NOTES, "previous_production_model": None, "new_stage": "production",
            "self_approved": False, "epoch": epoch,
        }  # fmt: skip
        append_audit_row(connection, entry, NOW)
    return Approved(model_id, bundle, epoch)
