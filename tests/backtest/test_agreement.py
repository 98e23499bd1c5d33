"""Our account beside vectorbt's and backtesting.py's, our ratios beside empyrical's, on the same targets."""

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from dosvotos.backtest.metrics import daily_returns, drawdowns, measure
from dosvotos.market.accounting import Account, Tape, run_account
from tests.backtest.windows import bar_times, sessions
from tests.conftest import ROOT
from tests.printed import blocks_of

pytestmark = pytest.mark.slow

CAPITAL = 100_000.0
N_SESSIONS = 8
N_BARS = 60 * N_SESSIONS


class Case(NamedTuple):
    """Closes, targets and a cost a side; bars that are missing."""

    close: np.ndarray
    targets: np.ndarray
    cost: float = 3.5e-4
    missing: tuple[int, ...] = ()


def walk(seed: int, step: float = 1e-3) -> np.ndarray:
    return 4000 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, step, N_BARS)))


def moods(seed: int, keep: float, sides: tuple[int, ...] = (-1, 0, 1)) -> np.ndarray:
    """Random targets, each kept with a probability."""
    random = np.random.default_rng(seed)
    fresh, stays = random.choice(sides, N_BARS), random.random(N_BARS) < keep
    places = np.maximum.accumulate(np.where(stays, 0, np.arange(N_BARS)))
    return fresh[places]


def only(first: int, last: int, side: int) -> np.ndarray:
    targets = np.zeros(N_BARS, dtype=int)
    targets[first:last] = side
    return targets


def leap(bar: int, factor: float) -> np.ndarray:
    close = walk(9)
    close[bar:] *= factor
    return close


GAPS = tuple(range(55, 130)) + tuple(range(200, 215)) + (300, 301, 359, 360)
CASES = {
    **{f"random, kept {k:.0%}": Case(walk(i), moods(i, k)) for i, k in enumerate((0, 0.5, 0.9, 0.98))},
    "without cost": Case(walk(11), moods(11, 0.9), 0.0),
    "at 37.5 bps a side": Case(walk(12), moods(12, 0.9), 0.00375),
    "a flip at every bar": Case(walk(13), np.resize([1, -1], N_BARS)),
    "long or short, never flat": Case(walk(14), moods(14, 0.8, (-1, 1))),
    "always long": Case(walk(15), only(0, N_BARS, 1)),
    "always short": Case(walk(16), only(0, N_BARS, -1)),
    "all flat": Case(walk(17), only(0, 0, 1)),
    "one long trade": Case(walk(18), only(100, 200, 1)),
    "one short trade of one bar": Case(walk(19), only(100, 101, -1)),
    "an order on the last but two bars": Case(walk(20), only(N_BARS - 3, N_BARS, 1)),
    "orders on the last two bars only": Case(walk(21), only(N_BARS - 2, N_BARS, -1)),
    "nights that leap": Case(leap(120, 1.08) * np.where(np.arange(N_BARS) >= 300, 0.9, 1.0), moods(22, 0.95)),
    "bars and a session missing": Case(walk(23), moods(23, 0.9), 3.5e-4, GAPS),
    "ruin of a short": Case(leap(150, 1.993), only(3, N_BARS, -1)),
    "ruin beyond everything": Case(leap(150, 2.6), only(3, N_BARS, -1)),
    "ruin of a long": Case(leap(150, 0.004), only(3, N_BARS, 1)),
    "ruin in small losses": Case(walk(24, 0.02), np.resize([1, -1], N_BARS), 0.03),
}  # fmt: skip


def tape_of_case(case: Case) -> Tape:
    there = ~np.isin(np.arange(N_BARS), case.missing)
    return Tape(bar_times(N_SESSIONS)[there], case.close[there], np.zeros(there.sum()))


def account_of_case(case: Case) -> Account:
    tape = tape_of_case(case)
    there = ~np.isin(np.arange(N_BARS), case.missing)
    return run_account(tape, case.targets[there], case.cost, CAPITAL)


def printed_for_vectorbt() -> dict[str, Any]:
    """The lines that docs/kedro.md prints, and a market of 20 sessions in which their averages cross."""
    blocks = blocks_of(ROOT / "docs/kedro.md")
    (code,) = (block.text for block in blocks if block.text.startswith("import vectorbt"))
    bars = np.arange(60 * 20)
    close = 4000 * np.exp(0.02 * np.sin(bars / 90) + np.random.default_rng(25).normal(0, 1e-3, len(bars)))
    times = [time.isoformat() for time in bar_times(20)]
    return {"code": code, "close": close.tolist(), "times": times}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the peers say, from a process of their own."""
    folder = tmp_path_factory.mktemp("peers")
    asked, printed, answered = (folder / f"{name}.json" for name in ("cases", "printed", "answers"))
    content = {}
    for name, case in CASES.items():
        tape = tape_of_case(case)
        content[name] = {
            "close": tape.close.tolist(),
            "targets": case.targets[~np.isin(np.arange(N_BARS), case.missing)].tolist(),
            "cost": case.cost,
            "capital": CAPITAL,
            "times": [time.isoformat() for time in tape.times],
            "sessions": sessions(N_SESSIONS).astype(str).tolist(),
        }
    asked.write_text(json.dumps(content))
    printed.write_text(json.dumps(printed_for_vectorbt()))
    command = [sys.executable, "-m", "tests.backtest.peers", str(asked), str(printed), str(answered)]
    run = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"are the test extras installed?\n{run.stderr}"
    return json.loads(answered.read_text())


@pytest.mark.parametrize("name", CASES)
def test_equity_fees_trades_and_drawdown_are_vectorbts(answers, name: str):
    account, peer = account_of_case(CASES[name]), answers[name]["vectorbt"]
    np.testing.assert_allclose(account.equity, peer["equity"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(account.fees, peer["fees"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(account.trades["pnl"], peer["pnl"], rtol=0, atol=1e-6)
    assert account.trades["entry_bar"].tolist() == peer["entry_bar"]
    assert account.trades["exit_bar"].tolist() == peer["exit_bar"]
    assert drawdowns(account.equity).max() == pytest.approx(peer["max_drawdown"], abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_equity_fees_trades_and_drawdown_are_those_of_backtesting_py(answers, name: str):
    account, peer = account_of_case(CASES[name]), answers[name]["backtesting"]
    *late, end = peer["equity_one_bar_late"]
    # a fill shows one bar late, but for the one that ends a run with less than nothing
    marks = np.where(np.array(late) == 0.0, account.equity, account.equity + account.fees)
    np.testing.assert_allclose(marks, late, rtol=0, atol=0.01)
    assert account.equity[-1] == pytest.approx(end, abs=0.01)
    np.testing.assert_allclose(account.trades["pnl"], peer["pnl"], rtol=0, atol=0.01)
    assert account.trades["entry_bar"].tolist() == peer["entry_bar"]
    assert account.trades["exit_bar"].tolist() == peer["exit_bar"]
    assert account.fees.sum() == pytest.approx(peer["fees"], abs=0.01)
    fall = drawdowns(np.append(marks, account.equity[-1])).max()
    assert fall == pytest.approx(peer["max_drawdown"], abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_ratios_and_drawdown_are_empyricals(answers, name: str):
    case, peer = CASES[name], answers[name]["empyrical"]
    found = measure(account_of_case(case), tape_of_case(case).times, sessions(N_SESSIONS))
    assert found.total_return == pytest.approx(peer["total_return"], abs=1e-9)
    assert found.max_drawdown == pytest.approx(peer["max_drawdown"], abs=1e-9)
    assert found.worst_day == pytest.approx(peer["worst_day"], abs=1e-9)
    if found.sharpe_ratio is None:
        assert np.isnan(peer["sharpe_ratio"])
    else:
        assert found.sharpe_ratio == pytest.approx(peer["sharpe_ratio"], abs=1e-6)
    if found.sortino_ratio is not None:  # without a loss empyrical says infinity
        assert found.sortino_ratio == pytest.approx(peer["sortino_ratio"], abs=1e-6)
    if found.calmar_ratio is not None:  # empyrical divides by the drawdown of session ends
        expected = peer["annual_return"] / peer["max_drawdown"]
        assert found.calmar_ratio == pytest.approx(expected, abs=1e-6)


def test_the_cases_are_what_their_names_say():
    accounts = {name: account_of_case(case) for name, case in CASES.items()}
    ruined = {name for name, account in accounts.items() if account.ruined}
    assert ruined == {name for name in CASES if name.startswith("ruin")}
    assert accounts["ruin beyond everything"].equity[-1] == 0 < accounts["ruin of a long"].equity[-1]
    n_trades = {name: len(account.trades) for name, account in accounts.items()}
    assert {name for name, n in n_trades.items() if n == 0} == {
        "all flat",
        "orders on the last two bars only",
    }
    assert n_trades["one long trade"] == n_trades["one short trade of one bar"] == 1
    assert n_trades["a flip at every bar"] == N_BARS - 2
    gaps = CASES["bars and a session missing"]
    returns = daily_returns(account_of_case(gaps).equity, tape_of_case(gaps).times, sessions(N_SESSIONS))
    assert returns[1] == 0 != returns[2]


def test_the_lines_printed_for_vectorbt_fill_at_the_next_close_and_pay_our_cost(answers):
    close = np.array(printed_for_vectorbt()["close"])
    cash, units, filled, values = 100.0, 0.0, 0, []
    for bar, price in enumerate(close):
        known = close[:bar]  # decided at the close before
        above = len(known) >= 600 and known[-60:].mean() > known[-600:].mean()
        if above and units == 0:
            cash, units, filled = 0.0, cash / (price * 1.00035), filled + 1
        elif len(known) >= 600 and not above and units > 0:
            cash, units, filled = units * price * (1 - 0.00035), 0.0, filled + 1
        values.append(cash + units * price)
    assert filled >= 3
    np.testing.assert_allclose(answers["printed"], values, rtol=1e-9)
