import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.market.drift import feature_drift, stability_index
from dosvotos.market.normalization import fit_norm_stats


def rows(seed: int, n: int = 4000, **shifted: float) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(0, 1, (n, len(MARKET_FEATURES)))
    frame = pd.DataFrame(values, columns=list(MARKET_FEATURES))
    return frame.assign(**{name: frame[name] + by for name, by in shifted.items()})


def test_the_index_worked_by_hand():
    # ten values, one a decile, against ten in the lowest: shares (1.5 x 9 of 15 ...) with half a value added
    expected = np.arange(10.0)
    found = np.full(10, -1.0)
    p = np.full(10, 1.5 / 15)
    q = np.array([10.5, *[0.5] * 9]) / 15
    assert stability_index(expected, found) == pytest.approx(((q - p) * np.log(q / p)).sum())


def test_the_index_of_a_shift_is_that_of_two_normal_laws():
    # for equal variances the symmetric divergence of two normals a apart is a^2; ten bins keep most of it
    generator = np.random.default_rng(3)
    ours = generator.normal(0, 1, 200_000)
    for shift in (0.2, 0.5):
        found = stability_index(ours, generator.normal(shift, 1, 200_000))
        assert 0.9 * shift**2 < found < shift**2


def test_only_the_shifted_feature_drifts():
    train = rows(0)
    drift = feature_drift(train, rows(1, vix_z=2.0), fit_norm_stats(train)).set_index("feature")
    assert drift.loc["vix_z", "psi"] > 1 and drift["psi"].drop("vix_z").max() < 0.05
    assert drift.loc["vix_z", "mean_shift"] == pytest.approx(2.0, abs=0.1)
    assert drift.loc["vix_z", "clipped_val"] > drift.loc["vix_z", "clipped_train"]


def test_the_figures_are_those_of_pandas_and_scipy():
    train, val = rows(0), rows(1, embi_z=0.5)
    drift = feature_drift(train, val, fit_norm_stats(train)).set_index("feature")
    for name in ("embi_z", "rsi_9"):
        assert drift.loc[name, "train_std"] == pytest.approx(train[name].std())
        assert drift.loc[name, "val_mean"] == pytest.approx(val[name].mean())
        assert drift.loc[name, "std_ratio"] == pytest.approx(val[name].std() / train[name].std())
        assert drift.loc[name, "ks"] == ks_2samp(train[name], val[name]).statistic


def test_a_feature_that_val_lacks_has_no_figures_and_no_error():
    train = rows(0)
    drift = feature_drift(train, rows(1).assign(embi_z=np.nan), fit_norm_stats(train)).set_index("feature")
    assert drift.loc["embi_z", ["val_mean", "psi", "ks", "clipped_val"]].isna().all()
    assert drift.drop("embi_z").notna().all(axis=None)


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=50),
    st.lists(st.floats(-10, 10), min_size=1, max_size=50),
)
@settings(max_examples=100, deadline=None)
def test_the_index_is_never_negative_and_zero_against_itself(ours, theirs):
    a, b = np.array(ours), np.array(theirs)
    assert stability_index(a, b) >= 0
    assert stability_index(a, a) == pytest.approx(0)
