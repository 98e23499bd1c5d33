"""The seeds of one experiment beside each other: a process a core, each on one thread."""

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
from dosvotos.training.results import Progress, Standing, TrainingResult

Train = Callable[[int, Progress], TrainingResult]
_ROWS = ("train.parquet", "val.parquet")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train_seeds(
    parameters: Parameters,
    train_rows: pd.DataFrame,
    val_rows: pd.DataFrame,
    norm_stats: NormStats,
    folder: Path,
    progress: Progress,
    workers: int,
) -> list[TrainingResult]:
    """Train every seed of an experiment.

    Parameters
    ----------
    parameters : Parameters
    train_rows, val_rows, norm_stats
        As `train` takes them.
    folder : Path
        Where the checkpoints are: an interrupted call goes on from them. The caller removes it.
    progress : callable
        Told about every rollout of every seed.
    workers : int
        Processes beside each other; one worker is this process. The results do not depend on it.

    Returns
    -------
    list of TrainingResult
        In the order of ``training.seeds``.

    Raises
    ------
    DataError
        As `train` does, naming the seed where it is one's alone.
    TrainingError
        If a seed's process ended before its training did. The others are ended too.
    """
    seeds = parameters.training.seeds
    if min(workers, len(seeds)) <= 1:
        task = _Task(parameters, (train_rows, val_rows), norm_stats, folder)
        return [task.train(seed, progress) for seed in seeds]
    for name, rows in zip(_ROWS, (train_rows, val_rows), strict=True):
        write_file(folder / name, rows.to_parquet())
    results = train_beside(_Task(parameters, None, norm_stats, folder).train, seeds, progress, workers)
    return [results[seed] for seed in seeds]


def best_of(results: list[TrainingResult]) -> TrainingResult:
    """The candidate: the best on val, of equal ones the first."""
    return max(results, key=lambda result: result.best_val_return)


@dataclass(frozen=True)
class _Task:
    """What every seed is trained on."""

    parameters: Parameters
    rows: tuple[pd.DataFrame, pd.DataFrame] | None
    """Of train and val; None when they lie in the folder, for processes to read."""
    norm_stats: NormStats
    folder: Path

    def train(self, seed: int, progress: Progress) -> TrainingResult:
        from dosvotos.training.checkpoint import Checkpoint
        from dosvotos.training.ppo import train

        train_rows, val_rows = rows = self.rows or self._read()
        checkpoint = Checkpoint.of(self.folder, self.parameters, seed, rows, self.norm_stats)
        return train(self.parameters, seed, train_rows, val_rows, self.norm_stats, progress, checkpoint)

    def _read(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        train_rows, val_rows = (pd.read_parquet(self.folder / name) for name in _ROWS)
        return train_rows, val_rows


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    seed: int | None
    """At work on; None when there is nothing left to do."""

    def give(self, seed: int | None) -> None:
        self.seed = seed
        with suppress(BrokenPipeError):  # a dead process is found by the next look at its connection
            self.connection.send(seed)


def train_beside(
    train: Train, seeds: tuple[int, ...], progress: Progress, workers: int
) -> dict[int, TrainingResult]:
    """Train seeds in processes of their own, at most `workers` at a time; all end with this call."""
    waiting, results = iter(seeds), dict[int, TrainingResult]()
    running = [_start(train, seed) for seed in islice(waiting, workers)]
    try:
        while at_work := {w.connection: w for w in running if w.seed is not None}:
            for connection in wait(list(at_work)):
                assert isinstance(connection, Connection)
                worker = at_work[connection]
                message = _message_of(worker)
                if isinstance(message, Standing):
                    progress(message)
                elif isinstance(message, TrainingResult):
                    results[message.seed] = message
                    worker.give(next(waiting, None))
                else:
                    raise message
    except BaseException:
        for worker in running:
            worker.process.terminate()
        raise
    finally:
        for worker in running:
            worker.process.join()
    return results


def _start(train: Train, seed: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    name = f"training of seed {seed}"
    process = context.Process(target=_work, args=(train, theirs), name=name, daemon=True)
    process.start()
    theirs.close()
    worker = _Worker(process, ours, seed)
    worker.give(seed)
    return worker


def _message_of(worker: _Worker) -> Standing | TrainingResult | Exception:
    try:
        message: Standing | TrainingResult | Exception = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return TrainingError(
            f"training.seeds: the process of seed {worker.seed} {how} before its training was over; out of "
            "memory perhaps? Run the same command again: every seed goes on from its last validation"
        )
    return message


def _work(train: Train, parent: Connection) -> None:
    """Train the seeds the parent names, until it names none; it alone hears Ctrl-C, without it work ends."""
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
