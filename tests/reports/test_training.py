"""The page of a training: every seed's course, the kept policy, and text as text."""

import re
from datetime import date

import pytest

from dosvotos.contracts.experiment import ExperimentContract, make_contract
from dosvotos.contracts.records import FoldRecord, SeedRecord, TrainingRecord
from dosvotos.reports.training import kept_validation, render_training
from dosvotos.training.results import LOSSES, Validation
from tests.conftest import parameters_of
from tests.languages import english_in_spanish

STEPS = (32_768, 65_536, 98_304, 131_072)


def validation(place: int, val_return: float) -> Validation:
    phase = "phase_1" if place < 2 else "phase_3"
    components = {"pnl": 5.0 + place, "transaction_cost": -1.0, "drawdown": 0.0}
    losses = dict.fromkeys(LOSSES, 0.01 * place) if place else {}
    return Validation(
        phase=phase, timesteps=STEPS[place], val_return=val_return, val_sharpe=10 * val_return,
        val_exposure=0.75, val_trades=40 + place, episode_reward=4.0 + place,
        reward_components=components, losses=losses,
    )  # fmt: skip


CURVES = {
    7: [validation(i, r) for i, r in enumerate((0.30, 0.25, 0.02, 0.01))],
    42: [validation(i, r) for i, r in enumerate((-0.1, 0.05, 0.04, 0.08))],
    99: [validation(i, r) for i, r in enumerate((0.0, -0.1, -0.04, -0.05))],
}


@pytest.fixture(scope="module")
def contract() -> ExperimentContract:
    return make_contract(parameters_of(), date(2026, 7, 31), "ana <script>alert(1)</script>")


def record_of(contract: ExperimentContract, *seeds: int) -> TrainingRecord:
    best = {seed: kept_validation(CURVES[seed], "sharpe").val_return for seed in seeds}
    chosen = max(best, key=best.get)
    return TrainingRecord(
        experiment_name="demo", model_id="demo_20260101_abc", model_hash="a" * 64, model_path="x",
        manifest_hash="f" * 64, dataset_hash="d" * 64, config_hash=contract.config_hash,
        reward_config_hash="e" * 64, curriculum_final_phase="phase_3", training_duration_seconds=12.3,
        timesteps=STEPS[-1], best_val_reward=best[chosen], best_reward=None, engine="fast", seed=chosen,
        seeds=tuple(
            SeedRecord(seed=s, model_hash=f"{s:064d}", best_val_reward=best[s], best_reward=1.0,
                       timesteps=STEPS[-1], duration_seconds=4.1) for s in seeds
        ),
        torch_threads=1, blas_threads=None, trained_by=contract.trained_by, mlflow_run_id=None,
    )  # fmt: skip


def page_of(contract: ExperimentContract, *seeds: int) -> str:
    return render_training(contract, record_of(contract, *seeds), {seed: CURVES[seed] for seed in seeds})


def without_plotly(page: str) -> str:
    return re.sub(r"<script>/\*\*.*?</script>", "", page, flags=re.DOTALL)


def test_the_kept_validation_is_the_last_phase_s_best_though_an_earlier_phase_did_better():
    assert kept_validation(CURVES[7], "return").timesteps == STEPS[2]
    assert kept_validation(CURVES[42], "sharpe").timesteps == STEPS[3]


def test_the_kept_validation_is_the_best_by_what_the_experiment_selects():
    earns_more, is_steadier = CURVES[42][3], CURVES[42][2].model_copy(update={"val_sharpe": 3.0})
    curve = [*CURVES[42][:2], is_steadier, earns_more]
    assert kept_validation(curve, "return") is earns_more
    assert kept_validation(curve, "sharpe") is is_steadier


def test_the_page_tells_mean_spread_worst_and_the_candidate(contract):
    page = page_of(contract, 7, 42, 99)
    # by hand: 2%, 8% and -4% have mean 2% and standard deviation 6%
    assert "Mean +2.00%, standard deviation 6.00%, worst -4.00%" in page
    assert "2 of 3 seeds end above zero on val; from 5 seeds on their share counts in the first vote." in page
    assert "seed 42, candidate" in page and "kept policy" in page
    assert english_in_spanish(page) == []
    assert "<p class=alarm>" in page


def test_one_seed_has_no_spread_and_the_page_says_what_that_means(contract):
    page = page_of(contract, 42)
    assert "standard deviation" not in without_plotly(page)
    assert "One seed says nothing about the others" in page
    assert "The seed ends above zero on val." in page


def test_every_phase_loss_setting_and_hash_stands_on_the_page(contract):
    page = page_of(contract, 7, 42)
    for text in (
        "phase_1",
        "phase_3",
        "Entropy loss",
        "Approximate KL",
        "Clip fraction",
        "Explained variance",
    ):
        assert text in page
    assert "training.hyperparameters.gae_lambda" in page and contract.config_hash in page
    assert "transaction cost" in page and 'id="reward-components"' in page


@pytest.mark.parametrize("engine", ["fast", "linear"])
def test_a_line_s_page_lists_its_folds_whatever_the_engine(contract, engine):
    period = dict.fromkeys(("train", "val", "test"), "2025-01-02 to 2025-03-04")
    fold = FoldRecord(
        fold=1, date_ranges=period, dataset_hash="d" * 64, norm_stats_hash="e" * 64, manifest_hash="f" * 64,
        model_hash="abcd" * 16, seed=42, best_val_reward=0.0625,
    )  # fmt: skip
    line = record_of(contract, 42).model_copy(update={"engine": engine, "folds": (fold,)})
    page = render_training(contract, line, {42: CURVES[42]})
    assert "A line: everything else" in page and "abcdabcdabcd" in page and "+6.25%" in page
    assert "<bdi lang=es>2025-01-02 a 2025-03-04</bdi>" in page


def test_text_is_escaped_and_equal_trainings_give_equal_pages(contract):
    page = page_of(contract, 7, 42)
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert page == page_of(contract, 7, 42)
