"""The loop, step by step: exactly one row a bar, in time or without a signal."""

from datetime import timedelta

import pandas as pd
import pytest

from dosvotos.live.reasons import Reason


def test_each_bar_has_one_row_two_seconds_after_its_close(make_desk):
    desk = make_desk(live=1)
    desk.run(61)
    rows = desk.rows()
    opens = [row.timestamp for row in rows[1:]]
    assert opens == list(desk.market.index[-60:].to_pydatetime())
    assert rows[0].timestamp == desk.market.index[-61]
    assert {row.status for row in rows} == {"SIGNAL"}
