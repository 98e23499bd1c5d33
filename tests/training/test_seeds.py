"""Several seeds: the same models however many processes train them, and no process left behind."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import DataError, TrainingError
from dosvotos.training import seeds
from dosvotos.training.ppo import train
from dosvotos.training.results import (
    TrainingMetrics,
    TrainingProgress,
    TrainingResult,
    summarize_returns,
    training_metrics,
)
from dosvotos.training.seeds import (
    dismiss_workers,
    prepare_workers,
    select_candidate,
    train_in_processes,
    train_seeds,
)
from tests.conftest import ROOT
from tests.forked import processes
from tests.training import fake_training
from tests.training.short_training import ROLLOUT, Phase, norm_stats, small_parameters, train_rows, val_rows

SHORT: tuple[Phase, ...] = (("free", ROLLOUT, 0.0, 0.0), ("final", 2 * ROLLOUT, 1.0, 1.0))


def with_seeds(*seeds: int, phases: tuple[Phase, ...] = SHORT, **changes: float) -> Parameters:
    parameters = small_parameters(phases=phases, **changes)
    return parameters.model_copy(update={"training": parameters.training.model_copy(update={"seeds": seeds})})


def trained(
    parameters: Parameters, folder: Path, workers: int, progress=lambda _: None
) -> list[TrainingResult]:
    return train_seeds(parameters, train_rows(), val_rows(), norm_stats(), folder, progress, workers)


@cache
def alone(seed: int) -> TrainingResult:
    return train(with_seeds(seed), seed, train_rows(), val_rows(), norm_stats())


def children() -> list:
    return multiprocessing.active_children()


@pytest.fixture
def forked(monkeypatch) -> None:
    """Processes of a training are forked with their imports done, where none of them is to load torch."""
    context = processes()
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)


# ---- the same however they are trained


def test_seeds_one_after_the_other_are_each_the_model_it_is_alone(tmp_path: Path):
    results = trained(with_seeds(7, 142, 42), tmp_path, workers=1)
    assert [result.seed for result in results] == [7, 142, 42]
    for result in results:
        assert result.policy.model_hash == alone(result.seed).policy.model_hash
        assert result.sb3_zip == alone(result.seed).sb3_zip
        assert result.curve == alone(result.seed).curve
    assert len({result.policy.model_hash for result in results}) == 3


@pytest.mark.slow
def test_seeds_beside_each_other_are_each_the_model_it_is_alone_in_the_contract_s_order(tmp_path: Path):
    reports: list[TrainingProgress] = []
    results = trained(with_seeds(142, 7, 42), tmp_path, 2, reports.append)
    assert [result.seed for result in results] == [142, 7, 42]
    for result in results:
        assert result.policy.model_hash == alone(result.seed).policy.model_hash
        assert result.sb3_zip == alone(result.seed).sb3_zip
        assert result.curve == alone(result.seed).curve
        assert (result.torch_threads, result.blas_threads) == (1, 1)
    assert {report.seed for report in reports} == {7, 42, 142}
    assert max(report.done for report in reports) == 3 * ROLLOUT
    assert children() == []


def test_the_candidate_is_the_best_on_val_and_of_equal_ones_the_first(tmp_path: Path):
    results = trained(with_seeds(7, 142, 42), tmp_path, workers=1)
    best = select_candidate(results)
    assert best.best_val_score == max(result.best_val_score for result in results)
    best.best_val_score = min(result.best_val_score for result in results)
    for result in results:
        result.best_val_score = best.best_val_score
    assert select_candidate(results) is results[0]


def test_mean_deviation_and_worst_of_the_seeds_by_hand():
    summary = summarize_returns([0.01, 0.04, -0.02])
    assert (summary.mean, summary.deviation, summary.worst) == pytest.approx((0.01, 0.03, -0.02))
    assert summarize_returns([0.05]).model_dump() == {"mean": 0.05, "deviation": None, "worst": 0.05}


def test_the_metrics_in_a_bundle_are_of_the_same_bytes_whatever_the_durations(tmp_path: Path):
    results = trained(with_seeds(7, 42), tmp_path, workers=1)
    metrics = training_metrics("fast", select_candidate(results), results)
    content = json.loads(metrics.reproducible_json())
    assert list(content) == [
        "best_reward", "best_val_reward", "engine", "final_phase", "seed", "seeds", "timesteps", "val",
    ]  # fmt: skip
    assert list(content["seeds"][0]) == [
        "best_reward", "best_val_reward", "curve", "model_hash", "seed", "timesteps",
    ]  # fmt: skip
    assert [seed["curve"][-1]["val_return"] for seed in content["seeds"]] == [
        result.curve[-1].val_return for result in results
    ]
    for result in results:
        result.duration_seconds += 5.0
        result.torch_threads, result.blas_threads = 2, None
    later = training_metrics("fast", select_candidate(results), results)
    assert later.seeds[0].duration_seconds == pytest.approx(metrics.seeds[0].duration_seconds + 5.0, abs=2e-3)
    assert later.reproducible_json() == metrics.reproducible_json()
    assert TrainingMetrics.model_validate_json(metrics.model_dump_json()) == metrics


# ---- what goes wrong


def test_a_seed_that_diverges_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"diverged in free with seed 7: .*learning_rate, now 1e\+30"):
        trained(with_seeds(7, 42, learning_rate=1e30), tmp_path, workers=1)


@pytest.mark.usefixtures("forked")
def test_processes_give_the_seeds_in_any_number_and_tell_all_of_them():
    reports: list[TrainingProgress] = []
    results = train_in_processes(fake_training.train, (3, 1, 2), reports.append, workers=2)
    assert {seed: result.timesteps for seed, result in results.items()} == {1: 1, 2: 2, 3: 3}
    assert sorted(report.seed for report in reports) == [1, 2, 3]
    assert children() == []


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (fake_training.DIVERGES, DataError, "training diverged"),
        (fake_training.FAILS, RuntimeError, f"training of seed {fake_training.FAILS}:\n.*ZeroDivisionError"),
        (
            fake_training.IS_KILLED,
            TrainingError,
            rf"training\.seeds: the process of seed {fake_training.IS_KILLED} was ended by SIGKILL.*"
            r"out of memory perhaps\? .*goes on from its last validation",
        ),
        (
            fake_training.EXITS,
            TrainingError,
            rf"process of seed {fake_training.EXITS} ended with exit code 3",
        ),
    ],
)
def test_what_ends_one_seed_is_told_with_its_name_and_ends_the_others(seed: int, error: type, message: str):
    with pytest.raises(error, match=f"(?s){message}"):
        train_in_processes(fake_training.train, (fake_training.ENDLESS, seed), lambda _: None, workers=2)
    assert children() == []


@pytest.mark.parametrize("how", [pytest.param(signal.SIGINT, marks=pytest.mark.campaign), signal.SIGKILL])
def test_without_its_parent_no_process_goes_on(how: signal.Signals):
    command = [sys.executable, "-m", "tests.training.fake_training"]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2 and all(map(at_work, pids))
    parent.send_signal(how)
    parent.wait(timeout=60)
    deadline = time.monotonic() + 60
    while any(map(at_work, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(at_work, pids))


def at_work(pid: int) -> bool:
    """Whether a process runs; one that only waits to be counted as dead does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def prepared(monkeypatch) -> list[str]:
    """A training prepared for on two cores; the modules that its processes would be forked with."""
    processes(), monkeypatch.delitem(sys.modules, "torch")  # one process to fork from, with imports of ours
    asked: list[str] = []
    monkeypatch.setattr(seeds.forkserver, "set_forkserver_preload", asked.extend)
    monkeypatch.setattr(seeds, "available_cores", lambda: 2)
    prepare_workers()
    yield asked
    dismiss_workers()


def parents_of(processes: Iterable[BaseProcess]) -> Iterator[int]:
    """Parents of the processes that have not ended meanwhile."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            yield psutil.Process(process.pid).ppid()


@pytest.mark.parametrize(("n_seeds", "begin"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (7, 3)])
def test_what_full_rounds_would_leave_over_is_forked_first_and_no_core_waits(prepared, n_seeds, begin):
    assert prepared == ["dosvotos.process_settings", "dosvotos.training.ppo"] and children() == []
    at_work, parents, seeds_of = list[int](), set[int](), tuple(range(1, n_seeds + 1))

    def look(report: TrainingProgress) -> None:
        at_work.append(len(children()))
        parents.update(parents_of(children()))

    results = train_in_processes(fake_training.train, seeds_of, look, workers=2)
    assert sorted(results) == list(seeds_of) and at_work[0] == begin
    assert len(parents) == 1 and os.getpid() not in parents, "forked from the one that loads torch"
    assert children() == []


def test_after_its_run_a_training_is_not_prepared_for_any_more(prepared):
    assert seeds._server.is_asked_for
    dismiss_workers()
    assert not seeds._server.is_asked_for


@pytest.mark.parametrize(
    ("cores", "is_loaded", "platform"), [(1, 0, "linux"), (2, 1, "linux"), (2, 0, "darwin")]
)
def test_no_process_is_prepared_on_one_core_elsewhere_or_where_torch_is_loaded(
    monkeypatch, cores, is_loaded, platform
):
    if not is_loaded:
        monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(seeds, "available_cores", lambda: cores)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(seeds.forkserver, "ensure_running", pytest.fail)
    prepare_workers()
    assert not seeds._server.is_asked_for


def test_the_parent_of_processes_loads_no_torch():
    asked = "import sys, dosvotos.pipelines.training; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_a_training_loads_no_compiler_of_torch():
    asked = (
        "import sys; from tests.training.test_seeds import alone; "
        "print(alone(7).policy.model_hash, 'torch._dynamo' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [alone(7).policy.model_hash, "False"]
