"""What L4 makes of a result: luck at the first look and at later ones, naive strategies, coverage."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dosvotos.backtest.naive import Naive
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.records import LedgerGenesis, SeedRecord, SplitRecord
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.evidence import Evidence, make_evidence
from tests.conftest import parameters_of
from tests.market_factory import layers_behind
from tests.proposal_fixtures import tiny_policy
from tests.report_factory import metrics_of, report_of

DAYS = [str(day) for day in np.arange("2025-07-01", "2026-02-01", dtype="datetime64[D]")]


def returns(mean: float, seed: int = 1) -> dict[str, float]:
    draws = np.random.default_rng(seed).normal(0, 0.005, len(DAYS))
    return dict(zip(DAYS, (draws - draws.mean() + mean).tolist(), strict=True))


def result(mean: float, sharpe: float | None = 2.0, **naive: float | None) -> BacktestReport:
    beaten = {"always_long": -0.5, "always_short": 0.5, "random_sharpe_p95": 1.0, **naive}
    return report_of(
        metrics_of(sharpe_ratio=sharpe),
        returns(mean),
        model_hash="own",
        naive=Naive(
            always_long=metrics_of(sharpe_ratio=beaten["always_long"]),
            always_short=metrics_of(sharpe_ratio=beaten["always_short"]),
            random_sharpe_p95=beaten["random_sharpe_p95"],
        ),
    )


def look(name: str, series: dict[str, float] | None) -> SimpleNamespace:
    return SimpleNamespace(model_hash=name, daily_returns=series)


def seed_record(seed: int, val_return: float) -> SeedRecord:
    return SeedRecord(
        seed=seed, model_hash=f"m{seed}", best_val_reward=val_return, best_reward=None, timesteps=1,
        duration_seconds=1.0,
    )  # fmt: skip


def evidence(
    report: BacktestReport,
    *others: SimpleNamespace,
    uncovered: int = 0,
    prior_trials: int = 0,
    on_val: tuple[float, ...] = (0.1,),
) -> Evidence:
    contract = make_contract(parameters_of(evidence={"prior_trials": prior_trials}), date(2026, 1, 31), "ana")
    test = SplitRecord(
        path="x", digest="d", first_session="a", last_session="b", sessions=100,
        uncovered_sessions=uncovered, bars=6000, complete_rows=1, missing_by_feature={"brent_change_1d": 1},
        missing_by_reason={},
    )  # fmt: skip
    looks = [look("own", None), *others]
    seeds = [seed_record(*numbered) for numbered in enumerate(on_val)]
    layers = layers_behind(contract, Bundle(Path("x"), "f" * 64, tiny_policy(1)), "a" * 64, "demo_1", None)
    dataset = layers.dataset.model_copy(update={"splits": {"test": test}})
    training = layers.training.model_copy(update={"seeds": tuple(seeds)})
    layers = layers.model_copy(update={"dataset": dataset, "training": training})
    return make_evidence(layers, report, looks, LedgerGenesis(id="x", created_at="y"))


def test_a_first_look_is_judged_by_its_probabilistic_sharpe_ratio():
    good, poor = evidence(result(0.001)), evidence(result(0.0001))
    assert (good.looks, good.spa_p_value, good.passed) == (1, None, True)
    assert good.psr > 0.95 > poor.psr
    assert poor.notes == (
        f"it may be luck: the probability that its true Sharpe ratio is above 0 is {poor.psr:.1%}, "
        "95% is needed",
    )


def test_a_later_look_is_judged_among_all_looks():
    rivals = [look(f"m{i}", returns(0.0, seed=i + 2)) for i in range(4)]
    strong, weak = evidence(result(0.002), *rivals), evidence(result(0.0003), *rivals)
    assert strong.looks == weak.looks == 5
    assert strong.passed and strong.in_superior_set and strong.spa_p_value <= 0.01
    assert not weak.passed and "it may be luck: 5 models have been tried on this window" in weak.notes[0]


def test_each_further_look_asks_for_a_lower_p_value():
    first, second = evidence(result(0.001)), evidence(result(0.001), look("m1", None))
    tenth = evidence(result(0.001), look("m1", None), prior_trials=8)
    assert (first.level, second.level, tenth.level) == (None, 0.005, 0.001)


def test_what_passes_as_the_second_look_may_fail_as_the_tenth():
    rival = look("m1", returns(0.0, seed=2))
    second, tenth = evidence(result(0.001), rival), evidence(result(0.001), rival, prior_trials=8)
    assert second.luck_excluded and not tenth.luck_excluded


def test_the_two_hundredth_look_is_told_its_level_and_not_a_rounded_one():
    found = evidence(result(0.0003), look("m1", None), prior_trials=198)
    assert found.notes[0].endswith("at most 0.005% is tolerated")


def test_when_another_look_stands_out_this_one_does_not():
    star = look("m1", returns(0.003, seed=2))
    weak = evidence(result(0.0), star)
    assert weak.spa_p_value <= weak.level
    assert weak.notes == (
        "it may be luck: of the 2 models tried on this window, others stand out and this one does not",
    )


def test_a_look_at_part_of_the_window_counts_without_a_series():
    part = dict(list(returns(0.0, seed=2).items())[:100])
    assert evidence(result(0.0012), look("m1", part)) == evidence(result(0.0012), look("m1", None))


def test_a_proposal_shows_what_the_window_could_have_shown():
    found = evidence(result(0.001))
    daily = np.array(list(returns(0.001).values()))
    assert found.sessions == len(DAYS) and found.min_track_record < len(DAYS)
    assert found.deflated_sharpe == found.psr
    assert list(found.power) == ["1", "2", "3"] and found.power["1"] < found.power["2"] < found.power["3"]
    assert found.intervals_90["total_return"].found == pytest.approx(np.prod(1 + daily) - 1)
    assert evidence(result(0.001), look("m1", None)).deflated_sharpe is None
    rivals = [look(f"m{i}", returns(0.0002 * i, seed=i + 2)) for i in range(4)]
    assert evidence(result(0.001), *rivals).deflated_sharpe < found.psr


def test_returns_that_do_not_vary_prove_nothing():
    still = result(0.0).model_copy(update={"daily_returns": dict.fromkeys(DAYS, 0.0)})
    found = evidence(still)
    assert (found.psr, found.deflated_sharpe, found.min_track_record, found.intervals_90) == (None,) * 4
    assert found.power == {"1": None, "2": None, "3": None}
    assert found.notes == ("its returns do not vary, so nothing can be said about luck",)


def test_the_same_model_again_is_no_further_look():
    assert evidence(result(0.001), look("own", returns(0.001))).looks == 1


def test_looks_without_returns_and_declared_ones_raise_the_bar():
    rival = look("m1", returns(0.0, seed=9))
    few = evidence(result(0.0012), rival)
    many = evidence(result(0.0012), rival, *(look(f"lost{i}", None) for i in range(3)), prior_trials=15)
    assert (few.looks, many.looks) == (2, 20)
    assert many.spa_p_value == pytest.approx(min(1.0, 10 * few.spa_p_value))


@pytest.mark.parametrize("rival", ["always_long", "always_short", "random_sharpe_p95"])
def test_every_naive_strategy_must_be_beaten(rival):
    assert evidence(result(0.001, sharpe=2.0, **{rival: 1.99})).beats_naive
    beaten = evidence(result(0.001, sharpe=2.0, **{rival: 2.0}))
    name = {"random_sharpe_p95": "the best twentieth of random traders"}.get(rival, rival.replace("_", " "))
    assert beaten.notes == (f"its Sharpe ratio of 2.00 does not beat {name} (2.00)",)
    assert evidence(result(0.001, sharpe=2.0, **{rival: None})).beats_naive


def test_doing_nothing_must_be_beaten_too():
    assert not evidence(result(0.001, sharpe=-0.1, always_short=-1.0, random_sharpe_p95=-1.0)).beats_naive


def test_more_than_a_tenth_of_the_sessions_without_a_complete_row_is_named():
    assert evidence(result(0.001), uncovered=10).covered
    assert evidence(result(0.001), uncovered=11).notes == (
        "11 of 100 test sessions have no bar with all features (brent_change_1d)",
    )


def test_three_of_five_seeds_positive_on_val_are_enough_and_two_are_named():
    enough = evidence(result(0.001), on_val=(0.1, 0.02, -0.1, 0.03, -0.2))
    assert enough.passed and enough.positive_seeds == 0.6
    assert enough.seeds == "3 of 5 seeds positive on val"
    assert list(enough.val_returns.values()) == [0.1, 0.02, -0.1, 0.03, -0.2]
    few = evidence(result(0.001), on_val=(0.1, 0.0, -0.1, 0.03, -0.2))  # nothing earned is not positive
    assert few.positive_seeds == 0.4
    assert few.notes == ("only 2 of 5 seeds end with a positive return on val, a share of 60% is needed",)


@pytest.mark.parametrize(("n", "said"), [(1, "one seed"), (4, "0 of 4 seeds positive on val")])
def test_fewer_than_five_seeds_are_not_asked_for_their_share(n: int, said: str):
    found = evidence(result(0.001), on_val=(-0.1,) * n)
    assert found.passed and found.positive_seeds is None and found.seeds == said


def test_its_json_says_what_is_missing_in_words_and_is_read_back():
    found = evidence(result(0.0001))
    written = found.model_dump(mode="json")
    assert (written["passed"], written["notes"]) == (False, list(found.notes))
    assert Evidence.model_validate(written) == found
