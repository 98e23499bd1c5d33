"""What L5 serves is what was voted on, in every column of every table that names it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from kedro.io import DatasetError
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import instruments, model_registry, promotion_proposals
from dosvotos.datasets import ProductionModelDataset
from dosvotos.errors import BundleError, LineageError
from dosvotos.live.keeper import serve
from dosvotos.live.production import open_production
from tests.live.production_models import INSTRUMENT, Approved, approve
from tests.proposal_fixtures import tiny_policy

NAMES_NO_MODEL = {
    "model_registry": {"id", "trained_by", "metrics", "created_at", "promoted_at", "archived_at"},
    "instruments": set(),
    "promotion_proposals": {
        "recommendation", "confidence", "reason", "reasons", "metrics", "vs_baseline", "criteria_results",
        "criteria", "evidence", "requires_human_approval", "report_folder", "report_files", "content_hash",
        "created_at",
    },
}  # fmt: skip
"""Columns a signal says nothing of; an approval compares them with the dossier."""
TABLES = (model_registry, instruments, promotion_proposals)
ALLOWED = {
    "stage": ["staging", "shadow", "archived"],
    "status": ["PENDING_APPROVAL", "REJECTED", "SUPERSEDED", "EXPIRED"],
    "instrument": ["USD/COP"],
    "recommendation": ["REJECT"],
    "requires_human_approval": [],
}


@pytest.fixture
def approved(engine, tmp_path) -> Approved:
    return approve(engine, tmp_path / "models", signed=False)


def other(column: sa.Column, value: Any) -> list[Any]:
    """Other values of a column that its type and its constraints allow."""
    if column.name in ALLOWED:
        return ALLOWED[column.name]
    if isinstance(value, dict):
        changed = [{**value, name: "0" * 64} for name in value] or [{"a": 1}]
    elif isinstance(value, datetime):
        changed = [value + timedelta(seconds=1)]
    elif isinstance(value, int | float):
        changed = [value + 1]
    else:
        changed = ["0" * len(value)] if value else []
    return changed + [None] * (column.nullable and value is not None)


def try_to_change(engine: sa.Engine, table: sa.Table, values: dict[str, Any]) -> bool:
    """UPDATE a table's row; False where a foreign key refuses it."""
    try:
        with writing(engine) as connection:
            connection.execute(update(table).values(values))
    except IntegrityError:
        return False
    return True


def check_served_or_named(
    engine: sa.Engine, approved: Approved, table: sa.Table, name: str, value: Any
) -> None:
    if name in NAMES_NO_MODEL[table.name]:
        served = open_production(engine, INSTRUMENT)
        found = (served.row.model_id, served.bundle.policy.model_hash, served.epoch)
        assert found == (approved.model_id, approved.bundle.policy.model_hash, approved.epoch)
        return
    with pytest.raises((LineageError, BundleError)) as caught:
        open_production(engine, INSTRUMENT)
    assert any(word in str(caught.value) for word in (name, str(value), f"{table.name} has none"))


def test_no_column_changed_by_sql_gives_a_signal_under_a_false_hash(engine, approved):
    n_changes = 0
    for table in TABLES:
        with reading(engine) as connection:
            row = connection.execute(select(table)).one()._mapping
        for column in table.columns:
            for value in other(column, row[column.name]):
                if try_to_change(engine, table, {column.name: value}):
                    check_served_or_named(engine, approved, table, column.name, value)
                    n_changes += 1
            try_to_change(engine, table, {column.name: row[column.name]})
    assert n_changes > 60
    assert open_production(engine, INSTRUMENT).row.model_id == approved.model_id


def test_a_model_approved_before_signatures_is_opened_and_gives_no_signal(engine, approved):
    served = open_production(engine, INSTRUMENT)
    assert (served.row.model_id, served.epoch) == (approved.model_id, 1)
    assert served.silence.code == "unsigned_vote" and "run 'kedro run --pipelines" in served.silence.why
    assert serve(served).silence == served.silence
    assert open_production(engine, "USD/COP") is None


def test_the_newest_vote_counts_and_an_older_model_put_back_by_sql_is_refused(engine, tmp_path, approved):
    newer = approve(engine, tmp_path / "models", tiny_policy(2), signed=False)
    assert open_production(engine, INSTRUMENT).row.model_id == newer.model_id
    t = model_registry
    with writing(engine) as connection:
        connection.execute(update(t).values(stage="archived"))
        connection.execute(update(t).where(t.c.model_id == approved.model_id).values(stage="production"))
        connection.execute(update(instruments).values(production_model_id=approved.model_id, epoch=1))
    with pytest.raises(LineageError, match=r"instruments\.epoch is 1, approval_audit_log says 2"):
        open_production(engine, INSTRUMENT)


def test_another_approved_bundle_under_this_id_is_refused_whatever_columns_follow_it(
    engine, tmp_path, approved
):
    other_model = approve(engine, tmp_path / "models", tiny_policy(2), signed=False)
    approve(engine, tmp_path / "models", tiny_policy(3), signed=False)
    t = model_registry
    copied = (
        "model_path", "norm_stats_path", "manifest_hash", "model_hash", "norm_stats_hash", "config_hash",
        "dataset_hash", "lineage",
    )  # fmt: skip
    with writing(engine) as connection:
        source = connection.execute(select(t).where(t.c.model_id == other_model.model_id)).one()
        values = {name: source._mapping[name] for name in copied}
        connection.execute(update(t).where(t.c.stage == "production").values(values))
        connection.execute(update(promotion_proposals).values(lineage=source.lineage))
    with pytest.raises(LineageError, match=r"model_registry\.model_id's last digits is"):
        open_production(engine, INSTRUMENT)


def test_an_altered_audit_row_or_a_vote_without_its_model_stops_l5(engine, approved):
    with writing(engine) as connection:
        if connection.dialect.name == "sqlite":
            for name in (
                connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
                .scalars()
                .all()
            ):
                connection.execute(sa.text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(sa.text("ALTER TABLE approval_audit_log DISABLE TRIGGER USER"))
        connection.execute(sa.text("UPDATE approval_audit_log SET reviewer = 'eve'"))
    with pytest.raises(LineageError, match="approval_audit_log is not whole: row 1"):
        open_production(engine, INSTRUMENT)


def test_the_catalog_gives_no_model_that_differs(tmp_path):
    url = f"sqlite:///{tmp_path}/dosvotos.db"
    dataset = ProductionModelDataset(INSTRUMENT, {"url": url})
    assert dataset.load() is None
    engine = sa.create_engine(url)
    approve(engine, tmp_path / "models", signed=False)
    assert dataset.load().epoch == 1
    with engine.begin() as connection:
        connection.execute(update(model_registry).values(model_hash="0" * 64))
    with pytest.raises(DatasetError, match=r"model_registry\.model_hash is 0000.*the model bundle says"):
        dataset.load()
