import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.errors import DataError
from dosvotos.market.accounting import Account, Tape, fill, mark, run_account
from dosvotos.market.calendar import BAR, scheduled_sessions, session_bar_times

CAPITAL = 1000.0


def tape(close: list[float] | np.ndarray, rate_difference: float = 0.0) -> Tape:
    """Consecutive bars of as many sessions as it takes, from Tuesday 2 July 2024 on."""
    n_bars = len(close)
    days = scheduled_sessions(pd.Timestamp("2024-07-02").date(), pd.Timestamp("2026-07-02").date())
    times = pd.DatetimeIndex([t for day in days[: n_bars // 60 + 1] for t in session_bar_times(day)])
    return Tape(times[:n_bars], np.array(close, dtype=float), np.full(n_bars, rate_difference))


def last_bars(days: list[str], close: list[float], rate_difference: list[float]) -> Tape:
    """A tape of one bar a day, at the session's end."""
    times = pd.DatetimeIndex([session_bar_times(np.datetime64(day))[-1] for day in days])
    return Tape(times, np.array(close, dtype=float), np.array(rate_difference, dtype=float))


def run(close: list[float], targets: list[int], cost: float = 0.01) -> Account:
    return run_account(tape(close), np.array(targets), cost, CAPITAL)


# ---- worked by hand


def test_a_long_round_trip_with_both_fees():
    account = run([50, 100, 110, 121, 130, 140], [1, 1, 0, 0, 0, 0])
    # 10 units at 100 for a fee of 10; at 121 they are worth 1210 and cost 12.1 to sell
    np.testing.assert_allclose(account.equity, [1000, 990, 1090, 1187.9, 1187.9, 1187.9])
    np.testing.assert_allclose(account.fees, [0, 10, 0, 12.1, 0, 0])
    assert account.position.tolist() == [0, 1, 1, 0, 0, 0]
    assert not account.ruined
    trade = account.trades.to_dict("records")
    assert trade == [
        pytest.approx(
            {
                "entry_bar": 1,
                "exit_bar": 3,
                "direction": 1,
                "units": 10.0,
                "entry_price": 100.0,
                "exit_price": 121.0,
                "pnl": 187.9,
            }
        )
    ]


def test_a_short_round_trip_gains_when_the_price_falls():
    account = run([50, 100, 90, 80, 70, 60], [-1, -1, 0, 0, 0, 0])
    # -10 units at 100, fee 10; bought back at 80 for a fee of 8
    np.testing.assert_allclose(account.equity, [1000, 990, 1090, 1182, 1182, 1182])
    assert account.trades["units"].tolist() == [-10.0]
    assert account.trades["direction"].tolist() == [-1]
    np.testing.assert_allclose(account.trades["pnl"], [182.0])


def test_a_flip_closes_one_trade_opens_another_and_pays_two_legs():
    account = run([50, 100, 110, 110, 99, 99], [1, -1, -1, 0, 0, 0])
    # equity 1090 at 110; the exit fee of 11 leaves 1079 to size by, and 10.79 is paid on top
    units = -1079 / 110
    after_flip = 1090 - 11 - 10.79
    after_exit = after_flip + units * (99 - 110) - 0.01 * 1079 * 0.9
    np.testing.assert_allclose(account.fees, [0, 10, 21.79, 0, 0.01 * 1079 * 0.9, 0])
    np.testing.assert_allclose(account.equity, [1000, 990, after_flip, after_flip, after_exit, after_exit])
    np.testing.assert_allclose(account.trades["pnl"], [79, after_exit - 1079])
    np.testing.assert_allclose(account.trades["units"], [10, units])
    assert account.trades[["entry_bar", "exit_bar"]].to_numpy().tolist() == [[1, 2], [2, 4]]


def test_units_are_what_equity_buys_after_the_exit_fee_and_the_entry_fee_is_on_top():
    equity, units, fee = fill(1000.0, 10.0, -1.0, 100.0, 0.01)
    assert (equity, units, fee) == pytest.approx((1000 - 10 - 9.9, -9.9, 19.9))


def test_units_stay_fixed_while_the_target_stays():
    equity, units, fee = fill(1300.0, 10.0, 1.0, 130.0, 0.01)
    assert (equity, units, fee) == (1300.0, 10.0, 0.0)
    assert mark(1300.0, 10.0, 130.0, 125.0) == 1250.0
    assert mark(1300.0, -10.0, 130.0, 125.0) == 1350.0


def test_a_position_still_open_closes_at_the_last_close_with_its_fee_and_counts():
    account = run([50, 100, 110, 120], [1, 1, 1, 1])
    np.testing.assert_allclose(account.equity, [1000, 990, 1090, 1190 - 12])
    assert account.trades["exit_bar"].tolist() == [3]
    assert account.position[-1] == 0
    np.testing.assert_allclose(account.trades["pnl"].sum(), account.equity[-1] - CAPITAL)


@pytest.mark.parametrize("bar", [-1, -2])
def test_an_order_decided_on_the_last_two_bars_does_not_fill(bar: int):
    targets = [0] * 6
    targets[bar] = 1
    account = run([100, 101, 102, 103, 104, 105], targets)
    assert account.equity.tolist() == [CAPITAL] * 6
    assert account.trades.empty and account.fees.tolist() == [0.0] * 6


def test_a_flip_ordered_on_the_last_but_one_bar_only_closes():
    account = run([100, 100, 100, 100], [1, 1, -1, -1])
    np.testing.assert_allclose(account.equity, [1000, 990, 990, 980])
    assert len(account.trades) == 1


def test_the_third_last_order_is_the_last_that_fills():
    account = run([100, 100, 100, 100], [0, 1, 0, 0], cost=0.01)
    assert account.trades[["entry_bar", "exit_bar"]].to_numpy().tolist() == [[2, 3]]


@pytest.mark.parametrize("n_bars", [0, 1, 2])
def test_no_more_than_two_bars_are_too_few_to_trade(n_bars: int):
    account = run([100.0] * n_bars, [1] * n_bars)
    assert account.equity.tolist() == [CAPITAL] * n_bars and account.trades.empty


def test_the_position_is_the_target_of_the_bar_before():
    targets = np.array([1, 1, 0, -1, -1, 1, 0, 0, 1, 1])
    account = run_account(tape(np.full(10, 100.0)), targets, 0.0, CAPITAL)
    assert account.position.tolist() == [0, *targets[:8], 0]


def test_a_tape_takes_its_columns_from_the_rows_of_a_split_as_floats():
    times = tape([1, 2]).times
    rows = pd.DataFrame({"rsi_9": 50, "policy_rate_difference": [-5, -4], "close": [4000, 4001]}, index=times)
    taken = Tape.from_rows(rows)
    assert taken.times.equals(times) and taken.close.dtype == taken.rate_difference.dtype == np.float64
    assert (taken.close.tolist(), taken.rate_difference.tolist()) == ([4000.0, 4001.0], [-5.0, -4.0])


# ---- ruin


def test_ruin_closes_with_a_fee_and_ends_the_run():
    # a short of 10 units doubles against itself to 199: 1000 - 10 - 990 is nothing
    account = run([100, 100, 150, 199, 100, 100], [-1] * 6)
    assert account.ruined
    np.testing.assert_allclose(account.equity, [1000, 990, 490, 0, 0, 0])
    assert account.position.tolist() == [0, -1, -1, 0, 0, 0]
    np.testing.assert_allclose(account.fees, [0, 10, 0, 19.9, 0, 0])
    assert account.trades["exit_bar"].tolist() == [3]


@pytest.mark.parametrize(("price", "ruined"), [(199.0, True), (198.999, False)])
def test_ruin_begins_at_one_percent_of_the_start(price: float, ruined: bool):
    account = run([100, 100, price, price, price, price], [-1] * 6, cost=0.0)
    assert account.ruined == ruined and account.position[2] == (0 if ruined else -1)
    np.testing.assert_allclose(account.equity[2], CAPITAL * (200 - price) / 100)


def test_fees_ruin_on_the_bar_that_charges_them():
    # 40% a side at an unmoved price: each flip leaves 0.6 / 0.4 of what is left; 24 - 16 is below 10
    account = run([100] * 8, [1, -1, 1, -1, 1, -1, 1, -1], cost=0.4)
    np.testing.assert_allclose(account.equity, [1000, 600, 120, 24, 8, 8, 8, 8])
    np.testing.assert_allclose(account.fees, [0, 400, 480, 96, 16, 0, 0, 0])
    assert account.ruined and account.position.tolist() == [0, 1, -1, 1, 0, 0, 0, 0]
    assert account.trades["exit_bar"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(("n_bars", "ruined"), [(4, False), (5, True)])
def test_the_fee_of_the_last_close_can_ruin(n_bars: int, ruined: bool):
    account = run([100] * n_bars, [1, -1, 1, -1, 1][:n_bars], cost=0.4)
    assert account.ruined == ruined
    np.testing.assert_allclose(account.equity[-1], 8 if ruined else 40)


@pytest.mark.parametrize(("cost", "opened"), [(0.99, False), (0.9899, True)])
def test_an_entry_whose_fee_would_leave_just_one_percent_is_not_opened(cost: float, opened: bool):
    account = run([100] * 4, [1] * 4, cost=cost)
    assert account.position[1] == opened and account.equity[1] == pytest.approx(10.1 if opened else 1000)


def test_an_entry_whose_fee_would_ruin_is_not_opened():
    # a round trip at 49.45% a side leaves 1.1% of the capital, of which an entry would leave 0.56%
    account = run([100] * 7, [1, 0, 1, 1, 1, 1, 1], cost=0.4945)
    np.testing.assert_allclose(account.equity, [1000, 505.5, 11, 11, 11, 11, 11])
    assert account.ruined and account.position.tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_a_gap_below_nothing_floors_equity_at_zero():
    account = run([100, 100, 400, 100, 100], [-1] * 5)
    assert account.equity.tolist()[2:] == [0.0, 0.0, 0.0]
    assert (account.equity >= 0).all()


# ---- financing


def test_a_long_earns_the_rate_difference_for_each_calendar_day_on_the_last_close():
    # Tuesday to Wednesday one day, to Friday two (a day without bars), to Monday three
    days = ["2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08", "2024-07-09"]
    held = last_bars(days, [100, 100, 120, 120, 120], [-5.0, -5.0, -4.0, -4.0, -4.0])
    account = run_account(held, np.array([1] * 5), 0.0, CAPITAL, financed=True)
    wednesday_to_friday = -0.05 / 365 * 2 * 10 * 100
    friday_to_monday = -0.04 / 365 * 3 * 10 * 120
    monday_to_tuesday = -0.04 / 365 * 1 * 10 * 120
    accrued = np.cumsum([0, 0, wednesday_to_friday, friday_to_monday, monday_to_tuesday])
    np.testing.assert_allclose(account.equity, np.array([1000, 1000, 1200, 1200, 1200]) + accrued)
    np.testing.assert_allclose(account.trades["pnl"], [200 + accrued[-1]])


def test_a_short_earns_the_opposite():
    days = ["2024-07-02", "2024-07-03", "2024-07-04", "2024-07-05"]
    held = last_bars(days, [100.0] * 4, [-7.3] * 4)
    for side, sign in ((1, -1), (-1, 1)):
        account = run_account(held, np.full(4, side), 0.0, CAPITAL, financed=True)
        np.testing.assert_allclose(account.equity - CAPITAL, sign * np.array([0.0, 0.0, 0.2, 0.4]))


def test_the_rate_is_the_one_known_at_the_session_end_before():
    days = ["2024-07-02", "2024-07-03", "2024-07-04"]
    held = last_bars(days, [100.0] * 3, [np.float64(3.65), 7.30, 99.0])
    np.testing.assert_allclose(held.overnight_yield(), [0, 0.0365 / 365, 0.073 / 365])


def test_nothing_accrues_inside_a_session_nor_without_a_position():
    close = np.full(130, 100.0)
    long_day = tape(close, rate_difference=-5.0)
    assert np.flatnonzero(long_day.overnight_yield()).tolist() == [60, 120]
    flat = run_account(long_day, np.zeros(130), 0.0, CAPITAL, financed=True)
    assert (flat.equity == CAPITAL).all()
    day_trades = np.tile(np.where(np.arange(60) < 58, 1, 0), 3)[:130]
    account = run_account(long_day, day_trades, 0.0, CAPITAL, financed=True)
    assert (account.equity == CAPITAL).all()


def test_without_financing_rates_play_no_part():
    close = np.linspace(100, 120, 130)
    unknown = Tape(tape(close).times, close, np.full(130, np.nan))
    account = run_account(unknown, np.ones(130), 0.0, CAPITAL)
    np.testing.assert_allclose(account.equity[-1], CAPITAL / close[1] * 120)


def test_an_unknown_rate_at_a_session_end_is_an_error_that_names_the_session():
    rates = np.zeros(130)
    rates[[30, 119]] = np.nan  # that of bar 30, inside the session before, harms nothing
    with pytest.raises(DataError, match="2024-07-03"):
        run_account(
            Tape(tape(np.ones(130)).times, np.ones(130), rates), np.ones(130), 0.0, CAPITAL, financed=True
        )


def test_a_rate_unknown_inside_a_session_or_at_the_tapes_end_harms_nothing():
    rates = np.zeros(130)
    rates[[0, 58, 61, 129]] = np.nan
    known = Tape(tape(np.ones(130)).times, np.ones(130), rates)
    assert (run_account(known, np.ones(130), 0.0, CAPITAL, financed=True).equity == CAPITAL).all()


# ---- a slow twin


class Open(NamedTuple):
    """A trade that is running."""

    bar: int
    units: float
    price: float
    balance: float
    """What the account held before the entry fee."""


def slow_account(
    market: Tape, targets: list[int], cost: float, financed: bool
) -> tuple[list[float], list[float], list[float], bool]:
    """The account kept as a balance and one open trade: equity, fees, trade pnls and ruin."""
    price, zone = market.close.tolist(), "America/Bogota"
    days = [time.tz_convert(zone).date() for time in market.times]
    balance, running, accrued = CAPITAL, None, 0.0
    equity, fees, pnls = [CAPITAL], [0.0], []

    def worth(now: float) -> float:
        return balance + (running.units * (now - running.price) + accrued if running else 0.0)

    for t in range(1, len(price)):
        if running and financed and days[t] != days[t - 1]:
            nights = (days[t] - days[t - 1]).days
            rate = market.rate_difference[t - 1] / 100 / 365
            accrued += running.units * price[t - 1] * rate * nights
        ruined = worth(price[t]) <= CAPITAL / 100
        wanted = 0 if ruined or t == len(price) - 1 else targets[t - 1]
        fee = 0.0
        size = abs(running.units) if running else 0.0
        left_by_exit = worth(price[t]) - cost * size * price[t]
        holds = 0 if running is None else (1 if running.units > 0 else -1)
        if wanted != holds and left_by_exit - cost * abs(wanted) * left_by_exit <= CAPITAL / 100:
            ruined, wanted = True, 0
        if wanted != holds:
            if running:
                fee = cost * abs(running.units) * price[t]
                balance = worth(price[t]) - fee
                pnls.append(balance - running.balance)
                running, accrued = None, 0.0
            if wanted:
                running = Open(t, wanted * balance / price[t], price[t], balance)
                entry_fee = cost * abs(running.units) * price[t]
                balance -= entry_fee
                fee += entry_fee
        fees.append(fee)
        equity.append(worth(price[t]))
        if ruined:
            left = len(price) - len(equity)
            equity[-1] = max(equity[-1], 0.0)
            return equity + [equity[-1]] * left, fees + [0.0] * left, pnls, True
    return equity, fees, pnls, False


@st.composite
def markets(draw: st.DrawFn) -> tuple[Tape, list[int]]:
    """Prices with calm and violent stretches over a few sessions with holes, and any targets."""
    n_bars = draw(st.integers(1, 150))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = random.normal(0, draw(st.sampled_from([5e-4, 0.02, 0.2])), n_bars)
    days = scheduled_sessions(pd.Timestamp("2024-12-20").date(), pd.Timestamp("2025-01-20").date())
    times = pd.DatetimeIndex([t for day in days for t in session_bar_times(day)])
    chosen = np.sort(random.choice(len(times), n_bars, replace=False))
    keep = draw(st.sampled_from([0.0, 0.8, 0.98]))
    targets = [0]
    for fresh in random.integers(-1, 2, n_bars):
        targets.append(targets[-1] if random.random() < keep else int(fresh))
    close = 4000 * np.exp(np.cumsum(steps))
    return Tape(times[chosen], close, random.normal(-5, 2, n_bars)), targets[1:]


@given(market=markets(), cost=st.sampled_from([0.0, 3.5e-4, 0.00375, 0.01, 0.2]), financed=st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_account_equals_a_slow_version_and_its_trades_add_up_to_its_equity(market, cost, financed):
    bars, targets = market
    account = run_account(bars, np.array(targets), cost, CAPITAL, financed)
    equity, fees, pnls, ruined = slow_account(bars, targets, cost, financed)
    np.testing.assert_allclose(account.equity, equity, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(account.fees, fees, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(account.trades["pnl"], pnls, rtol=1e-7, atol=1e-7)
    assert account.ruined == ruined
    assert (account.fees >= 0).all() and (account.equity >= 0).all()
    if not ruined:
        assert account.trades["pnl"].sum() == pytest.approx(account.equity[-1] - CAPITAL, abs=1e-7)
    spent = account.trades["units"].abs() * (account.trades["entry_price"] + account.trades["exit_price"])
    assert account.fees.sum() == pytest.approx(cost * spent.sum(), abs=1e-7)
    assert (account.trades["entry_bar"] < account.trades["exit_bar"]).all()
    assert (np.sign(account.trades["units"]) == account.trades["direction"]).all()


@given(market=markets())
@settings(max_examples=40, deadline=None)
def test_without_costs_always_long_and_always_short_are_mirror_images(market):
    bars, _ = market
    ones = np.ones(len(bars.close))
    long, short = (run_account(bars, side * ones, 0.0, CAPITAL) for side in (1, -1))
    if not (long.ruined or short.ruined):
        np.testing.assert_allclose(long.equity + short.equity, 2 * CAPITAL, rtol=1e-12)


@given(market=markets())
@settings(max_examples=20, deadline=None)
def test_a_flat_account_keeps_its_capital(market):
    bars, _ = market
    account = run_account(bars, np.zeros(len(bars.close)), 0.01, CAPITAL, financed=True)
    assert (account.equity == CAPITAL).all() and account.trades.empty and (account.fees == 0).all()


@given(market=markets(), factor=st.sampled_from([0.5, 7.0]))
@settings(max_examples=20, deadline=None)
def test_money_and_prices_have_no_scale(market, factor):
    bars, targets = market
    base = run_account(bars, np.array(targets), 3.5e-4, CAPITAL)
    dearer = Tape(bars.times, bars.close * factor, bars.rate_difference)
    richer = run_account(dearer, np.array(targets), 3.5e-4, CAPITAL * 100)
    np.testing.assert_allclose(richer.equity, base.equity * 100, rtol=1e-9)


def test_fifty_round_trips_at_exp1s_spread_cost_31_percent_of_the_capital():
    # 37.5 bps a side: equity E buys E, so a round trip on an unmoved price leaves E x (1 - 2 x 0.00375)
    n_trips, cost = 50, 0.00375
    targets = np.append(np.tile([1, 1, 0, 0], n_trips), [0, 0])
    account = run_account(tape(np.full(len(targets), 4000.0)), targets, cost, 1e5)
    assert len(account.trades) == n_trips
    assert account.equity[-1] / 1e5 == pytest.approx((1 - 2 * cost) ** n_trips)
    assert 1 - account.equity[-1] / 1e5 == pytest.approx(0.31, abs=0.005)


def test_bars_are_labelled_by_their_open_so_a_fill_stands_at_the_bar_that_closes_there():
    account = run([100, 101, 102, 103, 104, 105], [1, 0, 0, 0, 0, 0], cost=0.0)
    opened = account.trades.iloc[0]
    assert (opened["entry_price"], opened["exit_price"]) == (101, 102)
    assert tape([1, 2]).times[1] - tape([1, 2]).times[0] == BAR


@pytest.mark.parametrize(
    "targets",
    [
        np.ones(3),
        np.full(4, 0.5),
        np.full(4, np.nan),
        np.full(4, np.inf),
        np.full(4, 2),
        np.full(4, -2),
        np.full(4, 257),
        np.full(4, -128, dtype=np.int8),
    ],
)
def test_targets_that_do_not_fit_the_bars_are_refused(targets):
    times = pd.date_range("2025-07-01 13:00", periods=4, freq="5min", tz="UTC")
    tape = Tape(times, np.full(4, 4000.0), np.zeros(4))
    with warnings.catch_warnings(), pytest.raises(DataError) as refused:
        warnings.simplefilter("error")
        run_account(tape, targets, 0.0, 1e5)
    said = f"found {len(targets)} targets with values {[targets[0].item()]}; give one target a bar"
    assert str(refused.value) == f"targets: one of -1, 0 or 1 is needed for each of 4 bars, {said}"


def test_of_many_wrong_targets_the_refusal_names_five_values():
    with pytest.raises(DataError, match=r"found 8 targets with values \[0, 1, 2, 3, 4\];"):
        run([100.0] * 4, [7, 6, 5, 4, 3, 2, 1, 0])
