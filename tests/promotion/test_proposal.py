import itertools
from datetime import date
from pathlib import Path

import pytest

from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.quality_thresholds import SuccessCriteriaParams
from dosvotos.contracts.records import ChainRecord, LayerRecords, LinkRecord
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.criteria import hard_criteria, improvement_criterion, lineage_criterion
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.promotion.proposal import Recommended, make_proposal, recommend
from dosvotos.promotion.reasons import Reason, explanation
from tests.market_factory import layers_behind
from tests.proposal_fixtures import tiny_policy
from tests.report_factory import comparison_of, evidence_of, metrics_of, report_of, rival_of

WANTED = SuccessCriteriaParams(
    min_sharpe=0.5, max_drawdown=0.15, min_win_rate=0.45, min_trades=50, improvement_threshold=0.05
)
REPORT = report_of(metrics_of(sharpe_ratio=1.2, max_drawdown=0.12, win_rate=0.55, total_trades=120))
COMPARISONS = {
    "reached": {"status": "compared", "sharpe_improvement": 0.33, "interval_90": (0.1, 0.6), "reached": True},
    "missed": {
        "status": "compared",
        "sharpe_improvement": 0.01,
        "interval_90": (-0.1, 0.6),
        "reached": False,
    },
    "not_applicable": {"status": "not_applicable"},
    "not_comparable": {"status": "not_comparable"},
}
IMPROVEMENTS = {
    name: improvement_criterion(comparison_of(REPORT, **fields), 0.05) for name, fields in COMPARISONS.items()
}


def criteria(**changes: float | None):
    return hard_criteria(REPORT.metrics.model_copy(update=changes), WANTED)


PASSING, FAILING = criteria(), criteria(sharpe_ratio=0.2)
RESULT = "Sharpe 1.20, 120 trades. "
ALWAYS_SHORT = Reason(code="naive", figures={"own": 1.2, "rivals": {"always_short": 1.9}})


def said(voted: Recommended) -> str:
    """The vote's sentence behind the result's."""
    return explanation(voted.recommendation, REPORT.metrics, voted.reasons).removeprefix(RESULT)


def expected(hard: bool, improvement: str, complete: bool) -> str:
    """The design's table, written a second time."""
    if not hard:
        return "REJECT"
    return "PROMOTE" if complete and improvement in ("reached", "not_applicable") else "REVIEW"


@pytest.mark.parametrize(
    ("hard", "improvement", "complete"), itertools.product([True, False], IMPROVEMENTS, [True, False])
)
def test_every_row_of_the_decision_table(hard, improvement, complete):
    found = recommend(
        PASSING if hard else FAILING,
        IMPROVEMENTS[improvement],
        evidence_of() if complete else evidence_of(ALWAYS_SHORT),
    )
    assert found.recommendation == expected(hard, improvement, complete)


@pytest.mark.parametrize(
    ("rival", "sentence"),
    [
        (rival_of(0.61, 0.1, 1.7), "It beats the linear model of the same features too (Sharpe 1.31): the"),
        (rival_of(0.61, -0.4, 1.7), "It is not told apart from a linear model of the same features (Sharpe"),
        (rival_of(None), "It is the linear model itself."),
    ],
)
def test_a_promote_says_how_the_model_compares_with_its_linear_rival(rival, sentence):
    found = recommend(PASSING, IMPROVEMENTS["reached"], evidence_of(linear_rival=rival.difference))
    assert found.recommendation == "PROMOTE" and sentence in said(found)
    without = recommend(PASSING, IMPROVEMENTS["reached"], evidence_of())
    assert "linear" not in said(without)


@pytest.mark.parametrize(
    ("hard", "improvement", "missing", "sentence"),
    [
        (
            criteria(sharpe_ratio=0.2, max_drawdown=0.1812),
            "reached",
            (),
            "Rejected: its Sharpe ratio is 0.20, and more than 0.50 is needed; it fell 18.1% from its "
            "peak, and less than 15.0% is allowed.",
        ),
        (
            criteria(win_rate=None, total_trades=0),
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
            "It passes the criteria, and luck is unlikely: without skill returns as good have a probability "
            "of 3.1%, and at look 1 (models on these sessions: 1) at most 5% is tolerated. It traded on 131 "
            "of 145 sessions. It beats the naive strategies. Its Sharpe ratio improves on production's by "
            "+33%, clear of luck.",
        ),
    ],
)
def test_the_reason_is_a_sentence_with_its_figures(hard, improvement, missing, sentence):
    assert said(recommend(hard, IMPROVEMENTS[improvement], evidence_of(*missing))) == sentence


def test_a_criterion_of_another_kind_is_quoted_in_the_reason():
    broken = lineage_criterion(chain_of("0f"))
    reason = said(recommend([broken], IMPROVEMENTS["reached"], evidence_of()))
    assert reason == (
        "Rejected: its lineage is broken: dataset record: acquisition_hash is 0f, the bars stored "
        "aaaaaaaaaaaa."
    )


def test_at_a_later_look_the_reason_gives_looks_models_and_the_level_they_leave():
    later = evidence_of(looks=4, models=2, level=0.0025, p_value=0.0011)
    reason = said(recommend(PASSING, IMPROVEMENTS["not_applicable"], later))
    assert reason == (
        "It passes the criteria, and luck is unlikely: without skill returns as good have a probability of "
        "0.11%, and at look 4 (models on these sessions: 2) at most 0.25% is tolerated. It traded on 131 of "
        "145 sessions. It beats the naive strategies. There is no production model to compare it with."
    )


def chain_of(recorded: str = "a" * 64) -> ChainRecord:
    link = LinkRecord(
        record="dataset record",
        field="acquisition_hash",
        recorded=recorded,
        recomputed="a" * 64,
        source="the bars stored",
    )
    return ChainRecord(links=(link,))


def layers_of(parameters, recorded: str = "a" * 64, run: str | None = None) -> LayerRecords:
    contract = make_contract(parameters, date(2026, 7, 31), "ana")
    layers = layers_behind(contract, Bundle(Path("x"), "f" * 64, tiny_policy(1)), "a" * 64, "demo_1", None)
    training = layers.training.model_copy(update={"mlflow_run_id": run})
    return layers.model_copy(update={"training": training, "chain": chain_of(recorded)})


def proposal_of(parameters, recorded: str = "a" * 64, run: str | None = None, report=REPORT):
    layers = layers_of(parameters, recorded, run)
    return make_proposal(layers, report, comparison_of(report), evidence_of(), packaged_policy())


def test_a_proposal_has_the_specification_s_fields_and_always_asks_a_person(parameters):
    made = proposal_of(parameters).model_dump()
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
    made = proposal_of(parameters).model_dump(mode="json")
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
    one, other = (proposal_of(parameters, run=run) for run in ("r1", "r2"))
    changed = proposal_of(parameters, run="r1", report=REPORT.model_copy(update={"oracle_sharpe": 4.0}))
    assert one.content == other.content != changed.content
    assert one != other and one.with_run(other.run) == other


def test_a_broken_chain_is_a_reject_that_names_the_link(parameters):
    made = proposal_of(parameters, "b" * 64)
    assert (made.recommendation, made.confidence) == ("REJECT", 0.90)
    text = "FAIL (dataset record: acquisition_hash is bbbbbbbbbbbb, the bars stored aaaaaaaaaaaa)"
    assert made.criteria_results["lineage"] == text
    assert "lineage" in made.reason and text.removeprefix("FAIL (").removesuffix(")") in made.reason
    assert proposal_of(parameters).criteria_results["lineage"] == "PASS (1 links from L0 to L4 hold)"
