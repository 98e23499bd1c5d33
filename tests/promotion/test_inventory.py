"""The model inventory says what contract, log and proposal say, and that nobody said the rest."""

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from click.testing import CliRunner

from dosvotos.commands.models import models
from dosvotos.contracts.experiment import check_unchanged, hashed_config, make_contract
from dosvotos.database.contracts import ContractRegistry
from dosvotos.errors import ContractError, ParameterError
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.inventory import csv_of_inventory, model_inventory
from dosvotos.promotion.tripwires import StatedTripwires
from tests.conftest import parameters_of
from tests.market_factory import CALENDAR
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY

NOW = datetime.now(UTC)
STATED = {
    "owner": "desk FX, ana@desk",
    "purpose": "intraday direction of USD/COP",
    "permitted_use": "=own book only, up to 5 million USD",
    "tier": 2,
}


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def test_an_inventory_says_who_what_for_over_what_and_until_when(desk):
    waiting = desk.propose("waits", 1)
    overridden = desk.propose("overridden", 2, recommendation="REVIEW", confidence=0.6)
    lapses = StatedTripwires(max_drawdown=0.08, max_age_days=90)
    decide(desk.engine, overridden, Vote("APPROVE", "bob", WHY, lapses=lapses), NOW)
    first, second = model_inventory(desk.engine)
    assert (first.stage, first.experiment, first.approved_by) == ("production", "overridden", "bob")
    assert first.overrides is not None and first.overrides.startswith("REVIEW: passes")
    assert (first.max_drawdown, first.next_review) == (0.08, (NOW + timedelta(90)).date())
    assert first.dossier_hash == desk.proposal(overridden).dossier_hash and not first.self_approved
    assert first.data_licences == "none needed: the market is simulated" and first.instrument == INSTRUMENT
    assert (first.owner, first.purpose, first.permitted_use, first.tier) == (None,) * 4
    assert (second.stage, second.approved_by, second.next_review) == ("staging", None, None)
    assert second.model_id == desk.proposal(waiting).model_id and second.trained_by == "alice"


def test_what_the_experiment_states_of_its_model_is_frozen_and_listed(desk):
    parameters = parameters_of(experiment={"name": "demo"}, model=STATED)
    contract = make_contract(parameters, date(2026, 7, 31), "alice", window=CALENDAR)
    ContractRegistry(desk.engine).store(contract)
    desk.propose("demo", 1)
    (entry,) = model_inventory(desk.engine)
    assert {name: getattr(entry, name) for name in STATED} == STATED
    assert contract.frozen_config["model"] == STATED
    (row,) = csv.DictReader(io.StringIO(csv_of_inventory([entry])))
    assert row["permitted_use"] == "'" + STATED["permitted_use"], "no spreadsheet computes it"
    assert row["owner"] == STATED["owner"] and row["tier"] == "2" and row["approved_by"] == ""


def test_the_command_lists_them_as_a_table_and_as_csv(desk, monkeypatch):
    desk.propose("demo", 1)
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", desk.engine.url.render_as_string(hide_password=False))
    table = CliRunner().invoke(models).output
    assert "not stated" in table and "staging" in table
    assert CliRunner().invoke(models, ["--csv"]).output == csv_of_inventory(model_inventory(desk.engine))


def test_a_contract_that_states_no_model_keeps_its_hash_and_one_that_does_is_held_to_it():
    """An untouched experiment's parameters are hashed without the section."""
    without, stated = parameters_of("demo"), parameters_of("demo", model=STATED)
    assert "model" not in hashed_config(without)
    contract = make_contract(stated, date(2026, 7, 31), "alice")
    check_unchanged(contract, stated)
    with pytest.raises(ContractError, match=r"model\.owner: frozen 'desk FX, ana@desk', now 'nobody'"):
        check_unchanged(contract, parameters_of("demo", model={**STATED, "owner": "nobody"}))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [({"tier": 4}, "model.tier"), ({"owner": ""}, "model.owner"), ({"owners": "x"}, "did you mean 'owner'"),
     ({"purpose": "a\u202eb"}, "plain text only")],
)  # fmt: skip
def test_what_is_stated_is_checked(wrong, rule):
    with pytest.raises(ParameterError, match=rule):
        parameters_of("demo", model=wrong)
