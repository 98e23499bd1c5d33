"""How fast a window is simulated and accounted, and how far our account lies from vectorbt's.

All in one process on one thread, after a warm-up, in rounds: a round measures each of them once, a figure is
the median of the rounds' ratios. Ratios are of CPU seconds, so that other load counts on neither side.

`vs_sb3_loop` sets `policy_targets` against the loop anyone would write first: `model.predict` at each bar
with the position then held, same weights. `vs_floor` sets it against the matrix products and tanh of every
bar at each of three positions, in batches that fit the cache, into memory that is there already; below 1
because most bars need to be asked for one position only. `answers_a_bar` is how many were. The policy was
trained on the planted market of learning.py. `accounting_bars_per_s` is `run_account` over a million bars.
`max_equity_difference_vectorbt` is in dollars of an account of
100,000, over 20,000 bars. `peak_mib_1m` is what a million bars take beyond their own rows.

Needs ``pip install -e '.[test]'``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pandas as pd
import torch as th
from learning import EASY, parameters_for, planted_rows
from rich.console import Console
from rich.table import Table
from rivals import ROOT
from stable_baselines3 import PPO

from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.policy.forward import ServedPolicy
from dosvotos.training.ppo import train
from dosvotos.training.threads import use_one_thread

COST, CAPITAL, MILLION, BATCH, SEED = 3.5e-4, 100_000.0, 1_000_000, 1024, 0


class Spaces(gym.Env):
    """Spaces only: nothing is ever stepped."""

    observation_space = gym.spaces.Box(-5.0, 5.0, (len(FEATURE_ORDER),), np.float32)
    action_space = gym.spaces.Discrete(3)


def trained(rows: pd.DataFrame, val: pd.DataFrame, timesteps: int) -> tuple[PPO, ServedPolicy]:
    """A policy trained on the rows, and the same weights in stock SB3."""
    parameters = parameters_for(EASY, 0, timesteps)
    policy = train(parameters, SEED, rows, val, fit_norm_stats(rows), lambda _: None).policy
    model = PPO("MlpPolicy", Spaces(), seed=0, device="cpu", policy_kwargs={"net_arch": [64, 64]})
    names = {"mlp_extractor.policy_net.0": "hidden.0", "mlp_extractor.policy_net.2": "hidden.1"}
    names |= {"action_net": "action"}
    state = model.policy.state_dict()
    for theirs, ours in names.items():
        for part in ("weight", "bias"):
            state[f"{theirs}.{part}"] = th.from_numpy(policy.tensors[f"{ours}.{part}"])
    model.policy.load_state_dict(state)
    return model, policy


def sb3_loop(model: PPO, policy: ServedPolicy, rows: pd.DataFrame) -> np.ndarray:
    """The policy asked at each bar with the position it then holds."""
    features, clock = rows[list(MARKET_FEATURES)].to_numpy(float), rows["time_normalized"].to_numpy(float)
    market = policy.norm_stats.apply(features).astype(np.float32)
    observation, targets, held = np.zeros(len(FEATURE_ORDER), np.float32), np.zeros(len(rows), np.int8), 0
    for t in range(len(rows)):
        observation[:13], observation[13], observation[14] = market[t], held, clock[t]
        action, _ = model.predict(observation, deterministic=True)
        targets[t] = held = int(action) - 1
    return targets


def floor(policy: ServedPolicy) -> Callable[[int], None]:
    """Matrix products and tanh of so many bars x three positions, and nothing else."""
    weights = {name: tensor.astype(float) for name, tensor in policy.tensors.items()}
    n_rows = 3 * BATCH
    inputs = np.random.default_rng(0).normal(size=(n_rows, len(FEATURE_ORDER)))
    first, second, logits = np.empty((n_rows, 64)), np.empty((n_rows, 64)), np.empty((n_rows, 3))

    def run(n_bars: int) -> None:
        for _ in range(n_bars // BATCH):
            np.tanh(np.matmul(inputs, weights["hidden.0.weight"].T, out=first), out=first)
            np.tanh(np.matmul(first, weights["hidden.1.weight"].T, out=second), out=second)
            np.matmul(second, weights["action.weight"].T, out=logits)

    return run


def cpu_seconds_a_bar(work: Callable[[], object], n_bars: int) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / n_bars


def answers_a_bar(policy: ServedPolicy, rows: pd.DataFrame) -> float:
    """Forward passes a bar."""
    asked = []

    class Counted(ServedPolicy):
        def logits(self, observations: np.ndarray) -> np.ndarray:
            asked.append(len(observations))
            return super().logits(observations)

    policy_targets(Counted(policy.tensors, policy.norm_stats), rows)
    return sum(asked) / len(rows)


def long_tape(rows: pd.DataFrame, targets: np.ndarray) -> tuple[Tape, np.ndarray]:
    """A million bars: the rows' own moves and targets, over and over."""
    steps = np.resize(np.diff(np.log(rows["close"].to_numpy()), prepend=np.log(4000)), MILLION)
    steps[0] = 0.0
    times = pd.date_range("2000-01-03", periods=MILLION, freq="5min", tz="UTC")
    close = 4000 * np.exp(np.cumsum(np.where(np.abs(steps) < 1, steps, 0.0)))
    return Tape(times, close, np.zeros(MILLION)), np.resize(targets, MILLION)


def accounting_bars_per_s(tape: Tape, targets: np.ndarray, rounds: int) -> float:
    def work() -> object:
        return run_account(tape, targets, COST, CAPITAL)

    work()
    return 1 / float(np.median([cpu_seconds_a_bar(work, MILLION) for _ in range(rounds)]))


def peak_mib(policy: ServedPolicy, rows: pd.DataFrame) -> float:
    """Memory a simulation and its account take beyond the rows they are given."""
    many = pd.concat([rows] * (MILLION // len(rows) + 1), ignore_index=True).iloc[:MILLION]
    tape, targets = long_tape(rows, np.zeros(len(rows)))
    tracemalloc.start()
    targets = policy_targets(policy, many)
    run_account(tape, targets, COST, CAPITAL)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def equity_difference_vectorbt(rows: pd.DataFrame, targets: np.ndarray) -> float:
    """Furthest our equity lies from vectorbt's, through the tests' own peers."""
    tape = Tape.from_rows(rows)
    case = {
        "close": tape.close.tolist(),
        "targets": targets.tolist(),
        "cost": COST,
        "capital": CAPITAL,
        "times": [time.isoformat() for time in tape.times],
        "sessions": sorted({str(time.date()) for time in tape.times}),
    }
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder) / "cases.json", Path(folder) / "answers.json"
        asked.write_text(json.dumps({"walk": case}))
        command = [sys.executable, "-m", "tests.backtest.peers", str(asked), str(told)]
        subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=True, capture_output=True)
        peer = json.loads(told.read_text())["walk"]["vectorbt"]
    equity = run_account(tape, targets, COST, CAPITAL).equity
    return float(np.abs(equity - peer["equity"]).max())


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and bars")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", category=UserWarning)
    threads = use_one_thread()
    rows = planted_rows(EASY, 1, 500 if quick else 1500)[0]
    model, policy = trained(rows, planted_rows(EASY, 2, 120)[0], 65_536 if quick else 400_000)
    some = rows.iloc[: 1500 if quick else 6000]
    run_floor, whole = floor(policy), len(rows) // BATCH * BATCH
    engines: dict[str, tuple[Callable[[], object], int]] = {
        "SB3's predict at each bar": (lambda: sb3_loop(model, policy, some), len(some)),
        "policy_targets": (lambda: policy_targets(policy, rows), len(rows)),
        "matrix products and tanh": (lambda: run_floor(whole), whole),
    }
    for work, _ in engines.values():
        work()
    measured = pd.DataFrame(
        [
            {name: cpu_seconds_a_bar(*engine) for name, engine in engines.items()}
            for _ in range(5 if quick else 9)
        ]
    )
    sb3, ours, least = (measured[name] for name in engines)
    targets = policy_targets(policy, rows)
    agree = float((sb3_loop(model, policy, some) == targets[: len(some)]).mean())
    window = rows.iloc[: 3_000 if quick else 20_000]
    figures = {
        "vs_sb3_loop": round(float((sb3 / ours).median()), 1),
        "vs_floor": round(float((ours / least).median()), 2),
        "accounting_bars_per_s": round(accounting_bars_per_s(*long_tape(rows, targets), 5 if quick else 25)),
        "max_equity_difference_vectorbt": equity_difference_vectorbt(window, targets[: len(window)]),
        "bars_per_s": round(float((1 / ours).median())),
        "answers_a_bar": round(answers_a_bar(policy, rows), 2),
        "same_as_sb3_loop": agree,
        "peak_mib_1m": round(peak_mib(policy, rows), 1),
    }
    table = Table(
        "engine", "microseconds a bar", "lowest", "highest", title=f"{len(measured)} rounds, {threads}"
    )
    for name, seconds in (1e6 * measured).items():
        table.add_row(str(name), *(f"{v:.2f}" for v in (seconds.median(), seconds.min(), seconds.max())))
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
