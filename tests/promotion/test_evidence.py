"""What L4 makes of a result: luck at the first look and at later ones, naive strategies, coverage."""

from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dosvotos.backtest.metrics import sharpe_ratio
from dosvotos.backtest.naive import Naive
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.experiment import ExperimentContract, make_contract
from dosvotos.contracts.records import LedgerGenesis, SeedRecord, SplitRecord
from dosvotos.contracts.window import JudgedWindow
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.evidence import Evidence, make_evidence
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.promotion.reasons import Reason, sentence
from tests.conftest import parameters_of
from tests.market_factory import CALENDAR, layers_behind
from tests.proposal_fixtures import tiny_policy
from tests.report_factory import metrics_of, report_of, rival_of

LUCK = {"p_value": 0.0031, "level": 0.05, "looks": 3, "models": 2}
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


class Row(NamedTuple):
    """A look at the whole window as the ledger has it."""

    model_hash: str
    daily_returns: dict[str, float] | None
    window_start: date = date(2025, 7, 1)
    window_end: date = date(2026, 1, 31)


def look(name: str, series: dict[str, float] | None) -> Row:
    return Row(name, series)


def contract_of(**sections: dict) -> ExperimentContract:
    return make_contract(parameters_of(**sections), date(2026, 1, 31), "ana", window=CALENDAR)


def seed_record(seed: int, val_return: float) -> SeedRecord:
    return SeedRecord(
        seed=seed, model_hash=f"m{seed}", best_val_reward=val_return, best_reward=None, timesteps=1,
        duration_seconds=1.0,
    )  # fmt: skip


def evidence(
    report: BacktestReport,
    *earlier: Row,
    uncovered: int = 0,
    prior_trials: int = 0,
    on_val: tuple[float, ...] = (0.1,),
    contract: ExperimentContract | None = None,
    own: Row | None = None,
) -> Evidence:
    contract = contract or contract_of(evidence={"prior_trials": prior_trials})
    test = SplitRecord(
        path="x", digest="d", first_session="a", last_session="b", sessions=100,
        uncovered_sessions=uncovered, bars=6000, complete_rows=1, missing_by_feature={"brent_change_1d": 1},
        missing_by_reason={},
    )  # fmt: skip
    seeds = [seed_record(*numbered) for numbered in enumerate(on_val)]
    layers = layers_behind(contract, Bundle(Path("x"), "f" * 64, tiny_policy(1)), "a" * 64, "demo_1", None)
    dataset = layers.dataset.model_copy(update={"splits": {"test": test}})
    training = layers.training.model_copy(update={"seeds": tuple(seeds)})
    layers = layers.model_copy(update={"dataset": dataset, "training": training})
    ledger = LedgerGenesis(id="x", created_at="y")
    return make_evidence(layers, report, own or look("own", None), earlier, ledger, packaged_policy())


def test_a_first_look_is_judged_by_the_chance_of_luck():
    good, poor = evidence(result(0.001)), evidence(result(0.0001))
    assert (good.looks, good.models, good.level, good.spa_p_value, good.passed) == (1, 1, 0.05, None, True)
    assert good.p_value <= 0.05 < poor.p_value and good.psr > 0.95 > poor.psr
    assert poor.notes == (
        "it may be luck: returns as good come without any skill with a probability of "
        f"{poor.p_value:.0%}, and at look 1 (models on these sessions: 1) at most 5% is tolerated",
    )


def test_a_later_look_is_judged_at_the_level_its_looks_and_models_leave():
    rivals = [look(f"m{i}", returns(0.0, seed=i + 2)) for i in range(4)]
    strong, weak = evidence(result(0.003), *rivals), evidence(result(0.0003), *rivals)
    assert (strong.looks, strong.models, strong.level) == (5, 5, 0.02 / 25)
    assert strong.passed and strong.in_superior_set and strong.spa_p_value <= strong.family_level == 0.05
    assert "at look 5 (models on these sessions: 5) at most 0.08% is tolerated" in weak.notes[0]
    assert weak.spa_p_value is None, "asked only where the p-value passes"


def test_what_passes_as_the_second_look_may_fail_as_the_fifth():
    rival = look("m1", returns(0.0, seed=2))
    second, fifth = evidence(result(0.001), rival), evidence(result(0.001), rival, prior_trials=3)
    assert second.luck_excluded and not fifth.luck_excluded


def test_declared_trials_raise_looks_and_models():
    found = evidence(result(0.001), look("m1", None), prior_trials=7)
    assert (found.looks, found.models, found.prior_trials) == (9, 9, 7)


def test_a_p_value_and_its_level_read_differently_where_they_differ():
    just_above = sentence(Reason(code="luck_p_value", figures=LUCK | {"p_value": 0.05000003}))
    assert "probability of 5.000003%" in just_above and "at most 5.000000%" in just_above
    tiny = sentence(Reason(code="passes_luck", figures=LUCK | {"p_value": 1e-30, "traded": 9, "sessions": 9}))
    assert "probability of less than 0.0001%, and at look" in tiny


def test_the_promise_of_a_promote_names_level_looks_models_and_sessions_traded():
    found = sentence(Reason(code="passes_luck", figures=LUCK | {"traded": 131, "sessions": 145}), "es")
    assert "0,31\xa0%" in found and "mirada 3" in found and "5\xa0%" in found
    assert "Operó en 131 de 145 sesiones." in found


def test_a_proposal_shows_what_the_window_could_have_shown():
    found = evidence(result(0.001))
    daily = np.array(list(returns(0.001).values()))
    assert found.sessions == found.sessions_traded == len(DAYS) and found.min_track_record < len(DAYS)
    assert 0 < found.passing_sharpe < sharpe_ratio(daily)
    assert found.deflated_sharpe == found.psr
    assert list(found.power) == ["1", "2", "3"] and found.power["1"] < found.power["2"] < found.power["3"]
    assert found.intervals_90["total_return"].found == pytest.approx(np.prod(1 + daily) - 1)
    assert evidence(result(0.001), look("m1", None)).deflated_sharpe is None
    rivals = [look(f"m{i}", returns(0.0002 * i, seed=i + 2)) for i in range(4)]
    assert evidence(result(0.001), *rivals).deflated_sharpe < found.psr


def test_returns_that_do_not_vary_prove_nothing():
    still = result(0.0).model_copy(update={"daily_returns": dict.fromkeys(DAYS, 0.0)})
    found = evidence(still)
    assert (found.p_value, found.psr, found.hac_psr, found.passing_sharpe) == (None,) * 4
    assert (found.deflated_sharpe, found.min_track_record, found.intervals_90) == (None,) * 3
    assert found.power == {"1": None, "2": None, "3": None}
    assert found.notes == ("its returns do not vary, so nothing can be said about luck",)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("chosen_window", "a person chose its window: 2025-07-01 to 2026-07-31, where the calendar gives"),
        ("stale_window", "its bars are old: they ended on 2026-07-31, 0 sessions before 2026-07-31; deliver"),
    ],
)
def test_a_window_that_is_not_the_calendars_is_a_persons_to_judge(status: str, said: str):
    contract = make_contract(
        parameters_of(), date(2026, 1, 31), "ana", window=CALENDAR._replace(status=status)
    )
    found = evidence(result(0.001), contract=contract)
    assert found.luck_excluded and not found.passed and found.window_status == status
    assert found.notes[0].startswith(said)


@pytest.mark.parametrize("first", ["2025-07-01", "2025-08-01"])
def test_sessions_taken_out_of_a_window_are_named_beside_its_ends(first: str):
    facts = CALENDAR.facts.model_copy(update={"first_session": first, "edited_sessions": ("2025-12-10",)})
    contract = make_contract(
        parameters_of(), date(2026, 1, 31), "ana", window=JudgedWindow("chosen_window", facts)
    )
    found = evidence(result(0.001), contract=contract)
    codes = [reason.code for reason in found.missing]
    assert codes == ["edited_sessions"] if first == facts.calendar_first else codes[1:] == ["chosen_window"]
    assert found.notes[0].endswith("1 in all: 2025-12-10")
    assert sentence(found.missing[0], "es").endswith("1 en total: 2025-12-10")


def test_a_look_that_has_shown_other_returns_before_is_a_persons_to_judge():
    report, before = result(0.001), returns(0.001)
    assert evidence(report, own=look("own", dict(before))).passed
    close = {day: value * (1 + 1e-12) for day, value in before.items()}
    assert evidence(report, own=look("own", close)).passed
    other = {**before, DAYS[3]: before[DAYS[3]] - 1e-6}
    del other[DAYS[9]]
    for series, count in ((other, 2), ({**before, "2025-06-30": 0.0}, 1)):
        found = evidence(report, own=look("own", series))
        assert found.missing == (Reason(code="seen_before", figures={"count": count}),)
    assert "on 1 of them" in found.notes[0] and "en 1 de ellas" in sentence(found.missing[0], "es")


def test_a_contract_from_before_windows_were_judged_and_a_single_fold_are_too():
    unjudged = evidence(result(0.001), contract=make_contract(parameters_of(), date(2026, 1, 31), "ana"))
    assert [reason.code for reason in unjudged.missing] == ["window_not_judged"]
    splits = {"mode": "walk_forward", "folds": 3, "fold": 2, "train_window": "rolling"}
    fold = evidence(result(0.001), contract=contract_of(splits=splits))
    assert fold.notes == ("it is fold 2 of 3, and one fold alone proves nothing about the whole",)


@pytest.mark.parametrize("rival", ["always_long", "always_short", "random_sharpe_p95"])
def test_every_naive_strategy_must_be_beaten(rival):
    assert evidence(result(0.001, sharpe=2.0, **{rival: 1.99})).beats_naive
    beaten = evidence(result(0.001, sharpe=2.0, **{rival: 2.0}))
    name = {"random_sharpe_p95": "the best twentieth of random traders"}.get(rival, rival.replace("_", " "))
    assert beaten.notes == (f"its Sharpe ratio of 2.00 does not beat {name} (2.00)",)
    assert evidence(result(0.001, sharpe=2.0, **{rival: None})).beats_naive


def beside_linear(low: float, high: float) -> BacktestReport:
    return result(0.001).model_copy(update={"linear_rival": rival_of((low + high) / 2, low, high)})


def test_a_linear_rival_that_is_better_beyond_luck_is_a_persons_to_judge():
    worse = evidence(beside_linear(-1.9, -0.01))
    assert not worse.passed and [reason.code for reason in worse.missing] == ["linear_rival"]
    assert worse.notes == (
        "a linear model of the same features does better: its Sharpe ratio is 1.31, this one's 2.00, and the "
        "difference lies between -1.90 and -0.01 (90%)",
    )
    for high in (0.0, 0.7):
        found = evidence(beside_linear(-1.9, high))
        assert found.passed and found.linear_rival.interval_90 == (-1.9, high)


def test_evidence_from_before_the_linear_rival_says_nothing_of_it():
    found = evidence(result(0.001))
    assert found.linear_rival is None and "linear_rival" not in found.model_dump(mode="json")


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
