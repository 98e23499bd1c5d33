import numpy as np
import pytest

from dosvotos.contracts.quality_thresholds import SuccessCriteriaParams
from dosvotos.contracts.records import ChainRecord, LinkRecord
from dosvotos.promotion.criteria import (
    CriterionResult,
    criterion_text,
    failure_reasons,
    hard_criteria,
    improvement_criterion,
    is_passed,
    lineage_criterion,
    loosened_limits,
    loosened_reason,
    mark_loosened,
)
from tests.report_factory import comparison_of, metrics_of, report_of

WANTED = SuccessCriteriaParams(
    min_sharpe=0.5, max_drawdown=0.15, min_win_rate=0.45, min_trades=50, improvement_threshold=0.05
)
GOOD = {"sharpe_ratio": 1.2, "max_drawdown": 0.12, "win_rate": 0.55, "total_trades": 120}
COMPARED = {"status": "compared", "interval_90": (0.05, 0.55), "sharpe_improvement": 0.333, "reached": True}


def hard(**changes: float | None) -> dict[str, CriterionResult]:
    return {result.name: result for result in hard_criteria(metrics_of(**{**GOOD, **changes}), WANTED)}


def test_the_specification_s_example_reads_as_written_there():
    assert {name: criterion_text(result) for name, result in hard().items()} == {
        "min_sharpe": "PASS (1.2 > 0.5)",
        "max_drawdown": "PASS (0.12 < 0.15)",
        "min_win_rate": "PASS (0.55 > 0.45)",
        "min_trades": "PASS (120 > 50)",
    }


@pytest.mark.parametrize(
    ("figure", "value", "name", "text"),
    [
        ("sharpe_ratio", 0.5, "min_sharpe", "FAIL (0.5 <= 0.5)"),
        ("max_drawdown", 0.15, "max_drawdown", "FAIL (0.15 >= 0.15)"),
        ("win_rate", 0.4499, "min_win_rate", "FAIL (0.4499 <= 0.45)"),
        ("total_trades", 50, "min_trades", "FAIL (50 <= 50)"),
        ("sharpe_ratio", None, "min_sharpe", "FAIL (undefined, needs > 0.5)"),
        ("win_rate", None, "min_win_rate", "FAIL (undefined, needs > 0.45)"),
    ],
)
def test_a_value_at_its_threshold_or_undefined_fails(figure, value, name, text):
    results = hard(**{figure: value})
    assert criterion_text(results[name]) == text
    assert not is_passed(results.values()) and is_passed(hard().values())


@pytest.mark.parametrize(
    ("figure", "value", "name", "text"),
    [
        ("sharpe_ratio", 0.499999, "min_sharpe", "FAIL (0.499999 <= 0.5)"),
        ("sharpe_ratio", 0.5000004, "min_sharpe", "PASS (0.5000004 > 0.5)"),
        ("max_drawdown", 0.15000001, "max_drawdown", "FAIL (0.15000001 >= 0.15)"),
        ("total_trades", 12_345, "min_trades", "PASS (12345 > 50)"),
        ("sharpe_ratio", 1.92344, "min_sharpe", "PASS (1.923 > 0.5)"),
        ("max_drawdown", np.nextafter(0.15, 1), "max_drawdown", "FAIL (0.15000000000000002 >= 0.15)"),
    ],
)
def test_two_different_figures_never_read_the_same(figure, value, name, text):
    assert criterion_text(hard(**{figure: value})[name]) == text


def test_a_failure_carries_its_unrounded_figures():
    (reason,) = failure_reasons(hard(sharpe_ratio=0.499999).values())
    assert (reason.code, reason.figures) == ("min_sharpe", {"found": 0.499999, "needed": 0.5})


def test_a_figure_that_is_not_defined_has_a_reason_of_its_own():
    undefined = hard(sharpe_ratio=None, win_rate=None)
    assert [reason.code for reason in failure_reasons(undefined.values())] == ["no_sharpe", "no_trade"]
    finer = WANTED.model_copy(update={"min_sharpe": 0.123456})
    without = hard_criteria(metrics_of(**{**GOOD, "sharpe_ratio": None}), finer)[0]
    assert criterion_text(without) == "FAIL (undefined, needs > 0.1235)"
    assert [(undefined[name].sign, undefined[name].found) for name in ("min_sharpe", "min_win_rate")] == [
        (">", None)
    ] * 2


# ---- the house's limits

LESS = WANTED.model_copy(
    update={"min_sharpe": 0.4, "max_drawdown": 0.2, "min_trades": 60, "improvement_threshold": 0.01}
)
LOOSENED = {"min_sharpe": (0.4, 0.5), "max_drawdown": (0.2, 0.15), "improvement_threshold": (0.01, 0.05)}


def test_limits_that_ask_less_than_the_house_are_named_with_both_values_and_equal_or_more_are_none():
    assert loosened_limits(LESS, WANTED) == LOOSENED
    assert loosened_limits(WANTED, LESS) == {"min_trades": (50, 60)}
    assert loosened_limits(WANTED, WANTED) == {}
    (reason,) = loosened_reason(LOOSENED)
    assert (reason.code, reason.figures) == ("loosened", {"limits": LOOSENED})
    assert loosened_reason({}) == ()


def test_the_house_s_limit_stands_beside_each_criterion_that_asks_less_and_beside_no_other():
    marked = mark_loosened([*hard().values(), improvement()], LOOSENED)
    assert {criterion.name: criterion.floor for criterion in marked} == {
        "min_sharpe": 0.5,
        "max_drawdown": 0.15,
        "min_win_rate": None,
        "min_trades": None,
        "improvement": 0.05,
    }
    texts = [criterion_text(criterion) for criterion in marked]
    assert texts[:3] == [
        "PASS (1.2 > 0.5; the house asks 0.5)",
        "PASS (0.12 < 0.15; the house asks 0.15)",
        "PASS (0.55 > 0.45)",
    ]
    assert texts[-1].endswith("0.05 to 0.55; the house asks 5.0%)")
    (finer,) = mark_loosened([hard()["min_sharpe"]], {"min_sharpe": (0.5, 0.512367)})
    assert criterion_text(finer) == "PASS (1.2 > 0.5; the house asks 0.5124)"


def improvement(**changes) -> CriterionResult:
    return improvement_criterion(comparison_of(report_of(), **{**COMPARED, **changes}), 0.05)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "PASS (+33.3% > 5.0%; 90% interval of the difference 0.05 to 0.55)"),
        (
            {"sharpe_improvement": 0.05000001, "reached": False},
            "NOT REACHED (+5.000001% > 5.000000%; 90% interval of the difference 0.05 to 0.55)",
        ),
        (
            {"sharpe_improvement": 0.05, "reached": False},
            "NOT REACHED (+5.0% <= 5.0%; 90% interval of the difference 0.05 to 0.55)",
        ),
        (
            {"sharpe_improvement": 0.0, "reached": False},
            "NOT REACHED (0.0% <= 5.0%; 90% interval of the difference 0.05 to 0.55)",
        ),
        (
            {"sharpe_improvement": -0.02, "reached": False},
            "NOT REACHED (-2.0% <= 5.0%; 90% interval of the difference 0.05 to 0.55)",
        ),
        ({"interval_90": None, "reached": False}, "NOT REACHED (a Sharpe ratio is undefined)"),
        ({"status": "not_applicable"}, "NOT APPLICABLE (no production model)"),
        (
            {"status": "not_comparable", "reached": None},
            "NOT REACHED (the window touches the production model's train or val)",
        ),
        (
            {"sharpe_improvement": None, "interval_90": None, "reached": False},
            "NOT REACHED (a Sharpe ratio is undefined)",
        ),
    ],
)
def test_the_improvement_says_why_it_does_not_count(changes, text):
    assert criterion_text(improvement(**changes)) == text


def test_the_lineage_counts_its_links_and_names_those_that_do_not_hold():
    links = tuple(
        LinkRecord(
            record="dataset record",
            field="config_hash",
            recorded="ab",
            source="the contract",
            recomputed=value,
        )
        for value in ("ab", "ab", "cd")
    )
    whole, broken = (lineage_criterion(ChainRecord(links=some)) for some in (links[:2], links))
    assert (whole.found, whole.sign, whole.needed, whole.verdict) == (2, "=", 2, "PASS")
    assert (broken.found, broken.sign, broken.needed, broken.broken) == (2, "<", 3, links[2:])
    assert criterion_text(whole) == "PASS (2 links from L0 to L4 hold)"
    said = "dataset record: config_hash is ab, the contract cd"
    assert criterion_text(broken) == f"FAIL ({said})"
    twice = lineage_criterion(ChainRecord(links=links[2:] * 2))
    (reason,) = failure_reasons([whole, twice])
    assert (reason.code, reason.figures) == ("lineage", {"said": f"{said}; {said}"})


def test_a_criterion_survives_its_json():
    for result in (*hard(win_rate=None).values(), improvement()):
        assert CriterionResult.model_validate_json(result.model_dump_json()) == result
