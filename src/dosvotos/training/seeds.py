"""Training of an experiment's seeds in parallel: processes of one thread each, as many as there are cores.

On Linux they are forked from one that has loaded torch while the layers before a training worked.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import DosVotosError, TrainingError
from dosvotos.files import write_file
from dosvotos.market.normalization import NormStats
from dosvotos.training.results import ProgressCallback, TrainingProgress, TrainingResult

Train = Callable[[int, ProgressCallback], TrainingResult]
_ROW_FILES = ("train.parquet", "val.parquet")
_PRELOADED: Final = ("dosvotos.process_settings", "dosvotos.training.ppo")


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
    """Train every seed of an experiment, in parallel processes if there are several workers or prepared ones.

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
        Processes at a time, as `train_in_processes` takes it; a single worker is this process, unless
        `prepare_workers` was called. The results do not depend on it.

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
    if min(workers, len(seeds)) <= 1 and not _server.is_asked_for:
        training = _SeedTraining(parameters, (train_rows, val_rows), norm_stats, folder)
        return [training.train(seed, progress) for seed in seeds]
    for name, rows in zip(_ROW_FILES, (train_rows, val_rows), strict=True):
        write_file(folder / name, rows.to_parquet())
    train = _SeedTraining(parameters, None, norm_stats, folder).train
    results = train_in_processes(train, seeds, progress, workers)
    return [results[seed] for seed in seeds]


def select_candidate(results: list[TrainingResult]) -> TrainingResult:
    """Return the best result on val by ``training.selection``, the first of equal ones."""
    return max(results, key=lambda result: result.best_val_score)


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

    def begin(self, train: Train, seed: int) -> None:
        with suppress(BrokenPipeError):
            self.connection.send(train)
        self.assign(seed)

    def assign(self, seed: int | None) -> None:
        self.seed = seed
        with suppress(BrokenPipeError):  # the next receive finds the dead process
            self.connection.send(seed)


@dataclass
class _Server:
    """The process that has loaded torch, and from which those that train are forked."""

    is_asked_for: bool = False


_server = _Server()


def prepare_workers() -> None:
    """Let a process load torch for a training that comes later, which takes seconds; nobody waits for it.

    It ends with this one. None is started on a single core, where this process has loaded torch itself, or
    where a process that has loaded it cannot be forked.
    """
    if available_cores() == 1 or "torch" in sys.modules or sys.platform != "linux":
        return
    forkserver.set_forkserver_preload(list(_PRELOADED))
    resource_tracker.ensure_running()  # which lets Ctrl-C through again once it has started
    with _without_ctrl_c():
        forkserver.ensure_running()
    _server.is_asked_for = True


def dismiss_workers() -> None:
    """Leave the process that `prepare_workers` started alone: it serves the run it was started for."""
    _server.is_asked_for = False


def train_in_processes(
    train: Train, seeds: tuple[int, ...], progress: ProgressCallback, workers: int
) -> dict[int, TrainingResult]:
    """Train seeds in at most `workers` processes at a time; none outlives this call.

    Where they are forked, as many more begin as seeds would be left over for a last round, in which a core
    would have nothing to do.
    """
    waiting, results, pool = iter(seeds), dict[int, TrainingResult](), list[_Worker]()
    is_forked = _server.is_asked_for
    begin = workers + (len(seeds) % workers if is_forked else 0)
    try:
        for seed in islice(waiting, begin):
            pool.append(_start_worker("forkserver" if is_forked else "spawn"))
            pool[-1].begin(train, seed)
        while busy := {w.connection: w for w in pool if w.seed is not None}:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                message = _receive(worker)
                if isinstance(message, TrainingProgress):
                    progress(message)
                elif isinstance(message, TrainingResult):
                    results[message.seed] = message
                    others = sum(w.seed is not None for w in pool) - 1
                    worker.assign(next(waiting, None) if others < workers else None)
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


def _start_worker(method: Literal["forkserver", "spawn"]) -> _Worker:
    context: Any = multiprocessing.get_context(method)
    parent_end, child_end = context.Pipe()
    process = context.Process(target=_run_worker, args=(child_end,), name="training", daemon=True)
    with _without_ctrl_c():
        process.start()
    child_end.close()
    return _Worker(process, parent_end, None)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Make a process that is started meanwhile deaf to Ctrl-C from its first moment; here it comes later."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


def _run_worker(parent: Connection) -> None:
    """Train the seeds that the parent sends, until it sends None or dies; Ctrl-C is left to the parent."""
    import dosvotos.process_settings  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        train: Train = parent.recv()
        while (seed := parent.recv()) is not None:
            try:
                parent.send(train(seed, parent.send))
            except DosVotosError as error:
                parent.send(error)
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception:
                parent.send(RuntimeError(f"training of seed {seed}:\n{traceback.format_exc()}"))
