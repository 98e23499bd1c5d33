"""The faults of `benchmarks/faults.py` in small: what must be zero is zero, and the control fails."""

from pathlib import Path

import pytest

from tests.conftest import ensure_running
from tests.faults.campaign import (
    FULL,
    QUICK,
    all_forgeries,
    audit_attacks,
    crashes,
    drawn,
    forgeries,
    mutations,
    races,
    revocations,
    state_machine,
    thefts,
)
from tests.faults.crashes import crash, waiting
from tests.faults.databases import Databases
from tests.faults.forgeries import forge, scene
from tests.faults.house_machine import draw
from tests.faults.loosening import loosen
from tests.faults.voting import Fault


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    if request.param == "sqlite":
        return Databases(tmp_path)
    ensure_running(request.getfixturevalue("postgres_server"))
    return Databases(tmp_path, request.getfixturevalue("migrated_server"))


def zeros(figures: dict[str, int], *left_out: str) -> None:
    assert {name: value for name, value in figures.items() if name not in left_out and value} == {}


def test_no_changed_file_is_opened_and_no_refusal_is_a_traceback(tmp_path):
    found = mutations(Databases(tmp_path), QUICK)
    assert found.figures["bundle_mutations"] > 400
    zeros(found.figures, "bundle_mutations")


def test_every_audit_attack_is_named(databases):
    assert audit_attacks(databases).problems == []


def test_a_random_walk_goes_as_the_rules_say(databases):
    assert state_machine(databases, QUICK).problems == []


def test_no_forgery_is_approved_or_signals(databases):
    found = forgeries(databases, QUICK)
    assert found.problems == [] and found.figures["forgeries"] > 20


ONCE_ACCEPTED = (
    "dossier_hash = None", "promoted_at", "archived_at", "model_registry.created_at",
    "experiment_contracts.trained_by", "proposals.reviewer", "approved_at", "registry.stage", "epoch",
    "id raised", "evidence.notes", "cut out of the log", "after the check: a forged",
    "proposal another's by SQL", "reopened_at", "registry.config_hash = None",
)  # fmt: skip


@pytest.mark.slow
def test_what_got_through_once_does_so_no_more(databases):
    base = scene(databases)
    tried = [one for one in all_forgeries(base, QUICK) if any(name in one.name for name in ONCE_ACCEPTED)]
    counted = forge(databases, base, tried)
    assert counted.accepted == [] and counted.unclear == [] and counted.forgeries > 15


def test_no_weaker_gate_is_taken_in_silence():
    assert loosen().accepted == []


@pytest.mark.slow
def test_decisions_as_hypothesis_draws_them_go_as_the_rules_say(databases):
    found = drawn(databases, QUICK)
    assert found.problems == [] and found.figures["state_machine_steps"] >= QUICK.steps


@pytest.mark.campaign
def test_twenty_thousand_drawn_decisions_go_as_the_rules_say(databases):
    counts: dict[str, int] = {}
    draw(databases, n_runs=400, n_steps=50, counts=counts)
    assert sum(counts.values()) >= 20_000
    assert {
        f"{kind} done" for kind in ("APPROVE", "REOPEN", "ROLLBACK", "REVOKE", "POLICY", "RESTORE")
    } <= counts.keys()


@pytest.mark.campaign
def test_twenty_thousand_steps_go_as_the_rules_say(databases):
    found = state_machine(databases, FULL._replace(walks=67))
    assert found.problems == [] and found.figures["state_machine_steps"] >= 20_000


@pytest.mark.slow
def test_with_database_and_server_key_stolen_no_vote_is_made(databases):
    found = thefts(databases)
    assert found.problems == [] and found.figures["thefts"] >= 7
    zeros(found.figures, "thefts")


@pytest.mark.slow
def test_who_is_revoked_while_voting_decides_nothing_afterwards(databases):
    found = revocations(databases, QUICK)
    assert found.problems == []
    zeros(found.figures, "revokes", "votes_before")


@pytest.mark.slow
def test_killed_decisions_are_all_or_nothing_and_a_naive_one_is_not(databases):
    found = crashes(databases, QUICK)
    assert found.figures["crashes"] > 7 and found.figures["control_failures"] > 0
    assert found.figures["stopped_after_commit"] == 5
    assert found.problems == []
    zeros(found.figures, "crashes", "control_crashes", "control_failures", "stopped_after_commit")


def test_the_naive_approval_fails_by_its_commits_alone(databases):
    scene = waiting(databases)
    assert crash(databases, scene, [Fault("none")], naive=True).failures == 0
    assert crash(databases, scene, [Fault("statement", 1, "after")], naive=True).failures == 2


@pytest.mark.slow
def test_of_eight_processes_voting_at_once_one_wins(databases):
    found = races(databases, QUICK)
    zeros(found.figures, "races")
