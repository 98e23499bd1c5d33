"""What counts as a look at an out-of-sample window."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.records import SplitRecord
from dosvotos.database.connection import connect, upgrade
from dosvotos.database.ledger import Look, TrialLedger, look_of
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.evidence import make_evidence
from tests.conftest import parameters_of
from tests.market_factory import layers_behind
from tests.proposal_fixtures import tiny_policy
from tests.report_factory import report_of

NOW = datetime(2026, 1, 31, 23, tzinfo=UTC)
LATER = datetime(2026, 2, 28, 23, tzinfo=UTC)
WINDOW = (date(2025, 7, 1), date(2026, 1, 31))
DAYS = {f"2025-07-{day:02}": 0.001 * (day % 5 - 1) for day in range(1, 22)}


@pytest.fixture
def ledger(tmp_path) -> TrialLedger:
    engine = connect(f"sqlite:///{tmp_path}/dosvotos.db")
    upgrade(engine)
    return TrialLedger(engine, "USD/COP")


def look(model: str, first: date = WINDOW[0], last: date = WINDOW[1], feed: str = "market") -> Look:
    return Look(feed, model, first, last)


def seen_with(ledger: TrialLedger, one: Look) -> list[str]:
    return [row.model_hash for row in ledger.overlapping(one)]


def looks_counted(ledger: TrialLedger, one: Look, prior_trials: int = 0) -> int:
    contract = make_contract(parameters_of(evidence={"prior_trials": prior_trials}), WINDOW[1], "ana")
    test = SplitRecord(
        path="x", digest="d", first_session="a", last_session="b", sessions=21, uncovered_sessions=0,
        bars=1260, complete_rows=1260, missing_by_feature={}, missing_by_reason={},
    )  # fmt: skip
    layers = layers_behind(contract, Bundle(Path("x"), "f" * 64, tiny_policy(1)), "a" * 64, "demo_1", None)
    layers = layers.model_copy(
        update={"dataset": layers.dataset.model_copy(update={"splits": {"test": test}})}
    )
    report = report_of(daily_returns=DAYS, model_hash=one.model_hash)
    return make_evidence(layers, report, ledger.overlapping(one), ledger.genesis()).looks


def test_a_run_that_fails_after_its_look_still_counts(ledger: TrialLedger):
    ledger.record(look("failed"), "demo", NOW)  # no returns follow
    ledger.record(look("own"), "demo", NOW)
    assert looks_counted(ledger, look("own")) == 2


def test_the_same_model_again_is_no_new_look_whatever_the_experiment_is_called(ledger: TrialLedger):
    ledger.record(look("own"), "demo", NOW)
    ledger.record(look("own"), "renamed", LATER)
    assert seen_with(ledger, look("own")) == ["own"]


def test_the_same_model_on_two_overlapping_windows_is_one_look(ledger: TrialLedger):
    ledger.record(look("own"), "demo", NOW)
    ledger.record(look("own", date(2025, 9, 1), date(2026, 3, 31)), "demo", NOW)
    assert looks_counted(ledger, look("own")) == 1


def test_a_window_that_shares_one_day_overlaps_and_the_next_day_does_not(ledger: TrialLedger):
    ledger.record(look("touching", date(2025, 1, 1), WINDOW[0]), "demo", NOW)
    ledger.record(look("before", date(2025, 1, 1), date(2025, 6, 30)), "demo", NOW)
    ledger.record(look("after", date(2026, 2, 1), date(2026, 5, 31)), "demo", NOW)
    ledger.record(look("inside", date(2025, 9, 1), date(2025, 9, 30)), "demo", NOW)
    assert seen_with(ledger, look("own")) == ["touching", "inside"]


def test_another_market_and_another_instrument_are_no_looks_at_this_one(ledger: TrialLedger):
    ledger.record(look("simulated", feed="sample-1"), "demo", NOW)
    TrialLedger(ledger.engine, "USD/COP.SIM").record(look("other"), "demo", NOW)
    assert seen_with(ledger, look("own")) == []


def test_each_chosen_model_of_a_new_list_of_seeds_is_a_look_the_seeds_of_one_list_are_not(
    ledger: TrialLedger,
):
    # L3 hands on the one candidate it chose on val; only that one is ever recorded
    contracts = [
        make_contract(parameters_of(training={"seeds": seeds}), date(2026, 7, 31), "ana")
        for seeds in ([1, 2], [1, 2, 3])
    ]
    chosen = [look_of(one, f"best of {one.config_hash}") for one in contracts]
    for one in chosen:
        ledger.record(one, "demo", NOW)
        ledger.record(one, "demo", LATER)
    assert contracts[0].config_hash != contracts[1].config_hash
    assert len(seen_with(ledger, chosen[0])) == 2


def test_declared_trials_add_to_those_of_the_ledger(ledger: TrialLedger):
    for name in ("own", "other"):
        ledger.record(look(name), "demo", NOW)
    assert looks_counted(ledger, look("own"), prior_trials=7) == 9


def test_the_ledger_keeps_its_id_and_birth(ledger: TrialLedger):
    ledger.record(look("first"), "demo", NOW)
    born = ledger.genesis()
    ledger.record(look("second"), "demo", LATER)
    assert ledger.genesis() == born
    assert len(born.id) == 36
