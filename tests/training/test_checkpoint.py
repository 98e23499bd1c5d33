"""An interrupted training ends with the very model the uninterrupted one ends with."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dosvotos.contracts.experiment import make_contract
from dosvotos.contracts.parameters import Parameters
from dosvotos.hashing import digest_bytes
from dosvotos.pipelines.training.nodes import bundle_files
from dosvotos.policy.bundle import write_bundle
from dosvotos.training.checkpoint import CheckpointFile
from dosvotos.training.ppo import train
from dosvotos.training.results import TrainingProgress, TrainingResult, training_metrics
from tests.conftest import ROOT
from tests.training.short_training import ROLLOUT, SEED, norm_stats, small_parameters, train_rows, val_rows


class InterruptedTrainingError(Exception):
    pass


def several_phases(engine: str = "fast", patience: int = 99, own: dict | None = None) -> Parameters:
    """Several phases, several validations a phase, a rollout between validations."""
    phases = (("free", 3 * ROLLOUT, 0.0, 0.0), ("half", 2 * ROLLOUT, 0.5, 0.5), ("final", 7 * ROLLOUT, 1, 1))
    return small_parameters(phases=phases, evaluation_rollouts=2, patience=patience, engine=engine, own=own)


def checkpoint_in(folder: Path, parameters: Parameters, seed: int = SEED) -> CheckpointFile:
    return CheckpointFile.for_seed(folder, parameters, seed, (train_rows(), val_rows()), norm_stats())


def run(parameters: Parameters, folder: Path | None = None, stop_after: int | None = None) -> TrainingResult:
    """Train to the end, or until `stop_after` progress reports."""
    reports = []

    def report(progress: TrainingProgress) -> None:
        reports.append(progress)
        if len(reports) == stop_after:
            raise InterruptedTrainingError

    checkpoint = checkpoint_in(folder, parameters) if folder else None
    return train(parameters, SEED, train_rows(), val_rows(), norm_stats(), report, checkpoint)


@cache
def whole(engine: str, patience: int = 99) -> TrainingResult:
    return run(several_phases(engine, patience))


def manifest_hash(result: TrainingResult, parameters: Parameters, folder: Path) -> str:
    """Of the bundle that L3 would write."""
    contract = make_contract(parameters, date(2026, 7, 31), "ana")
    metrics = training_metrics(parameters.training.engine, result, [result])
    return write_bundle(folder, result.policy, bundle_files(contract, result, metrics, None)).manifest_hash


def assert_same(result: TrainingResult, expected: TrainingResult) -> None:
    assert result.policy.model_hash == expected.policy.model_hash
    assert digest_bytes(result.sb3_zip) == digest_bytes(expected.sb3_zip)
    assert result.curve == expected.curve
    assert (result.timesteps, result.best_val_return) == (expected.timesteps, expected.best_val_return)
    assert result.best_val_score == expected.best_val_score
    assert result.best_episode_reward == expected.best_episode_reward


@pytest.mark.parametrize(
    ("engine", "reports"),
    [
        *(("fast", reports) for reports in (1, 6, 9, 13)),
        ("sb3", 6),
        *(pytest.param("sb3", reports, marks=pytest.mark.campaign) for reports in (1, 9, 13)),
    ],
)
def test_wherever_a_training_is_interrupted_it_ends_the_same(engine: str, reports: int, tmp_path: Path):
    with pytest.raises(InterruptedTrainingError):
        run(several_phases(engine), tmp_path, stop_after=reports)
    np.random.seed(1)  # noqa: NPY002  draws made elsewhere in between
    resumed, parameters = run(several_phases(engine), tmp_path), several_phases(engine)
    assert_same(resumed, whole(engine))
    made = [manifest_hash(result, parameters, tmp_path / "m") for result in (resumed, whole(engine))]
    assert made[0] == made[1], "an interruption shows in no byte of the bundle"


def test_a_training_that_started_as_the_linear_rival_goes_on_from_where_it_was(tmp_path: Path):
    parameters = several_phases(own={"start": "linear", "flat_overnight": True})
    with pytest.raises(InterruptedTrainingError):
        run(parameters, tmp_path, stop_after=9)
    resumed, uninterrupted = run(parameters, tmp_path), run(parameters)
    assert_same(resumed, uninterrupted)
    assert resumed.policy.model_hash != whole("fast").policy.model_hash


def test_a_training_interrupted_at_every_turn_ends_the_same(tmp_path: Path):
    for _ in range(40):
        try:
            result = run(several_phases(), tmp_path, stop_after=4)
        except InterruptedTrainingError:
            continue
        break
    assert_same(result, whole("fast"))


@pytest.mark.parametrize("engine", ["fast", "sb3"])
def test_a_training_that_was_over_is_taken_up_without_a_step_more(engine: str, tmp_path: Path):
    run(several_phases(engine), tmp_path)
    reports: list[TrainingProgress] = []
    checkpoint = checkpoint_in(tmp_path, several_phases(engine))
    again = train(
        several_phases(engine), SEED, train_rows(), val_rows(), norm_stats(), reports.append, checkpoint
    )
    assert_same(again, whole(engine))
    assert reports == []


def test_patience_goes_on_where_it_was(tmp_path: Path):
    still = small_parameters(
        phases=(("final", 40 * ROLLOUT, 1.0, 1.0),), learning_rate=1e-12, patience=3, n_epochs=1
    )
    expected = run(still)
    with pytest.raises(InterruptedTrainingError):
        run(still, tmp_path, stop_after=5)
    assert_same(run(still, tmp_path), expected)
    assert_same(run(still, tmp_path), expected)  # out of patience already


def test_checkpoints_change_nothing(tmp_path: Path):
    assert_same(run(several_phases(), tmp_path), whole("fast"))


def test_seconds_before_the_interruption_count(tmp_path: Path):
    with pytest.raises(InterruptedTrainingError):
        run(several_phases(), tmp_path, stop_after=9)
    saved = checkpoint_in(tmp_path, several_phases()).load().values["course"]["seconds"]
    assert run(several_phases(), tmp_path).duration_seconds > saved > 0


# ---- checkpoints that are not restored


@pytest.mark.parametrize(
    "other",
    [
        {"learning_rate": 2e-3},
        {"episode_bars": 61},
        {"engine": "sb3"},
        {"phases": (("free", 4 * ROLLOUT, 0.0, 0.0), ("final", 7 * ROLLOUT, 1, 1))},
    ],
)
def test_a_checkpoint_of_another_contract_is_not_taken_up(other: dict, tmp_path: Path, caplog):
    checkpoint = checkpoint_in(tmp_path, small_parameters())
    run(small_parameters(), tmp_path)
    assert checkpoint.load() is not None
    with caplog.at_level("INFO", "dosvotos"):
        assert checkpoint_in(tmp_path, small_parameters(**other)).load() is None
    assert "of another contract, dataset or version: this seed begins anew" in caplog.text


def test_a_checkpoint_of_other_data_is_not_taken_up(tmp_path: Path):
    run(small_parameters(), tmp_path)
    edited = train_rows().copy()
    edited.iloc[5, 0] += 1e-9
    for rows in ((edited, val_rows()), (train_rows(), train_rows())):
        assert CheckpointFile.for_seed(tmp_path, small_parameters(), SEED, rows, norm_stats()).load() is None


def test_the_other_seeds_of_a_contract_play_no_part_in_a_seed_s_checkpoint(tmp_path: Path):
    several = small_parameters().training.model_copy(update={"seeds": (1, SEED)})
    longer = small_parameters().model_copy(update={"training": several})
    assert checkpoint_in(tmp_path, longer) == checkpoint_in(tmp_path, small_parameters())
    assert checkpoint_in(tmp_path, longer, seed=1).key != checkpoint_in(tmp_path, longer).key


def test_a_damaged_checkpoint_is_not_taken_up_and_the_log_says_so(tmp_path: Path, caplog):
    with pytest.raises(InterruptedTrainingError):
        run(several_phases(), tmp_path, stop_after=9)
    path = checkpoint_in(tmp_path, several_phases()).path
    content = path.read_bytes()
    for damaged in (content[:-1], content[:40], b"", content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        caplog.clear()
        assert checkpoint_in(tmp_path, several_phases()).load() is None
        assert "this seed begins anew" in caplog.text
    assert_same(run(several_phases(), tmp_path), whole("fast"))


def test_nothing_in_a_checkpoint_is_pickled(tmp_path: Path):
    run(small_parameters(), tmp_path)
    content = checkpoint_in(tmp_path, small_parameters()).path.read_bytes()
    header = int.from_bytes(content[:8], "little")
    assert content[8:9] == b"{" and header < len(content)
    assert b"\x80\x04" not in content[:header] and b"pickle" not in content


# ---- a real process, really killed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "how"),
    [("fast", signal.SIGKILL), pytest.param("sb3", signal.SIGINT, marks=pytest.mark.campaign)],
)
def test_a_killed_process_leaves_what_another_one_ends_with_the_same_model(
    engine: str, how: signal.Signals, tmp_path: Path
):
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.test_checkpoint", engine, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    place = checkpoint_in(tmp_path, several_phases(engine)).path
    while not place.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(random.Random(os.getpid()).uniform(0, 0.3))
    process.send_signal(how)
    process.wait(timeout=30)
    assert process.returncode != 0 and b"done" not in process.stdout.read()
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [place.name]
    assert_same(run(several_phases(engine), tmp_path), whole(engine))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job has ignored
    run(several_phases(sys.argv[1]), Path(sys.argv[2]))
    time.sleep(30)  # long enough to be killed, whatever the speed
    print("done")
