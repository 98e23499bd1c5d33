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
    """Give a callable that shows a seed's latest progress."""
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

    def __call__(self, latest: TrainingProgress) -> None:
        task, done = self._tasks[latest.seed], min(latest.done, latest.total)
        self._progress.start_task(task)
        self._progress.update(
            task,
            description=f"seed {latest.seed} {latest.phase}",
            completed=done,
            total=latest.total,
            steps=f"{done:,}/{latest.total:,}",
            figures=_figures(latest),
        )
        if self._whole is not None:
            self._progress.start_task(self._whole)
            whole = sum(self._progress.tasks[one].completed for one in self._tasks.values())
            total = latest.total * len(self._tasks)
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

    def __call__(self, latest: TrainingProgress) -> None:
        now = self._clock()
        began, first = self._began.setdefault(latest.seed, (now, latest.done))
        if now - self._last.setdefault(latest.seed, began) < LOG_EVERY_SECONDS:
            return
        self._last[latest.seed] = now
        speed = max(latest.done - first, 1) / (now - began)
        steps = f"{latest.done:,} of {latest.total:,} steps, {speed:,.0f} steps/s"
        left = f"at most {max(latest.total - latest.done, 0) / speed:.0f} s left"
        logger.info("L3 seed %s %s: %s, %s, %s", latest.seed, latest.phase, steps, _figures(latest), left)


def _figures(latest: TrainingProgress) -> str:
    reward, val = latest.episode_reward, latest.val_return
    figures = "no episode has ended" if reward is None else f"reward {reward:+.2f}"
    return figures if val is None else f"{figures}, val {val:+.2%}"
