import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.errors import DataError
from dosvotos.market.normalization import CLIP, NormStats, fit_norm_stats

N_FEATURES = len(MARKET_FEATURES)


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list(MARKET_FEATURES))


def random_rows(n_rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return frame(
        random.normal(random.normal(0, 50, N_FEATURES), random.uniform(0.1, 9, N_FEATURES), (n_rows, 13))
    )


def stats(mean: float = 0.0, std: float = 1.0) -> NormStats:
    return NormStats(features=MARKET_FEATURES, mean=(mean,) * N_FEATURES, std=(std,) * N_FEATURES)


def test_statistics_by_hand():
    rows = frame(np.tile([[1.0], [2.0], [6.0]], N_FEATURES))
    fitted = fit_norm_stats(rows)
    assert fitted.mean == (3.0,) * N_FEATURES
    np.testing.assert_allclose(fitted.std, np.sqrt((4 + 1 + 9) / 2))


def test_statistics_come_from_complete_rows_only():
    rows = random_rows(50)
    holed = rows.copy()
    holed.iloc[::7, 3] = np.nan
    holed.iloc[1::11, 12] = np.nan
    complete = holed[holed.notna().all(axis=1)].to_numpy()
    fitted = fit_norm_stats(holed)
    np.testing.assert_allclose(fitted.mean, complete.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.std, complete.std(axis=0, ddof=1), rtol=1e-12)


def test_other_columns_and_the_order_of_columns_play_no_part():
    rows = random_rows(50)
    wider = rows[rows.columns[::-1]].assign(close=np.nan, time_normalized=0.0)
    assert fit_norm_stats(wider) == fit_norm_stats(rows)


def test_train_itself_becomes_standard():
    rows = random_rows(500)
    scaled = fit_norm_stats(rows).apply(rows.to_numpy())
    assert (np.abs(scaled) < CLIP).all()
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0, ddof=1), 1, atol=1e-12)


def test_values_are_clipped_at_five_and_gaps_stay_gaps():
    raw = np.array([[-99.0, -5.0, -4.9, 0.0, 4.9, 5.0, 99.0, np.inf, -np.inf, np.nan, 1.0, 2.0, 3.0]])
    expected = [[-5.0, -5.0, -4.9, 0.0, 4.9, 5.0, 5.0, 5.0, -5.0, np.nan, 1.0, 2.0, 3.0]]
    np.testing.assert_equal(stats().apply(raw), expected)


@given(arrays(np.float64, (4, N_FEATURES), elements=st.floats(-1e6, 1e6)))
@settings(max_examples=50, deadline=None)
def test_normalisation_is_the_formula_row_by_row(raw: np.ndarray):
    fitted = fit_norm_stats(random_rows(30, seed=1))
    expected = [
        [max(-5.0, min(5.0, (x - m) / s)) for x, m, s in zip(row, fitted.mean, fitted.std, strict=True)]
        for row in raw.tolist()
    ]
    np.testing.assert_allclose(fitted.apply(raw), expected, rtol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 7.0, 0.1, 4.6, 0.3])
def test_a_feature_that_never_moves_is_refused_by_name(constant: float):
    rows = random_rows(5000)
    rows["rsi_9"] = constant
    with pytest.raises(DataError, match="rsi_9"):
        fit_norm_stats(rows)


@pytest.mark.parametrize("n_complete", [0, 1])
def test_fewer_than_two_complete_rows_are_refused_with_their_number(n_complete: int):
    rows = random_rows(5)
    rows.iloc[n_complete:, 0] = np.nan
    with pytest.raises(DataError, match=f"found {n_complete}"):
        fit_norm_stats(rows)


def test_statistics_survive_json_to_the_last_bit_and_so_does_their_hash():
    fitted = fit_norm_stats(random_rows(50))
    read = NormStats.model_validate_json(fitted.model_dump_json())
    assert read == fitted and read.digest == fitted.digest
    assert fit_norm_stats(random_rows(50, seed=1)).digest != fitted.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"std": (0.0,) + (1.0,) * 12},
        {"std": (-1.0,) * 13},
        {"std": (1.0,) * 12},
        {"mean": (0.0,) * 14},
        {"mean": (float("nan"),) * 13},
        {"std": (float("inf"),) * 13},
        {"features": MARKET_FEATURES[::-1]},
        {"features": MARKET_FEATURES[:12]},
        {"extra": 1},
    ],
)
def test_statistics_that_break_a_rule_are_refused(changes: dict):
    with pytest.raises(ValidationError):
        NormStats.model_validate({**stats().model_dump(), **changes})
