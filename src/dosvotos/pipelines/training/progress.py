"""What a training shows while it runs: a line a seed on a terminal, a log line now and then elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from dosvotos.console import open_console
from dosvotos.training.results import TrainingProgress

logger = logging.getLogger(__name__)
LOG_EVERY_SECONDS = 15.0


@contextmanager
def training_progress(
    seeds: tuple[int, ...], console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[TrainingProgress], None]]:
    """Show every rollout of every seed that the callable is told about."""
    console = console or open_console()
    if not console.is_terminal:
        yield _Lines(clock)
        return
    columns = (
        TextColumn("L3 {task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[steps]}"),
        _Speed(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress, seeds)


class _Bars:
    """A bar a seed, and of several seeds one of all."""

    def __init__(self, progress: Progress, seeds: tuple[int, ...]) -> None:
        self._progress = progress
        self._tasks = {seed: self._add(f"seed {seed} waits") for seed in seeds}
        self._whole = self._add(f"{len(seeds)} seeds") if len(seeds) > 1 else None

    def _add(self, description: str) -> TaskID:
        return self._progress.add_task(description, total=None, start=False, steps="", figures="")

    def __call__(self, told: TrainingProgress) -> None:
        task, done = self._tasks[told.seed], min(told.done, told.total)
        self._progress.start_task(task)
        self._progress.update(
            task,
            description=f"seed {told.seed} {told.phase}",
            completed=done,
            total=told.total,
            steps=f"{done:,}/{told.total:,}",
            figures=_figures(told),
        )
        if self._whole is not None:
            self._progress.start_task(self._whole)
            whole = sum(self._progress.tasks[one].completed for one in self._tasks.values())
            total = told.total * len(self._tasks)
            steps = f"{whole:,.0f}/{total:,}"
            self._progress.update(self._whole, completed=whole, total=total, steps=steps)


class _Speed(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """Of the last half minute."""
        return Text(f"{task.speed:,.0f} steps/s" if task.speed else "", style="progress.data.speed")


class _Lines:
    """A log line a seed every so often."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: dict[int, tuple[float, int]] = {}
        self._last: dict[int, float] = {}

    def __call__(self, told: TrainingProgress) -> None:
        now = self._clock()
        began, first = self._began.setdefault(told.seed, (now, told.done))
        if now - self._last.setdefault(told.seed, began) < LOG_EVERY_SECONDS:
            return
        self._last[told.seed] = now
        speed = max(told.done - first, 1) / (now - began)
        steps = f"{told.done:,} of {told.total:,} steps, {speed:,.0f} steps/s"
        left = f"at most {max(told.total - told.done, 0) / speed:.0f} s left"
        logger.info("L3 seed %s %s: %s, %s, %s", told.seed, told.phase, steps, _figures(told), left)


def _figures(told: TrainingProgress) -> str:
    reward = "no episode has ended" if told.episode_reward is None else f"reward {told.episode_reward:+.2f}"
    return reward if told.val_return is None else f"{reward}, val {told.val_return:+.2%}"
