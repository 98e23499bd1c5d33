"""Projects of earlier commits under today's code: nothing is lost, nothing signals by an unproven vote."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from dosvotos.database.connection import reading
from dosvotos.database.live_tables import trading_signals
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import list_proposals, production_model
from dosvotos.database.tables import approval_audit_log
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.dossier import Dossier
from tests.conftest import AS_OF
from tests.older_projects import home_of, older_project
from tests.project import Project, inside

pytestmark = pytest.mark.slow
INSTRUMENT = "USD/COP.SIM"
BEFORE_SIGNATURES, SIGNED = "46636c3", "214b331"
"""140 and 60 commits before main when this was written; schemas 0011 and 0016."""
FEED = "sample-f93e933e2c7f"


def contents(
    file: Path, columns: dict[str, list[str]] | None = None
) -> dict[str, tuple[list[str], list[Any]]]:
    """Every table's rows, under the columns it has, or had; numbers of versions are no content."""
    found = {}
    with closing(sqlite3.connect(file)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        for table in columns or sorted(set(tables) - {"alembic_version"}):
            info = connection.execute(f"PRAGMA table_info({table})")
            names = columns[table] if columns else [row[1] for row in info]
            listed = ", ".join(f'"{name}"' for name in names)
            rows = connection.execute(f"SELECT {listed} FROM {table}").fetchall()
            found[table] = (names, rows)
    return found


@pytest.fixture(scope="module", params=[BEFORE_SIGNATURES, SIGNED])
def upgraded(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("older") / request.param
    project = older_project(request.param, root)
    file = root / "data/dosvotos.db"
    before = contents(file)
    project.engine.dispose()  # opening it has upgraded it
    return request.param, project, before


@pytest.fixture(autouse=True)
def home(upgraded, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_HOME", str(home_of(upgraded[1].root)))


@pytest.fixture(autouse=True)
def same_libraries(upgraded, monkeypatch):
    """An approval lapses with any library it was given under; here what the upgrade itself does counts."""
    commit, project, _ = upgraded
    if commit == SIGNED:
        a = approval_audit_log
        with reading(project.engine) as connection:
            (lapses,) = connection.execute(select(a.c.lapses).where(a.c.action == "APPROVE")).scalars()
        monkeypatch.setattr("dosvotos.live.limits.library_lock", lambda: lapses["library_lock"])


def test_an_upgrade_loses_no_row_and_changes_no_value(upgraded):
    _, project, before = upgraded
    after = contents(
        project.root / "data/dosvotos.db", {table: names for table, (names, _) in before.items()}
    )
    assert {table: len(rows) for table, (_, rows) in before.items()}["usdcop_m5_ohlcv"] > 50_000
    for table, (_, rows) in before.items():
        assert set(rows) <= set(after[table][1]), table
        assert len(rows) == len(after[table][1]) or table in {"instruments", "deliveries"}, table


def test_the_model_keeps_its_stage_and_its_dossier_and_the_log_is_whole(upgraded):
    _, project, _ = upgraded
    with inside(project.root), reading(project.engine) as connection:
        (proposal,) = list_proposals(connection)
        model = production_model(connection, INSTRUMENT)
        assert model is not None and model.model_id == proposal.model_id
        assert proposal.status == "APPROVED"
        assert Dossier.of(proposal).dossier_hash == proposal.dossier_hash
        assert verify_audit(connection, full=True) == []


def tick(project: Project, until: str) -> Any:
    """Store the last session once more, up to a bar, as that of the Monday after, and decide on that bar."""
    now = pd.Timestamp(f"2026-11-23 {until}", tz="UTC") + pd.Timedelta(minutes=5)
    bars, _ = StoredMarket(project.engine, INSTRUMENT, FEED).tables
    known = bars.as_of(pd.Timestamp(AS_OF))
    session = known.loc["2026-11-20 13:00" : f"2026-11-20 {until}"].assign(source="sample")
    session.index += pd.Timedelta(days=3)
    bars.store(session.reset_index(names="timestamp"), now)
    project.run("smoke", "inference", data_acquisition={"as_of": now.isoformat()})
    with reading(project.engine) as connection:
        rows = connection.execute(select(trading_signals).order_by(trading_signals.c.timestamp)).all()
    assert f"{rows[-1].timestamp:%Y-%m-%d %H:%M}" == f"2026-11-23 {until}"
    return rows[-1]


def test_a_vote_from_before_signatures_is_silent_and_a_signed_one_is_served(upgraded):
    commit, project, _ = upgraded
    row = tick(project, "15:00")
    expected = {BEFORE_SIGNATURES: ("NO_SIGNAL", "unsigned_vote"), SIGNED: ("SIGNAL", None)}
    assert (row.status, row.reason_code) == expected[commit]


def test_without_its_home_a_signed_vote_is_silent_too(upgraded, monkeypatch, tmp_path):
    commit, project, _ = upgraded
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path))
    row = tick(project, "16:00")
    reason = {BEFORE_SIGNATURES: "unsigned_vote", SIGNED: "no_home"}[commit]
    assert (row.status, row.reason_code) == ("NO_SIGNAL", reason)


@pytest.mark.campaign
def test_after_l4_and_a_signed_vote_it_signals_again(upgraded):
    commit, project, _ = upgraded
    project.run("smoke", "dataset", "backtest", "promotion")
    with inside(project.root):
        with reading(project.engine) as connection:
            newest = list_proposals(connection)[0]
        if commit == BEFORE_SIGNATURES:
            vote = Vote("APPROVE", "ana", "approved again after the upgrade")
            decide_verified(project.engine, newest.id, vote, datetime.now(UTC))
    row = tick(project, "17:00")
    assert (row.status, row.detail, row.model_id) == ("SIGNAL", None, newest.model_id)
