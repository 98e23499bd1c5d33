"""The second road: an approved contract on later data, to shadow without a look, and no further by itself."""

import copy
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import update

from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.refit import check_refit
from dosvotos.database.connection import reading, writing
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.registry import get_model
from dosvotos.database.tables import instruments, model_registry
from dosvotos.errors import ContractError, DecisionError, LineageError
from dosvotos.lineage.vote import decide_verified, restore_dossiers, verify_proposal
from dosvotos.live.production import open_production
from dosvotos.promotion.decision import Vote, vote_text
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.house_acts import SetPolicy
from dosvotos.promotion.notices import bars_to_approval
from dosvotos.promotion.reasons import FirstVote
from dosvotos.promotion.transaction import carry_out
from tests.conftest import parameters_of
from tests.lineage.test_vote import edit_dossier
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.recomputable_proposals import DATES, LATER, line_splits, propose_recomputable, propose_refit
from tests.team import WHY

pytestmark = pytest.mark.slow
ON_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
PRODUCTION, SHADOW = (Vote("APPROVE", "bob", WHY, promote_to_production=there) for there in (True, False))


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    """demo 1.0.0 in production."""
    monkeypatch.chdir(tmp_path)
    desk = Desk(engine, tmp_path)
    decide_verified(engine, desk.propose_recomputable(), PRODUCTION, now())
    return desk


def refit(desk: Desk, **changes) -> int:
    return propose_refit(desk.engine, desk.root, now=now(), **changes)


def let_refits_run(desk: Desk) -> None:
    with reading(desk.engine) as connection:
        policy = current_policy(connection)
    changed = policy.model_copy(update={"refit_to_shadow": True})
    carry_out(desk.engine, SetPolicy(WHY, changed), "bob", now())


def bars(desk: Desk, row) -> list[str]:
    with reading(desk.engine) as connection:
        return [reason.code for reason in bars_to_approval(connection, row)]


def test_a_refit_goes_to_shadow_without_a_look_if_the_policy_lets_it_and_no_further(desk):
    looks, approved = TrialLedger(desk.engine, INSTRUMENT).looks(), desk.proposal(1).model_id
    proposal_id = refit(desk)
    row = desk.proposal(proposal_id)
    assert (row.recommendation, row.metrics, row.evidence, row.status) == (
        "REVIEW", {}, {}, "PENDING_APPROVAL",
    )  # fmt: skip
    assert (row.lineage["refit_of"], row.lineage["backtest_hash"]) == (approved, None)
    assert [reason["code"] for reason in row.reasons] == ["refit"]
    said = {
        "en": "data until 2025-07-11 instead of 2025-06-20",
        "es": "hasta el 2025-07-11 en vez del 2025-06-20",
    }
    assert all(text in FirstVote.of(row).told(language) for language, text in said.items())
    names = sorted(Dossier.of(row).files)
    assert len(names) == 6 and not [name for name in names if "backtest" in name or "comparison" in name]
    assert bars(desk, row) == ["refit_barred"]
    for vote in (SHADOW, PRODUCTION):
        with pytest.raises(DecisionError, match="refit_to_shadow is false"):
            decide_verified(desk.engine, proposal_id, vote, now())
    let_refits_run(desk)
    assert bars(desk, row) == []
    for act in (decide_verified, vote_text):
        with pytest.raises(DecisionError, match="can be approved to shadow only"):
            act(desk.engine, proposal_id, PRODUCTION, now())
    assert verify_proposal(desk.engine, row).chain.broken == ()
    assert decide_verified(desk.engine, proposal_id, SHADOW, now()).new_stage == "shadow"
    assert desk.stages() == {approved: "production", row.model_id: "shadow"}
    assert TrialLedger(desk.engine, INSTRUMENT).looks() == looks
    m = model_registry
    with writing(desk.engine) as connection:  # somebody with the database at hand lets it serve
        connection.execute(update(m).where(m.c.stage == "production").values(stage="archived"))
        connection.execute(update(m).where(m.c.model_id == row.model_id).values(stage="production"))
        connection.execute(update(instruments).values(production_model_id=row.model_id))
    with pytest.raises(LineageError, match="the production model is not what was voted on"):
        open_production(desk.engine, INSTRUMENT)


@ON_SQLITE
def test_to_reach_production_a_refit_takes_l4_with_its_look(desk):
    row = desk.proposal(refit(desk))
    file = desk.root / row.report_folder / "training_record.json"
    content = file.read_bytes()
    file.write_bytes(b"{}")
    assert [desk.root / one for one in restore_dossiers(desk.engine, row.model_id)] == [file.parent]
    assert file.read_bytes() == content, "a damaged dossier is made again to the byte"
    before = len(TrialLedger(desk.engine, INSTRUMENT).looks())
    judged = propose_recomputable(
        desk.engine, desk.root, seed=2, now=now(), version="1.1.0", date_ranges=LATER
    )
    assert desk.proposal(judged).model_id == row.model_id and desk.proposal(row.id).status == "SUPERSEDED"
    assert len(TrialLedger(desk.engine, INSTRUMENT).looks()) == before + 1
    assert decide_verified(desk.engine, judged, PRODUCTION, now()).new_stage == "production"
    with reading(desk.engine) as connection:
        model = get_model(connection, row.model_id)
    assert model.metrics == desk.proposal(judged).metrics and "refit_of" not in model.lineage
    assert open_production(desk.engine, INSTRUMENT).row.model_id == row.model_id


def contract_of(dates: dict, version: str = "1.1.0", **sections):
    named = {"name": "demo", "version": version}
    return make_contract(
        parameters_of(experiment=named, date_ranges=dates, **sections), date(2025, 7, 31), "a"
    )


def moved(**edges: str) -> dict:
    dates = copy.deepcopy(LATER)
    for name, day in edges.items():
        split, edge = name.split("_")
        dates[split][edge] = day
    return dates


CRITERIA = {
    "min_sharpe": 0.4, "max_drawdown": 0.15, "min_win_rate": 0.45, "min_trades": 50,
    "improvement_threshold": 0.05,
}  # fmt: skip
COSTS = {"spread_bps": 4.0, "slippage_bps": 1.0, "commission_bps": 0.0}
NO_REFITS = [
    (DATES, {}, "its val ends 2025-06-20 too"),
    (moved(train_start="2025-05-05"), {}, "its train.start is 2025-05-05, earlier than 2025-05-12"),
    (moved(train_end="2025-05-29", val_start="2025-06-02"), {}, "its train.end is 2025-05-29, earlier than"),
    (LATER, {"trading": {"costs": COSTS}}, r"trading.costs.spread_bps: frozen 5.0, now 4.0"),
    (LATER, {"training": {"seeds": [42, 43]}}, r"training.seeds: frozen"),
    (LATER, {"quality_thresholds": {"success_criteria": CRITERIA}}, "success_criteria.min_sharpe"),
    (LATER, {"splits": {"embargo_sessions": 2}}, "splits.embargo_sessions"),
    (LATER, {"splits": line_splits(2)}, "of one trained model, not of a line"),
    (LATER, {"candidate": {"targets": "my_rule:targets"}}, "not of a line or a strategy"),
]  # fmt: skip


@pytest.mark.parametrize(("dates", "sections", "said"), NO_REFITS)
def test_more_than_later_dates_is_no_refit(dates, sections, said):
    approved = contract_of(DATES, "1.0.0")
    check_refit(approved, contract_of(LATER))
    with pytest.raises(ContractError, match=said):
        check_refit(approved, contract_of(dates, **sections))


@ON_SQLITE
def test_only_a_model_that_votes_brought_into_production_can_be_refitted(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    desk = Desk(engine, tmp_path)
    first = desk.propose_recomputable()
    none = "no model of demo is approved to production"
    with pytest.raises(ContractError, match=none):
        refit(desk)
    decide_verified(engine, first, SHADOW, now())
    with pytest.raises(ContractError, match=none):
        refit(desk)
    decide_verified(engine, desk.propose_recomputable(), PRODUCTION, now())
    row = desk.proposal(refit(desk))
    let_refits_run(desk)
    edit_dossier(desk, row.id, "promotion_proposal_demo.json", "lineage.refit_of", "demo_20250801_other")
    with pytest.raises(ContractError, match="demo_20250801_other is not approved"):
        decide_verified(engine, row.id, SHADOW, now())
    desk.change(row.id, report_folder=row.report_folder, dossier_hash=row.dossier_hash)
    reject = desk.propose_recomputable(version="1.0.1")  # the same weights: the model is closed by it
    decide_verified(engine, reject, Vote("REJECT", "bob", WHY), now())
    with pytest.raises(ContractError, match="is not approved to production on USD/COP"):
        verify_proposal(engine, row)
    assert sorted(desk.stages().values()).count("production") == 1 and "shadow" not in desk.stages().values()
