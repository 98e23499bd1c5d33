"""What a long training shows: bars on a terminal, a line now and then elsewhere."""

import io
import logging

from rich.console import Console

from dosvotos.pipelines.training.progress import training_progress
from dosvotos.training.results import TrainingProgress


def shown(*told: TrainingProgress, seeds: tuple[int, ...]) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with training_progress(seeds, console) as show:
        for standing in told:
            show(standing)
    return console.file.getvalue()


def lines(caplog, *told: tuple[float, TrainingProgress]) -> list[str]:
    moments = iter([moment for moment, _ in told])
    with (
        caplog.at_level(logging.INFO, "dosvotos"),
        training_progress((7,), Console(file=io.StringIO()), lambda: next(moments)) as show,
    ):
        for _, standing in told:
            show(standing)
    return [record.getMessage() for record in caplog.records]


def test_a_terminal_sees_a_line_a_seed_and_one_of_all():
    text = shown(
        TrainingProgress(7, "phase_1", 250, 1000, None, None),
        TrainingProgress(42, "phase_2", 500, 1000, 1.5, -0.02),
        seeds=(7, 42, 99),
    )
    last = text[text.rindex("seed 7 phase_1") :]
    assert "250/1,000" in last and "no episode has ended" in last
    assert "seed 42 phase_2" in last and "500/1,000" in last and "reward +1.50, val -2.00%" in last
    assert "seed 99 waits" in last
    assert "3 seeds" in last and "750/3,000" in last


def test_one_seed_needs_no_line_of_all_and_whole_rollouts_do_not_pass_the_end():
    text = shown(TrainingProgress(7, "phase_3", 1040, 1000, 1.0, 0.1), seeds=(7,))
    assert "1 seeds" not in text and "1,000/1,000" in text


def test_elsewhere_a_line_comes_every_quarter_of_a_minute(caplog):
    found = lines(
        caplog,
        (100.0, TrainingProgress(7, "phase_1", 1_000, 10_000, None, None)),
        (110.0, TrainingProgress(7, "phase_1", 2_000, 10_000, None, None)),
        (120.0, TrainingProgress(7, "phase_2", 3_000, 10_000, 2.0, 0.031)),
        (130.0, TrainingProgress(7, "phase_2", 4_000, 10_000, 2.0, 0.031)),
        (136.0, TrainingProgress(7, "phase_2", 5_000, 10_000, 2.0, 0.031)),
    )
    assert found == [  # by hand: 2,000 steps in 20 s, 7,000 left; then 4,000 in 36 s, 5,000 left
        "L3 seed 7 phase_2: 3,000 of 10,000 steps, 100 steps/s, reward +2.00, val +3.10%, at most 70 s left",
        "L3 seed 7 phase_2: 5,000 of 10,000 steps, 111 steps/s, reward +2.00, val +3.10%, at most 45 s left",
    ]


def test_a_training_gone_on_with_counts_its_speed_from_there(caplog):
    (line,) = lines(
        caplog,
        (0.0, TrainingProgress(7, "phase_2", 9_000, 10_000, None, None)),
        (20.0, TrainingProgress(7, "phase_2", 9_400, 10_000, None, None)),
    )
    assert "20 steps/s" in line and "at most 30 s left" in line
