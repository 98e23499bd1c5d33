"""Trainings that cost nothing, for tests of the processes they run in.

Run as a module it trains two that never end, and prints the ids of their processes.
"""

import multiprocessing
import os
import signal
import time

from dosvotos.errors import DataError
from dosvotos.training.results import Progress, Standing, TrainingResult
from dosvotos.training.seeds import train_beside

ENDLESS, ENDLESS_TOO, DIVERGES, FAILS, IS_KILLED, LEAVES = 101, 102, 103, 104, 105, 106


def train(seed: int, progress: Progress) -> TrainingResult:
    """Do what the seed says; others end at once, with themselves as the number of steps."""
    progress(Standing(seed, "final", 1, 2, None, None))
    if seed == DIVERGES:
        raise DataError("training diverged")
    if seed == FAILS:
        raise ZeroDivisionError
    if seed == IS_KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == LEAVES:
        os._exit(3)
    while seed in (ENDLESS, ENDLESS_TOO):
        progress(Standing(seed, "final", 1, 2, None, None))
        time.sleep(0.01)
    return TrainingResult(seed, None, b"", [], 0.0, None, "final", seed, 1, 1, 0.0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job has ignored
    heard: set[int] = set()

    def tell(told: Standing) -> None:
        """Print the ids once both are at work."""
        if told.seed not in heard:
            heard.add(told.seed)
            if len(heard) == 2:
                print(*(child.pid for child in multiprocessing.active_children()), flush=True)

    train_beside(train, (ENDLESS, ENDLESS_TOO), tell, 2)
