import itertools
from datetime import date

import pytest

from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.records import ChainRecord, LinkRecord
from dosvotos.promotion.criteria import Improvement
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.proposal import Verdict, judge, make_proposal
from dosvotos.promotion.reasons import Reason, explanation
from tests.findings import findings_of, metrics_of

PASSING = {"min_sharpe": "PASS (1.2 > 0.5)", "min_trades": "PASS (120 > 50)"}
FAILING = {"min_sharpe": "FAIL (0.2 <= 0.5)", "min_trades": "PASS (120 > 50)"}
IMPROVEMENTS = {
    "reached": Improvement("compared", 0.33, 0.2, (0.1, 0.6), True),
    "missed": Improvement("compared", 0.01, 0.2, (-0.1, 0.6), False),
    "not_applicable": Improvement("not_applicable", None, None, None, None),
    "not_comparable": Improvement("not_comparable", None, None, None, None),
}


RESULT = "Sharpe 1.20, 120 trades. "
ALWAYS_SHORT = Reason(code="naive", figures={"own": 1.2, "rivals": {"always_short": 1.9}})


def evidence(*missing: Reason) -> Evidence:
    return Evidence(
        looks=1, prior_trials=0, psr=0.97, luck_excluded=not missing, beats_naive=True, seeds="one seed",
        point_in_time="simulated", covered=True, ledger={"id": "x", "created_at": "y"}, missing=missing,
    )  # fmt: skip


def said(verdict: Verdict) -> str:
    """The verdict's sentence behind the result's."""
    metrics = {"sharpe_ratio": 1.2, "total_trades": 120}
    return explanation(verdict.recommendation, metrics, verdict.reasons).removeprefix(RESULT)


def expected(hard: bool, improvement: str, complete: bool) -> str:
    """The design's table, written a second time."""
    if not hard:
        return "REJECT"
    return "PROMOTE" if complete and improvement in ("reached", "not_applicable") else "REVIEW"


@pytest.mark.parametrize(
    ("hard", "improvement", "complete"), itertools.product([True, False], IMPROVEMENTS, [True, False])
)
def test_every_row_of_the_decision_table(hard, improvement, complete):
    found = judge(
        PASSING if hard else FAILING,
        IMPROVEMENTS[improvement],
        evidence() if complete else evidence(ALWAYS_SHORT),
    )
    assert found.recommendation == expected(hard, improvement, complete)


@pytest.mark.parametrize(
    ("criteria", "improvement", "missing", "sentence"),
    [
        (
            {"min_sharpe": "FAIL (0.2 <= 0.5)", "max_drawdown": "FAIL (0.1812 >= 0.15)"},
            "reached",
            (),
            "Rejected: its Sharpe ratio is 0.20, and more than 0.50 is needed; it fell 18.1% from its "
            "peak, and less than 15% is allowed.",
        ),
        (
            {"min_win_rate": "FAIL (undefined, needs > 0.45)", "min_trades": "FAIL (0 <= 50)"},
            "reached",
            (),
            "Rejected: it closed no trade, so it has no win rate; it made 0 trades, and more than 50 are "
            "needed to judge it.",
        ),
        (
            PASSING,
            "missed",
            (ALWAYS_SHORT,),
            "It passes the criteria, but a person has to judge: it is not clearly better than the production "
            "model: its Sharpe ratio differs by +1%, and the difference lies between -0.10 and 0.60 "
            "(90%); its Sharpe ratio of 1.20 does not beat always short (1.90).",
        ),
        (
            PASSING,
            "not_comparable",
            (),
            "It passes the criteria, but a person has to judge: it cannot be compared with the production "
            "model, which was trained or chosen on part of this window.",
        ),
        (
            PASSING,
            "reached",
            (),
            "It passes the criteria, and luck is unlikely: with a probability of 97.0% its true Sharpe "
            "ratio is above 0. It beats the naive strategies. Its Sharpe ratio improves on production's "
            "by +33%, clear of luck.",
        ),
    ],
)
def test_the_reason_is_a_sentence_with_its_figures(criteria, improvement, missing, sentence):
    assert said(judge(criteria, IMPROVEMENTS[improvement], evidence(*missing))) == sentence


def test_a_criterion_of_another_kind_is_quoted_in_the_reason():
    broken = {"lineage": "FAIL (dataset_record: dataset_hash is 0f, found 1a)"}
    reason = said(judge(broken, IMPROVEMENTS["reached"], evidence()))
    assert reason == "Rejected: its lineage is broken: dataset_record: dataset_hash is 0f, found 1a."


def test_at_a_later_look_the_reason_gives_the_familys_probability():
    later = evidence().model_copy(update={"looks": 4, "spa_p_value": 0.0031, "in_superior_set": True})
    reason = said(judge(PASSING, IMPROVEMENTS["not_applicable"], later))
    assert reason == (
        "It passes the criteria, and luck is unlikely: the best of 4 models without skill would do as "
        "well with a probability of 0.31%. It beats the naive strategies. There is no production model to "
        "compare it with."
    )


FINDINGS = findings_of(metrics_of(sharpe_ratio=1.2, max_drawdown=0.12, win_rate=0.55, total_trades=120))


def chain_of(said: str = "a" * 64) -> ChainRecord:
    link = LinkRecord(
        record="dataset record", field="acquisition_hash", said=said, found="a" * 64, where="the bars stored"
    )
    return ChainRecord(links=(link,))


def proposal_of(parameters, lineage, chain=chain_of()):  # noqa: B008
    contract = make_contract(parameters, date(2026, 7, 31), "ana")
    return make_proposal(
        contract, "demo_1", FINDINGS, IMPROVEMENTS["not_applicable"], evidence(), lineage, chain
    )


def test_a_proposal_has_the_specification_s_fields_and_always_asks_a_person(parameters):
    made = proposal_of(parameters, {"model_hash": "a", "mlflow_run_id": None}).model_dump()
    assert {
        "model_id", "experiment_name", "recommendation", "confidence", "reason", "metrics", "vs_baseline",
        "criteria_results", "requires_human_approval", "status", "lineage",
    } <= made.keys()  # fmt: skip
    assert (made["recommendation"], made["confidence"]) == ("PROMOTE", 0.85)
    assert (made["requires_human_approval"], made["status"]) == (True, "PENDING_APPROVAL")
    assert {
        "sharpe_ratio", "max_drawdown", "win_rate", "profit_factor", "total_trades", "avg_trade_pnl",
    } < set(made["metrics"])  # fmt: skip


def test_a_proposal_says_what_it_would_be_at_other_costs_delays_and_times(parameters):
    made = proposal_of(parameters, {"model_hash": "a", "mlflow_run_id": None}).model_dump(mode="json")
    assert [case["name"] for case in made["findings"]["stress"]["costs"]] == [
        "none",
        "stated",
        "double",
        "wide",
    ]
    assert [case["bars"] for case in made["findings"]["stress"]["delays"]] == [0, 1, 2]
    assert [cut["name"] for cut in made["findings"]["cuts"]["by_month"]] == ["2025-07"]
    assert made["findings"]["naive"]["random_sharpe_p95"] == 0.87
    assert made["findings"]["sample"] == "OUT-OF-SAMPLE"


def test_the_mlflow_run_is_no_part_of_what_a_proposal_says(parameters):
    one = proposal_of(parameters, {"model_hash": "a", "mlflow_run_id": "r1"})
    other = proposal_of(parameters, {"model_hash": "a", "mlflow_run_id": "r2"})
    changed = proposal_of(parameters, {"model_hash": "b", "mlflow_run_id": "r1"})
    assert one.content_hash == other.content_hash != changed.content_hash


def test_a_broken_chain_is_a_reject_that_names_the_link(parameters):
    lineage = {"model_hash": "a", "mlflow_run_id": None}
    made = proposal_of(parameters, lineage, chain_of("b" * 64))
    assert (made.recommendation, made.confidence) == ("REJECT", 0.90)
    text = "FAIL (dataset record: acquisition_hash is bbbbbbbbbbbb, the bars stored aaaaaaaaaaaa)"
    assert made.criteria_results["lineage"] == text
    assert "lineage" in made.reason and text.removeprefix("FAIL (").removesuffix(")") in made.reason
    assert proposal_of(parameters, lineage).criteria_results["lineage"] == "PASS (1 links from L0 to L4 hold)"
