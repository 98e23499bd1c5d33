import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from dosvotos.backtest.evidence import (
    FamilyTest,
    Moments,
    deflated_sharpe_ratio,
    expected_max_sharpe,
    family_test,
    min_track_record,
    moments_of,
    power,
    probabilistic_sharpe_ratio,
    resampled_intervals,
    sharpe_difference_interval,
)
from dosvotos.backtest.luck import luck_p_value
from dosvotos.backtest.metrics import sharpe_ratio
from dosvotos.backtest.resampling import Bootstrap

pytestmark = pytest.mark.slow

REPLICATIONS = 300


def with_sharpe(shape: np.ndarray, sharpe: float) -> np.ndarray:
    """The same shape of returns, moved to a Sharpe ratio a day."""
    unit = (shape - shape.mean()) / shape.std(ddof=1)
    return 0.01 * (unit + sharpe)


def psr_of(returns: np.ndarray, benchmark: float = 0.0) -> float | None:
    moments = moments_of(returns)
    return probabilistic_sharpe_ratio(moments, benchmark) if moments else None


def normal_scores(n: int) -> np.ndarray:
    return stats.norm.ppf((np.arange(n) + 0.5) / n)


# ---- probabilistic Sharpe ratio


def test_psr_by_hand():
    # four returns -1, 1, 1, 3: mean 1, std (ddof 1) sqrt(8/3); no skew, kurtosis (16 + 16) / 4 / 2^2 = 2
    sharpe = 1 / np.sqrt(8 / 3)
    z = sharpe * np.sqrt(3) / np.sqrt(1 + (2 - 1) / 4 * sharpe**2)
    found = psr_of(np.array([-1.0, 1.0, 1.0, 3.0]))
    assert found == pytest.approx(stats.norm.cdf(z), rel=1e-12)


def test_psr_of_the_papers_hedge_fund():
    # Bailey and Lopez de Prado (2012): 24 monthly returns with Sharpe 0.458, skewness -2.448, kurtosis 10.164
    scores = normal_scores(24)

    def warped(shape: np.ndarray) -> np.ndarray:
        return np.sinh(np.exp(shape[1]) * np.arcsinh(scores) - shape[0])

    def misses(shape: np.ndarray) -> list[float]:
        returns = warped(shape)
        return [stats.skew(returns) + 2.448, stats.kurtosis(returns, fisher=False) - 10.164]

    returns = with_sharpe(warped(optimize.root(misses, [0.59, 1.14]).x), 0.458)
    assert psr_of(returns) == pytest.approx(0.913, abs=5e-4)


def test_skewness_and_fat_tails_lower_it_and_normal_returns_give_the_normal_formula():
    sharpe, n = 0.1, 250
    normal = with_sharpe(normal_scores(n), sharpe)
    kurtosis = stats.kurtosis(normal, fisher=False)
    z = sharpe * np.sqrt(n - 1) / np.sqrt(1 + (kurtosis - 1) / 4 * sharpe**2)
    assert psr_of(normal) == pytest.approx(stats.norm.cdf(z))
    assert psr_of(normal) == pytest.approx(
        stats.norm.cdf(sharpe * np.sqrt(n) / np.sqrt(1 + sharpe**2 / 2)), abs=2e-3
    )
    crashes = with_sharpe(-np.exp(normal_scores(n)), sharpe)
    jumps = with_sharpe(np.exp(normal_scores(n)), sharpe)
    tails = with_sharpe(stats.t(3).ppf((np.arange(n) + 0.5) / n), sharpe)
    psr = psr_of
    assert psr(crashes) < psr(normal) < psr(jumps)
    assert psr(tails) < psr(normal)


@pytest.mark.parametrize("sharpe", [-0.05, 0.0, 0.08])
def test_psr_is_about_the_share_of_bootstrap_samples_above_the_benchmark(sharpe: float):
    random = np.random.default_rng(1)
    returns = with_sharpe(-random.gamma(3, 1, 300), sharpe)
    samples = returns[random.integers(0, 300, (4000, 300))]
    ratios = samples.mean(axis=1) / samples.std(axis=1, ddof=1)
    assert psr_of(returns) == pytest.approx((ratios > 0).mean(), abs=0.04)


def test_psr_is_uniform_where_nothing_is_known():
    random = np.random.default_rng(2)
    found = [psr_of(random.normal(0, 0.01, 145)) for _ in range(800)]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) >= 0.95) == pytest.approx(0.05, abs=0.02)


@given(benchmark=st.floats(-0.3, 0.3), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_psr_falls_with_its_benchmark_and_is_a_half_at_the_estimate(benchmark: float, seed: int):
    returns = np.random.default_rng(seed).normal(5e-4, 0.01, 145)
    estimate = returns.mean() / returns.std(ddof=1)
    assert psr_of(returns, estimate) == pytest.approx(0.5)
    below = psr_of(returns, benchmark - 0.05)
    assert below > psr_of(returns, benchmark)
    assert 0 <= below <= 1


def test_psr_knows_no_unit():
    returns = np.random.default_rng(3).normal(1e-3, 0.01, 145)
    assert psr_of(returns * 7) == pytest.approx(psr_of(returns))


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.02], [0.0] * 145, [0.002] * 145])
def test_psr_without_variance_is_null(returns: list[float]):
    assert psr_of(np.array(returns)) is None


# ---- deflated Sharpe ratio, track record, power


def test_the_deflated_sharpe_ratio_of_the_papers_example():
    # Bailey and Lopez de Prado (2014): 1,250 days with an annual Sharpe ratio of 2.5 (250 days a year),
    # skewness -3, kurtosis 10; the trials' annual Sharpe ratios have variance 1/2
    strategy, variance = Moments(1250, 2.5 / np.sqrt(250), -3, 10), 0.5 / 250
    normal = strategy._replace(skew=0, kurtosis=3)
    assert expected_max_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    for moments, n_looks, wanted in ((strategy, 100, 0.9004), (strategy, 46, 0.9505), (normal, 88, 0.9505)):
        found = probabilistic_sharpe_ratio(moments, expected_max_sharpe(n_looks, variance))
        assert found == pytest.approx(wanted, abs=5e-5)


def test_the_luckiest_of_many_is_the_mean_maximum_of_normal_draws():
    draws = np.random.default_rng(1).normal(0, 0.3, (20_000, 50)).max(axis=1)
    assert expected_max_sharpe(50, 0.09) == pytest.approx(draws.mean(), rel=0.02)
    assert expected_max_sharpe(1, 0.09) == 0.0


def test_more_looks_deflate_more_and_a_single_look_not_at_all():
    shape, sharpes = Moments(145, 0.15, 0, 3), np.array([0.15, 0.02, -0.05])
    found = [deflated_sharpe_ratio(shape, sharpes, n_looks) for n_looks in (1, 3, 30)]
    assert found[0] == probabilistic_sharpe_ratio(shape, 0.0)
    assert found[0] > found[1] > found[2]
    assert deflated_sharpe_ratio(shape, sharpes[:1], 5) is None


@pytest.mark.parametrize(
    ("a_year", "skew", "kurtosis", "years"),
    [(250, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_record_of_the_papers_example(a_year: int, skew: float, kurtosis: float, years: float):
    # Bailey and Lopez de Prado (2012): an annual Sharpe ratio of 2 to be shown above 1 with 95%
    shape = Moments(1, 2 / np.sqrt(a_year), skew, kurtosis)
    needed = min_track_record(shape, 0.95, 1 / np.sqrt(a_year))
    assert needed / a_year == pytest.approx(years, abs=5e-3)


@given(sharpe=st.floats(0.05, 0.3), skew=st.floats(-1, 1), kurtosis=st.floats(3, 8))
@settings(max_examples=50, deadline=None)
def test_at_the_minimum_track_record_psr_is_what_was_asked(sharpe: float, skew: float, kurtosis: float):
    shape = Moments(100, sharpe, skew, kurtosis)
    needed = min_track_record(shape, 0.95)
    assert probabilistic_sharpe_ratio(shape._replace(n_sessions=needed), 0.0) == pytest.approx(0.95)
    assert min_track_record(shape._replace(sharpe=-sharpe), 0.95) is None


def test_power_is_the_share_of_simulated_windows_that_pass():
    # 145 days of normal returns at a true annual Sharpe ratio of 3: about 0.73
    random, shape = np.random.default_rng(4), Moments(145, 0.1, 0, 3)
    windows = random.normal(3 / np.sqrt(245), 1, (400, 145))
    passed = np.mean(luck_p_value(windows) <= 0.05)
    assert power(shape, 3, 0.05) == pytest.approx(passed, abs=0.06)
    assert power(shape, 0, 0.05) == pytest.approx(0.05, abs=0.005)
    assert power(shape._replace(n_sessions=490), 3, 0.05) == pytest.approx(0.99, abs=0.01)


def test_power_is_unknown_where_the_tails_are_too_fat():
    assert power(Moments(10, 0.1, 0, 60), 3, 0.05) is None


# ---- intervals


def test_intervals_agree_with_arch():
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    returns = np.random.default_rng(6).normal(8e-4, 0.008, 145)
    block = max(1, round(float(optimal_block_length(returns)["stationary"].iloc[0])))

    def figures(window: np.ndarray) -> np.ndarray:
        equity = np.concatenate([[1.0], np.cumprod(1 + window)])
        fall = max(1 - equity[i] / equity[: i + 1].max() for i in range(len(equity)))
        return np.array([sharpe_ratio(window), equity[-1] - 1, fall])

    peer = StationaryBootstrap(block, returns, seed=3)
    low, high = peer.conf_int(figures, reps=REPLICATIONS, method="percentile", size=0.90)
    found = resampled_intervals(returns, Bootstrap(REPLICATIONS, 3))
    assert [one.found for one in found.values()] == pytest.approx(figures(returns).tolist())
    assert [one.low for one in found.values()] == pytest.approx(low.tolist())
    assert [one.high for one in found.values()] == pytest.approx(high.tolist())


def test_returns_that_do_not_vary_have_no_intervals_and_no_shape():
    assert resampled_intervals(np.full(145, 0.001), Bootstrap(100, 1)) is None
    assert moments_of(np.zeros(145)) is None


# ---- a family of looks


def looks(n_series: int, seed: int, n_sessions: int = 200) -> pd.DataFrame:
    noise = np.random.default_rng(seed).normal(0, 0.007, (n_sessions, n_series))
    return pd.DataFrame(noise, columns=[f"model_{i}" for i in range(n_series)])


def family_of(
    series: pd.DataFrame, candidate: str = "model_0", n_models: int = 0, seed: int = 1
) -> FamilyTest:
    n_models = n_models or series.shape[1]
    return family_test(candidate, series, n_models, 0.05, Bootstrap(REPLICATIONS, seed))


@pytest.mark.parametrize("seed", range(6))
def test_the_family_test_is_the_stricter_of_archs_spa_and_stepm_with_and_without_blocks(seed: int):
    from arch.bootstrap import SPA, StepM, optimal_block_length

    random = np.random.default_rng(seed)
    noise = random.normal(0, [0.005, 0.02, 0.001, 0.007, 0.007], (145, 5)) + random.normal(0, 8e-4, 5)
    noise[1:] += 0.3 * noise[:-1]
    noise[:, 4] -= 0.004  # too poor to matter
    series = pd.DataFrame(noise, columns=list("abcde"))
    losses, none = -series / series.std(ddof=1), np.zeros(145)
    for name in series:
        best = max(1, round(float(optimal_block_length(series[name])["stationary"].iloc[0])))
        p_values, superior = [], []
        for block in (1, best):
            settings = {"block_size": block, "reps": REPLICATIONS, "seed": seed}
            spa, step = SPA(none, losses, **settings), StepM(none, losses, size=0.2, **settings)
            spa.compute()
            step.compute()
            p_values.append((spa.pvalues["consistent"] * REPLICATIONS + 1) / (REPLICATIONS + 1))
            superior.append(name in step.superior_models)
        found = family_test(name, series, 5, 0.2, Bootstrap(REPLICATIONS, seed))
        assert found == FamilyTest(pytest.approx(max(p_values)), all(superior))


def test_a_model_without_skill_among_others_without_skill_is_not_superior():
    found = [family_of(looks(8, seed)) for seed in range(8)]
    assert sum(one.in_superior_set for one in found) <= 1
    assert np.mean([one.spa_p_value for one in found]) > 0.25


def test_the_best_of_many_without_skill_seldom_stands_out():
    hits = 0
    for seed in range(12):
        series = looks(15, 100 + seed)
        best = str((series.mean() / series.std()).idxmax())
        assert sharpe_ratio(series[best].to_numpy()) > 0.5
        result = family_of(series, best)
        hits += result.in_superior_set and result.spa_p_value <= 0.05
    assert hits <= 2


def test_one_strong_model_among_models_without_skill_is_the_superior_one():
    series = looks(10, 3)
    series["strong"] = np.random.default_rng(4).normal(0.3 * 0.01, 0.01, len(series))
    strong = family_of(series, "strong")
    assert strong.spa_p_value <= 0.01 and strong.in_superior_set
    assert not family_of(series, "model_0").in_superior_set


def test_a_losing_model_is_never_superior_and_a_family_of_losers_has_no_evidence():
    series = looks(5, 5) - 0.003
    for name in series:
        found = family_of(series, str(name))
        assert not found.in_superior_set and found.spa_p_value > 0.5


def test_looks_without_a_series_raise_the_p_value_in_proportion_and_shrink_the_superior_set():
    series = looks(4, 7)
    series["model_0"] += 0.0012
    alone, among_twelve = family_of(series), family_of(series, n_models=12)
    assert 0 < alone.spa_p_value < 0.3
    assert among_twelve.spa_p_value == pytest.approx(min(1.0, 3 * alone.spa_p_value))
    series["model_0"] += 4e-4
    assert family_of(series).in_superior_set and family_of(series).spa_p_value > 0
    assert family_of(series, n_models=10_000) == FamilyTest(1.0, False)


def test_fewer_looks_than_series_raise_nothing():
    series = looks(4, 7) + 5e-4
    assert family_of(series, n_models=1) == family_of(series, n_models=4)


def test_more_series_of_no_skill_make_the_same_model_stand_out_less():
    strong = with_sharpe(np.random.default_rng(8).normal(size=200), 0.17)
    p_values = []
    for n_others in (1, 10, 60):
        series = looks(n_others, 9).assign(strong=strong)
        p_values.append(family_of(series, "strong").spa_p_value)
    assert p_values[0] <= p_values[1] <= p_values[2] and p_values[0] < p_values[2]


def test_the_scale_of_a_series_plays_no_part():
    series = looks(6, 10)
    series["model_0"] += 0.0012
    leveraged = series * [10, 0.1, 1, 3, 1, 1]
    assert family_of(leveraged) == family_of(series)


def test_a_seed_decides_the_bootstrap():
    series = looks(6, 11) + 6e-4
    assert family_of(series, seed=5) == family_of(series, seed=5)
    p_values = {family_of(series, seed=seed).spa_p_value for seed in range(4)}
    assert len(p_values) > 1


def test_a_model_that_never_trades_proves_nothing_and_harms_nobody():
    series = looks(3, 12)
    series["model_0"] += 0.003
    with_flat = series.assign(flat=0.0)
    assert family_of(with_flat, "model_0").in_superior_set
    assert not family_of(with_flat, "flat").in_superior_set
    idle = family_of(pd.DataFrame({"flat": np.zeros(200)}), "flat")
    assert not idle.in_superior_set
    assert idle.spa_p_value == 1.0


@pytest.mark.parametrize("n_sessions", [2, 3, 5, 7, 8, 20])
def test_a_window_of_few_sessions_has_an_answer(n_sessions: int):
    series = looks(3, 13, n_sessions)
    found = family_of(series)
    assert 0 <= found.spa_p_value <= 1
    interval = sharpe_difference_interval(*series.to_numpy().T[:2], Bootstrap(200, 1))
    assert interval is not None and interval[0] <= interval[1]


# ---- the difference of two Sharpe ratios


def test_equal_series_differ_by_nothing():
    returns = np.random.default_rng(1).normal(5e-4, 0.01, 145)
    assert sharpe_difference_interval(returns, returns.copy(), Bootstrap(200, 1)) == (0.0, 0.0)


def test_the_interval_of_two_unrelated_skill_less_models_covers_zero():
    for seed in range(5):
        one, other = np.random.default_rng(seed).normal(0, 0.01, (2, 145))
        low, high = sharpe_difference_interval(one, other, Bootstrap(REPLICATIONS, 1))
        assert low < sharpe_ratio(one) - sharpe_ratio(other) < high
        assert high - low > 2.5  # the standard error of each annual ratio is sqrt(245 / 145) = 1.3


def test_ninety_percent_of_the_intervals_cover_the_true_difference():
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(40):
        one, other = random.normal([0.1, 0.0], 1, (145, 2)).T
        low, high = sharpe_difference_interval(one, other, Bootstrap(REPLICATIONS, 1))
        covered += low <= 0.1 * np.sqrt(245) <= high
    assert 0.78 <= covered / 40 <= 0.98


def test_pairing_sees_a_small_steady_gain_that_unpaired_series_would_hide():
    random = np.random.default_rng(2)
    old = random.normal(0, 0.01, 145)
    new = old + 0.002 + random.normal(0, 1e-4, 145)
    low, high = sharpe_difference_interval(new, old, Bootstrap(REPLICATIONS, 1))
    gain = sharpe_ratio(new) - sharpe_ratio(old)
    assert 0 < low < gain < high and high - low < 1
    shuffled = sharpe_difference_interval(new, random.permutation(old), Bootstrap(REPLICATIONS, 1))
    assert shuffled[0] < 0


def test_swapping_the_models_mirrors_the_interval():
    random = np.random.default_rng(4)
    one, other = random.normal(0.001, 0.01, 145), random.normal(0, 0.01, 145)
    low, high = sharpe_difference_interval(one, other, Bootstrap(REPLICATIONS, 1))
    assert sharpe_difference_interval(other, one, Bootstrap(REPLICATIONS, 1)) == pytest.approx((-high, -low))


def test_without_variance_there_is_no_interval():
    returns = np.random.default_rng(5).normal(0, 0.01, 145)
    assert sharpe_difference_interval(returns, np.zeros(145), Bootstrap(200, 1)) is None
    assert sharpe_difference_interval(np.zeros(145), returns, Bootstrap(200, 1)) is None
