import pytest

from dosvotos.contracts.parameters import SuccessCriteriaParams
from dosvotos.contracts.records import ChainRecord, LinkRecord
from dosvotos.promotion.criteria import (
    Improvement,
    chain_text,
    figures_of,
    hard_criteria,
    improvement_over,
    improvement_text,
    links_of,
    passed,
)

WANTED = SuccessCriteriaParams(
    min_sharpe=0.5, max_drawdown=0.15, min_win_rate=0.45, min_trades=50, improvement_threshold=0.05
)
GOOD = {"sharpe_ratio": 1.2, "max_drawdown": 0.12, "win_rate": 0.55, "total_trades": 120}


def test_the_specification_s_example_reads_as_written_there():
    assert hard_criteria(GOOD, WANTED) == {
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
    results = hard_criteria({**GOOD, figure: value}, WANTED)
    assert results[name] == text
    assert not passed(results)
    assert passed(hard_criteria(GOOD, WANTED))


def compare(new: float | None, old: float | None, interval, drawdowns=(0.12, 0.15)) -> Improvement:
    return improvement_over(
        {"sharpe_ratio": new, "max_drawdown": drawdowns[0]},
        {"sharpe_ratio": old, "max_drawdown": drawdowns[1]},
        interval,
        0.05,
    )


def test_improvement_by_hand():
    result = compare(1.2, 0.9, (0.05, 0.55))
    assert result.sharpe == pytest.approx(1 / 3)
    assert result.drawdown == pytest.approx(0.2)
    assert result.reached is True


def test_a_small_old_sharpe_does_not_inflate_the_improvement():
    assert compare(0.5, 0.01, (0.1, 0.9)).sharpe == pytest.approx(4.9)
    assert compare(0.5, -0.2, (0.1, 0.9)).sharpe == pytest.approx(3.5)


@pytest.mark.parametrize(
    ("new", "old", "interval"),
    [
        (0.94, 0.9, (0.01, 0.1)),
        (1.2, 0.9, (-0.01, 0.6)),
        (1.2, 0.9, None),
        (1.2, None, None),
        (None, 0.9, None),
    ],
)
def test_improvement_below_the_threshold_or_within_luck_is_not_reached(new, old, interval):
    assert compare(new, old, interval).reached is False


def test_no_old_drawdown_leaves_its_improvement_undefined():
    assert compare(1.2, 0.9, None, (0.1, 0.0)).drawdown is None


def test_the_improvement_says_why_it_does_not_count():
    assert improvement_text(Improvement("not_applicable", None, None, None, None), 0.05).startswith(
        "NOT APPL"
    )
    assert "train or val" in improvement_text(Improvement("not_comparable", None, None, None, None), 0.05)
    assert improvement_text(compare(1.2, 0.9, (0.05, 0.55)), 0.05) == (
        "PASS (+33.3% > 5%; 90% interval of the difference 0.05 to 0.55)"
    )


def test_figures_and_links_are_read_back_from_what_was_written():
    written = hard_criteria(
        {"sharpe_ratio": 1.0, "max_drawdown": 0.2, "win_rate": None, "total_trades": 51}, WANTED
    )
    assert {name: figures_of(text) for name, text in written.items()} == {
        "min_sharpe": (1.0, ">", 0.5),
        "max_drawdown": (0.2, ">=", 0.15),
        "min_win_rate": None,
        "min_trades": (51.0, ">", 50.0),
    }


def test_the_links_are_counted_only_if_all_hold():
    links = [
        LinkRecord(
            record="dataset record", field="config_hash", said="ab", where="the contract's", found=found
        )
        for found in ("ab", "ab", "cd")
    ]
    assert links_of(chain_text(ChainRecord(links=tuple(links[:2])))) == 2
    assert links_of(chain_text(ChainRecord(links=tuple(links)))) is None
