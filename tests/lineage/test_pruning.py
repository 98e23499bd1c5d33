"""What ``dosvotos prune`` takes away, and that no proof misses it."""

import os
import shutil
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock
from mlflow import MlflowClient
from sqlalchemy import insert, select, update

from dosvotos.commands.main import cli
from dosvotos.commands.prune import make_plan, remove_pieces
from dosvotos.contracts.records import TrainingRecord
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import backtest_requests, model_registry, promotion_proposals
from dosvotos.errors import LineageError
from dosvotos.lineage import pruning
from dosvotos.lineage.pruning import Piece, Plan
from dosvotos.lineage.vote import decide_verified, verify_proposal
from dosvotos.live.production import check_dossier, open_production
from dosvotos.policy.bundle import write_bundle
from dosvotos.policy.candidate import open_candidate
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.dossier import FILE_NAMES, Dossier
from dosvotos.promotion.older_traces import older_traces
from tests.project import empty_store
from tests.proposal_fixtures import INSTRUMENT, Desk, tiny_policy
from tests.recomputable_proposals import propose_line
from tests.sharing import made_once

pytestmark = pytest.mark.slow
SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
LATER = timedelta(days=40)
"""When open proposals have expired."""


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    return Desk(engine, tmp_path)


def plan(desk: Desk, after: timedelta = LATER) -> Plan:
    with ExitStack() as locks:
        return make_plan(desk.root, datetime.now(UTC) + after, locks)


def prune(desk: Desk, after: timedelta = LATER) -> list[str]:
    pieces = plan(desk, after).removable
    remove_pieces(desk.root, pieces)
    return names(pieces)


def names(pieces: tuple[Piece, ...]) -> list[str]:
    return sorted(str(piece.path) for piece in pieces)


def rows(desk: Desk, table) -> list:
    with reading(desk.engine) as connection:
        return connection.execute(select(table)).all()


def write(root: Path, *paths: str) -> list[str]:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * 1000)
    return list(paths)


def orphan(desk: Desk, seed: int = 99) -> Path:
    """A bundle that nothing refers to."""
    return write_bundle(desk.root / "data/06_models/demo", tiny_policy(seed), {}).folder


def named_paths(desk: Desk) -> list[Path]:
    """Every file and folder that the database names."""
    named = [row.report_folder for row in rows(desk, promotion_proposals)]
    named += [row.model_path for row in rows(desk, model_registry)]
    return [desk.root / path for path in named]


def proofs(desk: Desk, *proposals: int) -> dict[str, object]:
    """Everything that is proven from files, made again."""
    found: dict[str, object] = {"missing": [path for path in named_paths(desk) if not path.exists()]}
    for row in rows(desk, promotion_proposals):
        found[f"dossier {row.id}"] = Dossier.of(row).dossier_hash
        model = next(m for m in rows(desk, model_registry) if m.model_id == row.model_id)
        found[f"model {row.id}"] = open_candidate(Path(model.model_path), model.manifest_hash).model_hash
    for proposal_id in proposals:
        found[f"chain {proposal_id}"] = verify_proposal(desk.engine, desk.proposal(proposal_id)).chain.broken
    with reading(desk.engine) as connection:
        found |= {"log": verify_audit(connection, full=True), "older": older_traces(connection)}
    return found


@SQLITE
def test_after_a_prune_everything_that_was_proven_still_is(desk):
    """A model in production, a line with its folds, a vote, and unneeded things beside them."""
    first, line = desk.propose_recomputable(), propose_line(desk.engine, desk.root, now=datetime.now(UTC))
    decide_verified(desk.engine, first, Vote("APPROVE", "bob", "the curve was read twice"), datetime.now(UTC))
    before = proofs(desk, first, line)
    assert before["missing"] == []
    unneeded = write(
        desk.root,
        "data/01_raw/line/bars.parquet",
        "data/05_model_input/line/DS_line_train.parquet",
        "data/07_model_output/line/recomputed_rows.parquet",
        "data/08_reporting/line/data_quality.html",
        "data/08_reporting/line/line_x/validation_pack.html",
        "data/08_reporting/line/line_x/extra/7/report.json",
        "data/08_reporting/line/line_x/0123456789ab/manifest.json",
    )
    folders = [str(Path(path).parent) if "extra" in path or "manifest" in path else path for path in unneeded]
    needed = write(
        desk.root,
        "data/01_raw/demo/bars.parquet",  # of the production model's experiment
        "data/08_reporting/demo/training_report.html",
        "data/04_feature/line/feature_state.safetensors",
        "data/05_model_input/line/experiment_contract.txt",
        "data/07_model_output/line/replay_2026.parquet",
        "data/08_reporting/drills/restore_1.json",
    )
    lost = orphan(desk)
    assert prune(desk, timedelta()) == [], "nothing that may be named in a moment"
    assert prune(desk) == sorted([*folders, str(lost.relative_to(desk.root))])
    assert not any((desk.root / path).exists() for path in unneeded) and not lost.exists()
    assert all((desk.root / path).exists() for path in needed)
    assert proofs(desk, first, line) == before
    check_dossier(desk.engine, open_production(desk.engine, INSTRUMENT))
    assert prune(desk) == []


@SQLITE
def test_a_bundle_stays_by_a_look_a_pointer_its_age_or_where_it_cannot_be_read(desk):
    desk.propose("demo", 1)
    looked_at = desk.root / desk.made_up("other", 2).layers.training.model_path
    bundles = [orphan(desk, seed) for seed in (3, 4, 5, 6)]
    pointer = desk.root / "data/06_models/demo/candidate.json"
    pointer.write_text(f'{{"manifest_hash": "{bundles[0].name}", "model_hash": "{"0" * 64}"}}')
    os.utime(bundles[1], (0, 0))
    (bundles[2] / "policy.json").write_text("{}")
    assert names(plan(desk).removable) == [str(bundles[3].relative_to(desk.root))]
    why = {piece.path.name: piece.why for piece in plan(desk).kept if piece.kind == "bundle"}
    assert why[looked_at.name] == "a look of the trial ledger is at it"
    assert why[bundles[0].name] == "candidate.json points at it"
    assert "trial ledger" in why[bundles[1].name] and "cannot be read" in why[bundles[2].name]
    pointer.write_text("half a po")
    with pytest.raises(LineageError, match=r"candidate\.json: names no manifest"):
        plan(desk)


def test_what_is_open_serving_unproposed_or_at_work_keeps_its_tables_and_pages(desk):
    proposal_id = desk.propose("demo", 1)
    open_, _ = write(desk.root, "data/01_raw/demo/a.parquet", "data/01_raw/fetched/a.parquet")
    assert names(plan(desk, timedelta(days=29)).removable) == []
    assert names(plan(desk).removable) == [open_]
    with FileLock(desk.root / "data/.locks/demo.lock"):
        assert names(plan(desk).removable) == []
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(stage="shadow"))
    kept = plan(desk)
    assert names(kept.removable) == []
    assert {piece.why for piece in kept.kept if piece.kind == "data"} == {
        f"{desk.proposal(proposal_id).model_id} is in shadow",
        "nothing of it was proposed yet",
    }


@SQLITE
def test_an_extra_backtest_stays_unless_it_failed(desk):
    proposal_id = desk.propose("demo", 1)
    day, now = date(2026, 1, 5), datetime.now(UTC)
    common = {"proposal_id": proposal_id, "start_date": day, "end_date": day, "sample": "IN-SAMPLE",
              "requested_by": "ana", "requested_at": now}  # fmt: skip
    with writing(desk.engine) as connection:
        for status, more in (("done", {"result_hash": "0" * 64}), ("running", {}), ("failed", {})):
            connection.execute(insert(backtest_requests).values(**common, status=status, **more))
    write(desk.root, *(f"data/08_reporting/demo/m/extra/{number}/report.json" for number in (1, 2, 3)))
    assert names(plan(desk).removable) == ["data/08_reporting/demo/m/extra/3"]


@SQLITE
def test_mlflow_s_runs_stay_by_their_proposal_and_others_go_for_good(desk, monkeypatch):
    store = desk.root / "data/mlflow.db"
    proposal_id = desk.propose("demo", 1)
    shutil.copy(made_once("mlflow", empty_store) / "mlflow.db", store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.create_experiment("demo", artifact_location=(desk.root / "data/mlflow").as_uri())
    made: dict[str, str] = {}

    def run(name: str, status: str | None = "FINISHED", **tags: str) -> str:
        made[name] = client.create_run(
            experiment, run_name=name, tags={"pipelines": "all", **tags}
        ).info.run_id
        client.log_text(made[name], "x" * 1000, "training_report.html")
        if status:
            client.set_terminated(made[name], status)
        return made[name]

    manifest = desk.proposal(proposal_id).lineage["manifest_hash"]
    run("proposed", manifest_hash=manifest)
    run("a seed of it", **{"mlflow.parentRunId": made["proposed"]})
    run("the same again", manifest_hash=manifest)
    run("a seed of the same", **{"mlflow.parentRunId": made["the same again"]})
    run("failed", "FAILED")
    run("at work", None)
    theirs = client.create_run(experiment, run_name="a notebook's").info.run_id
    facts = {**desk.proposal(proposal_id).run}
    facts[FILE_NAMES[TrainingRecord]] = {"mlflow_run_id": made["proposed"]}
    desk.change(proposal_id, run=facts)
    gone = {made[name] for name in ("the same again", "a seed of the same", "failed")}
    assert set(prune(desk)) == gone
    left = {run.info.run_id for run in client.search_runs([experiment], run_view_type=3)}
    assert left == {*made.values(), theirs} - gone
    on_disk = {path.name for path in (desk.root / "data/mlflow").iterdir()}
    assert on_disk == set(made.values()) - gone
    desk.change(proposal_id, run={})
    assert prune(desk) == [], "a run of a registered model stays, if no other is named"


@SQLITE
def test_the_command_lists_first_and_removes_only_when_told(desk, monkeypatch):
    (desk.root / "pyproject.toml").write_text("[tool.kedro]\n")
    desk.propose("demo", 1)
    lost = orphan(desk)
    monkeypatch.setattr(pruning, "SETTLED_AFTER", timedelta(0))
    listed = CliRunner().invoke(cli, ["prune"])
    assert "was never proposed" in listed.output and "would remove 1 thing(s)" in listed.output, listed.output
    assert lost.exists()
    assert "removed: 1 thing(s)" in CliRunner().invoke(cli, ["prune", "--remove"]).output
    assert not lost.exists()
    assert "nothing to remove" in CliRunner().invoke(cli, ["prune", "--remove"]).output
