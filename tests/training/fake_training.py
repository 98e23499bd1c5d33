"""A training function that does what its seed says, for tests of the worker processes.

Run as a module it trains two seeds that never end, and prints the ids of their processes.
"""

import multiprocessing
import os
import signal
import time

from dosvotos.errors import DataError
from dosvotos.training.results import ProgressCallback, TrainingProgress, TrainingResult
from dosvotos.training.seeds import train_in_processes

ENDLESS, ENDLESS_TOO, DIVERGES, FAILS, IS_KILLED, EXITS = 101, 102, 103, 104, 105, 106


def train(seed: int, progress: ProgressCallback) -> TrainingResult:
    """Do what the seed says; for any other seed return at once, with the seed as the number of timesteps."""
    progress(TrainingProgress(seed, "final", 1, 2, None, None))
    if seed == DIVERGES:
        raise DataError("training diverged")
    if seed == FAILS:
        raise ZeroDivisionError
    if seed == IS_KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == EXITS:
        os._exit(3)
    while seed in (ENDLESS, ENDLESS_TOO):
        progress(TrainingProgress(seed, "final", 1, 2, None, None))
        time.sleep(0.01)
    return TrainingResult(seed, None, b"", [], 0.0, 0.0, None, "final", seed, 1, 1, 0.0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    started: set[int] = set()

    def print_when_started(progress: TrainingProgress) -> None:
        """Print the ids of both processes once both train."""
        if progress.seed not in started:
            started.add(progress.seed)
            if len(started) == 2:
                print(*(child.pid for child in multiprocessing.active_children()), flush=True)

    train_in_processes(train, (ENDLESS, ENDLESS_TOO), print_when_started, 2)
