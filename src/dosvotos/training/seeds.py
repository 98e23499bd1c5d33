"""Training of an experiment's seeds in parallel: one process a core, each on one thread."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import DosVotosError, TrainingError
from dosvotos.files import write_file
from dosvotos.market.normalization import NormStats
from dosvotos.training.results import ProgressCallback, TrainingProgress, TrainingResult

Train = Callable[[int, ProgressCallback], TrainingResult]
_ROW_FILES = ("train.parquet", "val.parquet")


def available_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train_seeds(
    parameters: Parameters,
    train_rows: pd.DataFrame,
    val_rows: pd.DataFrame,
    norm_stats: NormStats,
    folder: Path,
    progress: ProgressCallback,
    workers: int,
) -> list[TrainingResult]:
    """Train every seed of an experiment, in parallel processes if there are several workers.

    Parameters
    ----------
    parameters : Parameters
    train_rows, val_rows, norm_stats
        As `train` takes them.
    folder : Path
        Holds the checkpoints, from which an interrupted call resumes. The caller removes it.
    progress : callable
        Called after every rollout and validation of every seed.
    workers : int
        Processes at a time; a single worker is this process. The results do not depend on it.

    Returns
    -------
    list of TrainingResult
        In the order of ``training.seeds``.

    Raises
    ------
    DataError
        As `train` does.
    TrainingError
        If a seed's process dies. The other processes are terminated.
    """
    seeds = parameters.training.seeds
    if min(workers, len(seeds)) <= 1:
        training = _SeedTraining(parameters, (train_rows, val_rows), norm_stats, folder)
        return [training.train(seed, progress) for seed in seeds]
    for name, rows in zip(_ROW_FILES, (train_rows, val_rows), strict=True):
        write_file(folder / name, rows.to_parquet())
    train = _SeedTraining(parameters, None, norm_stats, folder).train
    results = train_in_processes(train, seeds, progress, workers)
    return [results[seed] for seed in seeds]


def select_candidate(results: list[TrainingResult]) -> TrainingResult:
    """Return the result with the best return on val, the first of equal ones."""
    return max(results, key=lambda result: result.best_val_return)


@dataclass(frozen=True)
class _SeedTraining:
    """The inputs that all seeds share; pickled for the worker processes."""

    parameters: Parameters
    rows: tuple[pd.DataFrame, pd.DataFrame] | None
    """Rows of train and val; None if the processes read them from the folder."""
    norm_stats: NormStats
    folder: Path

    def train(self, seed: int, progress: ProgressCallback) -> TrainingResult:
        from dosvotos.training.checkpoint import CheckpointFile
        from dosvotos.training.ppo import train

        train_rows, val_rows = self.rows or (pd.read_parquet(self.folder / name) for name in _ROW_FILES)
        rows = (train_rows, val_rows)
        checkpoint = CheckpointFile.for_seed(self.folder, self.parameters, seed, rows, self.norm_stats)
        return train(self.parameters, seed, train_rows, val_rows, self.norm_stats, progress, checkpoint)


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    seed: int | None
    """The seed in training; None if there is none left."""

    def assign(self, seed: int | None) -> None:
        self.seed = seed
        with suppress(BrokenPipeError):  # the next receive finds the dead process
            self.connection.send(seed)


def train_in_processes(
    train: Train, seeds: tuple[int, ...], progress: ProgressCallback, workers: int
) -> dict[int, TrainingResult]:
    """Train seeds in at most `workers` processes at a time; none outlives this call."""
    waiting, results = iter(seeds), dict[int, TrainingResult]()
    pool = [_start_worker(train, seed) for seed in islice(waiting, workers)]
    try:
        while busy := {w.connection: w for w in pool if w.seed is not None}:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                message = _receive(worker)
                if isinstance(message, TrainingProgress):
                    progress(message)
                elif isinstance(message, TrainingResult):
                    results[message.seed] = message
                    worker.assign(next(waiting, None))
                else:
                    raise message
    except BaseException:
        for worker in pool:
            worker.process.terminate()
        raise
    finally:
        for worker in pool:
            worker.process.join()
    return results


def _start_worker(train: Train, seed: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    name = f"training of seed {seed}"
    process = context.Process(target=_run_worker, args=(train, child_end), name=name, daemon=True)
    process.start()
    child_end.close()
    worker = _Worker(process, parent_end, seed)
    worker.assign(seed)
    return worker


def _receive(worker: _Worker) -> TrainingProgress | TrainingResult | Exception:
    try:
        message: TrainingProgress | TrainingResult | Exception = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return TrainingError(
            f"training.seeds: the process of seed {worker.seed} {how} before its training was over; out of "
            "memory perhaps? Run the same command again: every seed goes on from its last validation"
        )
    return message


def _run_worker(train: Train, parent: Connection) -> None:
    """Train the seeds that the parent sends, until it sends None or dies; Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (seed := parent.recv()) is not None:
            try:
                parent.send(train(seed, parent.send))
            except DosVotosError as error:
                parent.send(error)
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception:
                parent.send(RuntimeError(f"training of seed {seed}:\n{traceback.format_exc()}"))
