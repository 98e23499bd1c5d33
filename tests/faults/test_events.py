"""Single events of an approval's life: a server that goes away, files exchanged, weights used twice."""

import signal
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from dosvotos.database.connection import reading
from dosvotos.database.tables import experiment_contracts, model_registry
from dosvotos.errors import DatabaseError, LineageError
from dosvotos.lineage.vote import decide_verified
from dosvotos.live.production import check_dossier, open_production
from dosvotos.promotion.agreement import proposal_in
from dosvotos.promotion.decision import decide
from dosvotos.promotion.dossier import Dossier
from tests.conftest import ensure_running
from tests.faults.crashes import one_production, promotions, waiting
from tests.faults.databases import Databases
from tests.faults.voting import APPROVE, STEPS
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.test_files import SWAPPER, process


@pytest.mark.slow
@pytest.mark.parametrize("step", ["_set_stage", "append_audit_row"])
def test_a_server_that_goes_away_in_mid_transaction_changes_nothing_and_a_retry_works(
    postgres_server, migrated_server, tmp_path, monkeypatch, step
):
    ensure_running(postgres_server)
    desk, proposal_id = waiting(Databases(tmp_path, migrated_server))
    monkeypatch.chdir(desk.root)
    original = getattr(STEPS[step], step)

    def stopping(*arguments):
        original(*arguments)
        server = psutil.Process(postgres_server.get_pid())
        server.send_signal(signal.SIGQUIT)  # PostgreSQL's immediate stop
        server.wait(timeout=30)

    with monkeypatch.context() as patch:
        patch.setattr(STEPS[step], step, stopping)
        with pytest.raises(DatabaseError, match="database postgresql"):
            decide(desk.engine, proposal_id, APPROVE, datetime.now(UTC))
    ensure_running(postgres_server)
    model_id = desk.proposal(proposal_id).model_id
    assert one_production(desk) and promotions(desk, model_id) == 0
    assert decide(desk.engine, proposal_id, APPROVE, datetime.now(UTC)).new_stage == "production"
    assert one_production(desk) and promotions(desk, model_id) == 1


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_swapper_never_gets_other_records_under_a_dossier_s_hash(desk, tmp_path):
    row = desk.proposal(desk.propose())
    path, good, bad = Path(row.report_folder) / "training_record.json", tmp_path / "good", tmp_path / "bad"
    good.write_bytes(path.read_bytes())
    bad.write_bytes(path.read_bytes().replace(b"alice", b"carol"))
    read = set()
    with process(SWAPPER, path, good, bad):
        for _ in range(200):
            try:
                read.add(proposal_in(Dossier.of(row)).layers.training.trained_by)
            except LineageError:
                read.add("refused")
    assert read == {"alice", "refused"}


def test_of_two_versions_with_the_same_weights_the_one_that_was_voted_on_trades(desk):
    first = desk.proposal(desk.propose_recomputable())
    second_id = desk.propose_recomputable(version="2.0.0")
    second = desk.proposal(second_id)
    assert first.lineage["model_hash"] == second.lineage["model_hash"]
    assert first.model_id != second.model_id
    decide_verified(desk.engine, second_id, APPROVE, datetime.now(UTC))
    served = open_production(desk.engine, INSTRUMENT)
    check_dossier(desk.engine, served)
    m, c = model_registry.c, experiment_contracts.c
    with reading(desk.engine) as connection:
        stages = dict(connection.execute(select(m.model_id, m.stage)).tuples().all())
        contract = select(c.config_hash).where(c.experiment_version == "2.0.0")
        assert served.row.config_hash == connection.execute(contract).scalar_one()
    assert stages == {first.model_id: "staging", second.model_id: "production"}
    assert served.bundle.manifest_hash == second.lineage["manifest_hash"]
