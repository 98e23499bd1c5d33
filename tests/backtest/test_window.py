from datetime import date

import numpy as np
import pytest

from dosvotos.backtest.window import refuse_in_sample, sample_of, seen_splits, touches_unseen
from dosvotos.errors import InSampleError

RANGES = {
    "train": "2023-01-02 to 2024-12-27",
    "val": "2025-01-02 to 2025-06-26",
    "test": "2025-07-01 to 2026-07-31",
}


@pytest.mark.parametrize(
    ("first", "last", "seen"),
    [
        ("2025-07-01", "2026-07-31", ()),
        ("2025-06-27", "2025-06-30", ()),  # the embargo's sessions are nobody's
        ("2022-01-03", "2022-12-30", ()),
        ("2025-06-26", "2025-07-31", ("val",)),
        ("2025-03-01", "2025-03-31", ("val",)),
        ("2024-12-27", "2025-01-01", ("train",)),
        ("2022-01-03", "2023-01-02", ("train",)),
        ("2024-12-01", "2025-01-02", ("train", "val")),
        ("2022-01-03", "2026-07-31", ("train", "val")),
    ],
)
def test_a_window_has_been_seen_if_it_shares_a_day_with_train_or_val(first, last, seen):
    window = date.fromisoformat(first), date.fromisoformat(last)
    assert seen_splits(*window, RANGES) == seen
    assert sample_of(*window, RANGES) == ("IN-SAMPLE" if seen else "OUT-OF-SAMPLE")
    if not seen:
        refuse_in_sample(*window, RANGES)
        return
    with pytest.raises(InSampleError) as caught:
        refuse_in_sample(*window, RANGES)
    for part in (first, last, *seen, *(RANGES[name] for name in seen)):
        assert part in str(caught.value)


def test_the_refusal_says_what_the_model_did_there_and_what_to_do():
    with pytest.raises(InSampleError) as caught:
        refuse_in_sample(date(2024, 12, 1), date(2025, 2, 1), RANGES)
    assert str(caught.value) == (
        "test window 2024-12-01 to 2025-02-01: the model was trained on train, 2023-01-02 to 2024-12-27 and "
        "chosen on val, 2025-01-02 to 2025-06-26; L4 judges on sessions it has not seen, so move "
        "date_ranges.test and raise experiment.version"
    )


SEEN = ["2023-01-02", "2024-12-27", "2025-01-02", "2025-06-26"]
UNSEEN = ["2023-01-01", "2024-12-28", "2025-01-01", "2025-06-27"]
"""The days just outside."""


def test_one_session_outside_of_train_and_val_is_enough_to_touch_what_is_unseen():
    seen, unseen = (np.array(days, dtype="datetime64[D]") for days in (SEEN, UNSEEN))
    assert not touches_unseen(seen, RANGES) and not touches_unseen(seen[:0], RANGES)
    for day in unseen:
        assert touches_unseen(np.array([day]), RANGES) and touches_unseen(np.append(seen, day), RANGES)
