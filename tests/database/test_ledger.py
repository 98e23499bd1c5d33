"""What counts as a look at an out-of-sample window."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import text

from dosvotos.contracts.experiment import make_contract
from dosvotos.database.connection import connect, writing
from dosvotos.database.ledger import Look, TrialLedger, judged_hash, line_look, look_at, look_of
from dosvotos.database.tables import UNKNOWN_ACCOUNT
from dosvotos.errors import AlteredError, LineageError
from dosvotos.market.splits import Split
from dosvotos.promotion.luck import LookCount, count_looks
from tests.conftest import parameters_of
from tests.migrated import copy_migrated

LINE = {"mode": "walk_forward", "folds": 2, "train_window": "expanding"}
NOW = datetime(2026, 1, 31, 23, tzinfo=UTC)
LATER = datetime(2026, 2, 28, 23, tzinfo=UTC)
WINDOW = (date(2025, 7, 1), date(2026, 1, 31))


@pytest.fixture
def ledger(tmp_path) -> TrialLedger:
    engine = connect(f"sqlite:///{copy_migrated(tmp_path / 'dosvotos.db')}")
    return TrialLedger(engine, "USD/COP")


def look(
    model: str, first: date = WINDOW[0], last: date = WINDOW[1], feed: str = "market", account: str = "d"
) -> Look:
    return Look(feed, model, first, last, account * 64)


def counted(ledger: TrialLedger, one: Look, prior_trials: int = 0) -> LookCount:
    return count_looks(*ledger.history(one), prior_trials)


def test_a_run_that_fails_after_its_look_still_counts(ledger: TrialLedger):
    ledger.record(look("failed"), "demo", NOW)  # no returns follow
    ledger.record(look("own"), "demo", NOW)
    assert counted(ledger, look("own")) == (2, 2)


def test_the_same_model_again_is_no_new_look_whatever_the_experiment_is_called(ledger: TrialLedger):
    ledger.record(look("own"), "demo", NOW)
    ledger.record(look("own"), "renamed", LATER)
    assert [row.experiment_name for row in ledger.looks()] == ["demo"]


def test_cheaper_costs_and_another_window_are_looks_of_the_same_model(ledger: TrialLedger):
    ledger.record(look("own"), "demo", NOW)
    ledger.record(look("own", account="c"), "demo", NOW)
    later = look("own", date(2026, 2, 2), date(2026, 3, 31))
    ledger.record(later, "demo", NOW)
    assert counted(ledger, look("own", account="c")) == (2, 1)
    assert counted(ledger, later) == (3, 1)


def test_a_later_look_changes_no_older_count(ledger: TrialLedger):
    ledger.record(look("own"), "demo", NOW)
    before = counted(ledger, look("own"))
    for name in ("b", "c"):
        ledger.record(look(name), "demo", LATER)
    assert counted(ledger, look("own")) == before == (1, 1)
    assert counted(ledger, look("c")) == (3, 3)


def test_a_window_that_shares_one_day_counts_and_the_next_day_does_not(ledger: TrialLedger):
    ledger.record(look("touching", date(2025, 1, 1), WINDOW[0]), "demo", NOW)
    ledger.record(look("before", date(2025, 1, 1), date(2025, 6, 30)), "demo", NOW)
    ledger.record(look("after", date(2026, 2, 1), date(2026, 5, 31)), "demo", NOW)
    ledger.record(look("inside", date(2025, 9, 1), date(2025, 9, 30)), "demo", NOW)
    ledger.record(look("own"), "demo", NOW)
    assert counted(ledger, look("own")) == (3, 3)


def test_closed_days_at_a_windows_ends_make_no_other_look():
    whole = look_at(parameters_of(), "m", Split("x", date(2025, 7, 1), date(2026, 1, 30)))
    until_sunday = look_at(parameters_of(), "m", Split("x", date(2025, 6, 30), date(2026, 2, 1)))
    assert whole == until_sunday, "30 June 2025 is a holiday"


@pytest.mark.parametrize(
    "changed",
    [
        {"costs": {"spread_bps": 4.0, "slippage_bps": 1.0, "commission_bps": 0.0}},
        {"costs": {"spread_bps": 5.0, "slippage_bps": 0.5, "commission_bps": 0.0}},
        {"costs": {"spread_bps": 5.0, "slippage_bps": 1.0, "commission_bps": 0.5}},
        {"financing": "policy_rates"},
        {"initial_capital": 50_000.0},
    ],
)
def test_whatever_an_account_depends_on_makes_another_look(changed: dict):
    other = parameters_of(trading=changed)
    assert other.trading.digest != parameters_of().trading.digest == parameters_of("smoke").trading.digest


def test_another_market_and_another_instrument_are_no_looks_at_this_one(ledger: TrialLedger):
    ledger.record(look("simulated", feed="sample-1"), "demo", NOW)
    TrialLedger(ledger.engine, "USD/COP.SIM").record(look("other"), "demo", NOW)
    ledger.record(look("own"), "demo", NOW)
    assert counted(ledger, look("own")) == (1, 1)
    ledger.record(look("later", last=date(2026, 2, 27)), "demo", NOW)
    ledger.record(look("own again", last=date(2025, 8, 29)), "demo", NOW)
    ledger.record(look("simulated", last=date(2026, 4, 30), feed="sample-1"), "demo", NOW)
    assert ledger.newest_session("market") == date(2026, 2, 27)
    assert ledger.newest_session("sample-2") is None
    assert TrialLedger(ledger.engine, "USD/COP.SIM").newest_session("market") == WINDOW[1]
    models = [[row.model_hash for row in ledger.looks(*feed)] for feed in ([], ["market"], ["sample-1"])]
    assert models == [
        ["simulated", "own", "later", "own again", "simulated"],
        ["own", "later", "own again"],
        ["simulated", "simulated"],
    ]


def test_looks_written_by_eight_at_once_are_one_row_each(engine):
    ledger, ready = TrialLedger(engine, "USD/COP"), Barrier(8)

    def record(name: str) -> None:
        ready.wait()
        ledger.record(look(name), "demo", NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, "abababab"))
    assert sorted(row.model_hash for row in ledger.looks()) == ["a", "b"]


def test_a_row_says_whose_look_it_was_at_what_and_when(ledger: TrialLedger):
    ledger.record(look("own"), "demo", NOW)
    (row,) = ledger.looks()
    said = {**look("own")._asdict(), "instrument": "USD/COP", "experiment_name": "demo", "opened_at": NOW}
    assert {name: getattr(row, name) for name in said} == said


def test_the_history_is_the_look_itself_and_the_older_ones_in_order(ledger: TrialLedger):
    for name in ("a", "b", "own", "c"):
        ledger.record(look(name), "demo", NOW)
    own, earlier = ledger.history(look("own"))
    assert own.model_hash == "own" and [row.model_hash for row in earlier] == ["a", "b"]


def test_daily_returns_are_attached_once_and_to_their_own_look(ledger: TrialLedger):
    for name in ("other", "own"):
        ledger.record(look(name), "demo", NOW)
    returns = {"2026-01-29": 0.01, "2026-01-30": -0.02}
    ledger.store(look("own"), returns)
    ledger.store(look("own"), {"2026-01-30": 0.5})
    assert [row.daily_returns for row in ledger.looks()] == [None, returns]
    ledger.store(look("never written"), returns)
    assert len(ledger.looks()) == 2


def test_a_line_is_looked_at_by_its_contract_and_a_window_by_its_model():
    line, single = (
        make_contract(parameters_of(splits=splits), date(2026, 7, 31), "ana") for splits in (LINE, {})
    )
    assert judged_hash(line, "m") == line.config_hash and judged_hash(single, "m") == "m"
    assert line_look(line) == look_of(line, "m") and look_of(single, "m").model_hash == "m"
    assert look_of(single, "m")[2:4] == (date(2025, 7, 1), date(2026, 7, 31))
    assert look_of(single, "m").feed == single.parameters.feed
    assert line_look(line).model_hash == line_look(line)._replace(feed="x").model_hash == line.config_hash


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
    assert counted(ledger, chosen[1]) == (2, 2)


def test_declared_trials_add_to_those_of_the_ledger(ledger: TrialLedger):
    for name in ("other", "own"):
        ledger.record(look(name), "demo", NOW)
    assert counted(ledger, look("own"), prior_trials=7) == (9, 9)


def test_a_look_from_before_accounts_were_told_apart_stays_the_same_look(ledger: TrialLedger):
    ledger.record(look("own")._replace(account_digest=UNKNOWN_ACCOUNT), "demo", NOW)
    ledger.record(look("own"), "demo", LATER)
    assert len(ledger.looks()) == 1 and counted(ledger, look("own")) == (1, 1)


def test_a_look_that_was_never_written_is_refused(ledger: TrialLedger):
    ledger.record(look("own"), "demo", NOW)
    with pytest.raises(LineageError, match=r"no look of model other at 2025-07-01 to 2026-01-31"):
        ledger.require(look("other"))


def test_the_ledger_keeps_its_id_and_birth(ledger: TrialLedger):
    ledger.record(look("first"), "demo", NOW)
    born = ledger.genesis()
    ledger.record(look("second"), "demo", LATER)
    assert ledger.genesis() == born
    assert len(born.id) == 36 and datetime.fromisoformat(born.created_at).utcoffset() == timedelta(0)


def test_a_ledger_whose_birth_was_taken_out_is_refused_and_no_look_makes_another(ledger: TrialLedger):
    with writing(ledger.engine) as connection:
        connection.execute(text("DROP TRIGGER ledger_genesis_no_delete"))
        connection.execute(text("DELETE FROM ledger_genesis"))
    ledger.record(look("first"), "demo", NOW)
    with pytest.raises(AlteredError, match="ledger_genesis: one row expected, found none"):
        ledger.genesis()
