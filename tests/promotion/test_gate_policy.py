"""The house's policy: what counts, and what an experiment that asks less is told."""

from datetime import UTC, datetime

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import insert

from dosvotos.audit.log import append_audit_row
from dosvotos.commands.main import cli
from dosvotos.contracts.quality_thresholds import SuccessCriteriaParams
from dosvotos.database.connection import open_database, reading, writing
from dosvotos.database.tables import gate_policies
from dosvotos.errors import LineageError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.criteria import (
    criterion_text,
    hard_criteria,
    improvement_criterion,
    loosened_limits,
    loosened_reason,
    mark_loosened,
)
from dosvotos.promotion.gate_policy import (
    GatePolicy,
    current_policy,
    packaged_policy,
    policy_in_force,
    uncovered_policies,
)
from dosvotos.promotion.proposal import recommend
from dosvotos.promotion.reasons import sentence
from tests.conftest import parameters_of
from tests.report_factory import comparison_of, evidence_of, metrics_of, report_of

HOUSE = packaged_policy().success_criteria
NOW = datetime(2026, 8, 3, tzinfo=UTC)


def set_policy(engine, stored_as: int, **changes) -> None:
    """Store a policy with the row of the log that sets it."""
    content = packaged_policy().model_dump(mode="json") | {"version": stored_as} | changes
    row = {"version": stored_as, "content": content, "reason": "stricter after the audit", "set_by": "ana"}
    with writing(engine) as connection:
        connection.execute(insert(gate_policies).values(**row, created_at=NOW))
        entry = {
            "action": "POLICY", "reviewer": "ana", "notes": row["reason"], "self_approved": False, "epoch": 1,
            "subject": content,
        }  # fmt: skip
        append_audit_row(connection, entry, NOW)


def test_the_last_policy_set_counts_and_before_any_the_packaged_one(engine):
    with reading(engine) as connection:
        assert current_policy(connection) == packaged_policy()
    set_policy(engine, 2, quorum=2)
    set_policy(engine, 3, quorum=1, refit_to_shadow=True)
    with reading(engine) as connection:
        found = policy_in_force(connection)
    assert isinstance(found.policy, GatePolicy)
    assert (found.policy.version, found.policy.refit_to_shadow, found.set_by) == (3, True, "ana")


def test_a_policy_put_in_by_sql_does_not_count(engine):
    content = packaged_policy().model_dump(mode="json") | {"version": 2, "quorum": 2}
    row = {"version": 2, "content": content, "reason": "nobody decided this", "set_by": "eve"}
    with writing(engine) as connection:
        connection.execute(insert(gate_policies).values(**row, created_at=NOW))
    with reading(engine) as connection:
        assert current_policy(connection) == packaged_policy() and uncovered_policies(connection) == [2]
        assert "gate_policies, version 2: no decision set it" in verify_audit(connection)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quorum": 3}, "row 1: its policy's quorum: "),
        ({"version": 7}, "gate_policies, version 7: is not what row 1 of the log decided"),
        ({"x": 1}, "its policy's x: "),
    ],
)
def test_a_stored_policy_that_is_none_is_named(engine, changes, said):
    set_policy(engine, 2, **changes)
    with reading(engine) as connection, pytest.raises(LineageError, match=said):
        current_policy(connection)


def test_the_packaged_criteria_are_those_experiments_begin_with():
    for env in ("demo", "smoke", "exp1_curriculum_aggressive_v1"):
        assert loosened_limits(parameters_of(env).quality_thresholds.success_criteria, HOUSE) == {}


@pytest.mark.parametrize(
    ("name", "looser", "stricter"),
    [
        ("min_sharpe", 0.3, 0.6),
        ("min_sharpe", -1.0, 0.5000001),
        ("max_drawdown", 0.2, 0.1),
        ("min_win_rate", 0.0, 1.0),
        ("min_trades", 0, 51),
        ("improvement_threshold", 0.0, 0.06),
    ],
)
def test_less_than_the_house_asks_is_a_review_that_names_both_values(name, looser, stricter):
    assert loosened_limits(HOUSE.model_copy(update={name: stricter}), HOUSE) == {}
    stated = HOUSE.model_copy(update={name: looser})
    limits = loosened_limits(stated, HOUSE)
    assert limits == {name: (looser, getattr(HOUSE, name))}
    hard = hard_criteria(metrics_of(), stated)
    improvement = improvement_criterion(comparison_of(report_of()), stated.improvement_threshold)
    made = recommend(hard, improvement, evidence_of(), loosened_reason(limits))
    assert made.recommendation == "REVIEW"
    assert made.reasons[0].code == "loosened"
    assert f"{name} " in sentence(made.reasons[0]) and "instead of" in sentence(made.reasons[0])
    assert "en vez de" in sentence(made.reasons[0], "es")
    marked = mark_loosened((*hard, improvement), limits)
    assert sum("; the house asks" in criterion_text(criterion) for criterion in marked) == 1


def test_every_loosened_limit_is_named_with_its_own_figures():
    stated = HOUSE.model_copy(update={"min_sharpe": 0.3, "max_drawdown": 0.151, "min_trades": 10})
    (reason,) = loosened_reason(loosened_limits(stated, HOUSE))
    assert sentence(reason) == (
        "the experiment asks less than the house does: min_sharpe 0.30 instead of 0.50; max_drawdown 15.1% "
        "instead of 15.0%; min_trades 10 instead of 50"
    )


@pytest.mark.parametrize(
    "extreme",
    [
        {"min_sharpe": -1e300, "max_drawdown": 1.0, "min_win_rate": 0.0, "min_trades": 0},
        {"min_sharpe": 1e300, "max_drawdown": 1e-300, "min_win_rate": 1.0, "min_trades": 10**15},
        {"min_sharpe": 5e-324, "max_drawdown": 0.15000000000000002, "min_win_rate": 0.44999999999999996},
    ],
)
def test_no_limit_that_parameters_allow_crashes_the_vote(extreme):
    stated = SuccessCriteriaParams.model_validate(HOUSE.model_dump() | extreme)
    limits = loosened_limits(stated, HOUSE)
    for metrics in (metrics_of(), metrics_of(sharpe_ratio=None, win_rate=None, total_trades=0)):
        hard = hard_criteria(metrics, stated)
        improvement = improvement_criterion(comparison_of(report_of()), stated.improvement_threshold)
        made = recommend(hard, improvement, evidence_of(), loosened_reason(limits))
        texts = [criterion_text(one) for one in mark_loosened(hard, limits)]
        assert all(texts) and all(sentence(reason, "es") for reason in made.reasons)


def test_policy_show_fits_80_columns_and_its_yaml_is_the_policy(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOSVOTOS_DATABASE_URL", raising=False)
    shown = CliRunner().invoke(cli, ["policy", "show"])
    assert shown.output.startswith("policy version 1: it comes with Dos Votos")
    assert "success_criteria:" in shown.output and "  min_sharpe" in shown.output
    assert max(len(line.rstrip()) for line in shown.output.splitlines()) <= 80
    assert not (tmp_path / "data").exists()
    set_policy(open_database("sqlite:///data/dosvotos.db"), 2, quorum=2)
    printed = CliRunner().invoke(cli, ["policy", "show", "--yaml"]).output
    assert yaml.safe_load(printed)["quorum"] == 2
    shown = CliRunner().invoke(cli, ["policy", "show"])
    assert "policy version 2: set by ana on 2026-08-03: stricter after the audit" in shown.output


def test_a_tripwire_is_looser_if_it_trips_later():
    house = packaged_policy()
    for name, later in (("max_drawdown", 0.2), ("max_age_days", 400), ("claim_level", 0.01)):
        other = house.model_copy(update={"tripwires": house.tripwires.model_copy(update={name: later})})
        assert other.looser_than(house) == [f"tripwires.{name}"] and house.looser_than(other) == []
    older = house.model_dump(mode="json")
    del older["tripwires"]["claim_level"]
    assert GatePolicy.model_validate(older) == house, "a policy set before it has the packaged one"
