"""The simulator's parts: draws of unit variance, and the algebra behind the calibrated figures."""

from datetime import date
from functools import cache

import numpy as np
import pytest
from scipy import stats

from dosvotos.market.calendar import scheduled_sessions
from dosvotos.simulation.calibration import (
    SPOT,
    LaggedResponse,
    calibration,
    real_statistics,
    response_per_lag,
    session_std,
)
from dosvotos.simulation.draws import StudentT, draw_student_t, standardize
from dosvotos.simulation.prices import session_noise, session_prices

SESSIONS = scheduled_sessions(date(2020, 1, 2), date(2021, 12, 31))


@pytest.mark.parametrize("distribution", [StudentT(2.1, 6.0), StudentT(6, 10.0), StudentT(10, 5.0)])
def test_bounded_student_draws_have_unit_variance(distribution: StudentT):
    raw = stats.t.ppf((np.arange(200_000) + 0.5) / 200_000, distribution.t_dof)
    unit = standardize(raw, distribution)
    assert unit.std() == pytest.approx(1.0, rel=1e-3)
    bounded_variance = stats.t.expect(
        lambda x: min(x * x, distribution.t_limit**2), args=(distribution.t_dof,), lb=-1e4, ub=1e4, limit=500
    )
    assert np.abs(unit).max() == pytest.approx(distribution.t_limit / np.sqrt(bounded_variance), rel=2e-3)


def test_a_days_draws_do_not_depend_on_the_days_around_it():
    days = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]")
    all_days = draw_student_t(3, "daily", days, 5, StudentT(6, 10.0))
    assert np.array_equal(draw_student_t(3, "daily", days[4:6], 5, StudentT(6, 10.0)), all_days[4:6])
    assert not np.array_equal(draw_student_t(4, "daily", days, 5, StudentT(6, 10.0)), all_days)
    assert not np.array_equal(draw_student_t(3, "rates", days, 5, StudentT(6, 10.0)), all_days)


def test_a_sessions_standard_deviation_by_hand():
    lagged_response = LaggedResponse(total=0.2, n_lags=2)
    assert response_per_lag(lagged_response, std_ratio=1.0) == pytest.approx(0.1)
    # the last two innovations carry nothing on, the one before them one bar, the others two bars
    weights = [1.2, 1.2, 1.1, 1.0, 1.0]
    by_hand = np.sqrt(sum((w * s) ** 2 for w, s in zip(weights, [3, 2, 1, 1, 2], strict=True)))
    assert session_std(np.array([3.0, 2, 1, 1, 2]), lagged_response, std_ratio=1.0) == pytest.approx(by_hand)
    assert response_per_lag(lagged_response, std_ratio=0.75) == pytest.approx((0.75 * 1.2 - 1) / 2)


@cache
def moves(edge: float) -> np.ndarray:
    """Moves of two years of sessions under 30 seeds, shape (30, n_sessions, 61)."""
    return np.array([session_noise(seed, SESSIONS, edge).moves for seed in range(30)])


@pytest.mark.parametrize("edge", [0.0, 0.45])
def test_a_sessions_noise_has_what_the_edge_leaves_of_the_calibrated_variance(edge: float):
    wanted = np.sqrt(1 - edge**2) * calibration().prices.session_std
    found = np.sqrt(np.square(moves(edge)[:, :, 2:].sum(axis=2)).mean())
    assert found == pytest.approx(wanted, rel=0.04)


def test_room_for_a_drift_is_not_made_in_the_moves_themselves():
    whole, room = (moves(edge)[:, :, 2:] for edge in (0.0, 0.45))
    assert room.std() == pytest.approx(whole.std(), rel=0.02)
    std_ratio = room.sum(axis=2).std() / whole.sum(axis=2).std()
    assert std_ratio == pytest.approx(np.sqrt(1 - 0.45**2), rel=0.01)
    assert np.corrcoef(room.ravel(), whole.ravel())[0, 1] > 0.99


def test_nights_are_as_volatile_as_their_length_asks():
    nights = np.diff(SESSIONS, prepend=SESSIONS[:1] - 1).astype(int)
    square = np.square(moves(0.0)[:, :, :2].sum(axis=2)).mean(axis=0)
    for days, wanted, allowed in ((1, 0.00397, 0.05), (3, 0.00478, 0.08), (4, 0.00969, 0.15)):
        assert np.sqrt(square[nights == days].mean()) == pytest.approx(wanted, rel=allowed), days


def test_a_stale_bar_repeats_the_close_and_the_next_one_catches_up():
    steps = np.full((1, 61), 0.01)
    stale = np.zeros((1, 60), dtype=bool)
    stale[0, 10:12] = True
    shown, plain = (np.log(session_prices(steps, mask)[0]) for mask in (stale, np.zeros_like(stale)))
    assert shown[11] == shown[12] == shown[10]
    assert shown[13] == pytest.approx(plain[13], abs=1e-8)
    assert np.array_equal(np.delete(shown, [11, 12]), np.delete(plain, [11, 12]))


def test_pushes_are_correlated_so_that_changes_are_as_published():
    """The recursion itself, step by step along 4,000 paths, against the published matrix."""
    factors, real = calibration().factors, real_statistics()["factors"]
    names = ["volt_vix_usa_d_vix", "comm_oil_wti_glb_d_wti", "finc_bond_yield10y_col_d_col10y"]
    chosen = [factors.names.index(name) for name in names]
    rng, n_paths, n_steps = np.random.default_rng(0), 4_000, 300
    innovation = deviation = np.zeros((n_paths, len(chosen)))
    changes, spot = [], []
    for _ in range(n_steps):
        unit = rng.standard_normal((n_paths, len(factors.cholesky))) @ factors.cholesky.T
        innovation = (
            factors.momentum[chosen] * innovation + unit[:, 1:][:, chosen] * factors.innovation_std[chosen]
        )
        after = factors.persistence[chosen] * deviation + innovation
        changes.append(after - deviation)
        spot.append(unit[:, 0])
        deviation = after
    settled = np.array(changes)[-100:]
    together = np.corrcoef(np.vstack([np.array(spot)[-100:].ravel(), settled.reshape(-1, len(chosen)).T]))
    for i, name in enumerate(names):
        assert settled[:, :, i].std() == pytest.approx(real["std"][name], rel=0.01), name
        memory = np.corrcoef(settled[1:, :, i].ravel(), settled[:-1, :, i].ravel())[0, 1]
        assert memory == pytest.approx(real["ac1"][name], abs=0.01), name
        assert together[0, 1 + i] == pytest.approx(real["corr"][SPOT][name], abs=0.01), name
    assert together[1, 2] == pytest.approx(real["corr"][names[0]][names[1]], abs=0.01)
    assert together[2, 3] == pytest.approx(real["corr"][names[1]][names[2]], abs=0.01)
