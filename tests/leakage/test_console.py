"""Nothing of the console output is cut, in a pipe as on a terminal of 80 columns."""

import io
from itertools import pairwise

import pandas as pd
import pytest
from rich.console import Console

from dosvotos.commands.leakcheck import print_report
from dosvotos.leakage.report import FeatureReport, Finding, LeakReport

FEATURE = "difference_of_policy_rates_smoothed_over_sixty_bars_and_scaled_by_its_volatility"
VARIABLES = tuple(f"fxrt_index_of_a_long_name_{number}_usa_d_dxy" for number in range(5))
TIME = pd.Timestamp("2023-06-09 15:50", tz="UTC")
DETAIL = f"{FEATURE} at 2023-06-09 15:50 moved by +0.1558 when the DXY value of 2023-06-08 became known"


@pytest.fixture
def report() -> LeakReport:
    finding = Finding(subject=FEATURE, rule="future", at=TIME, detail=DETAIL)
    feature = FeatureReport(feature=FEATURE, probes=123_456_789, inputs=VARIABLES, findings=(finding,))
    return LeakReport(
        pipeline="own", seed=0, bars=85_891, first_bar=TIME, last_bar=TIME, probes={"replay": 123_456_789},
        features=(feature,), dataset=(),
    )  # fmt: skip


def test_a_pipe_gets_every_row_on_one_line(report, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    print_report(report)
    lines = capsys.readouterr().out.splitlines()
    assert any(all(name in line for name in (FEATURE, *VARIABLES, "123456789")) for line in lines)
    assert f"  {DETAIL}" in lines
    assert lines[-1] == f"not clean: {FEATURE} (123456789 probes on 85,891 bars, seed 0)"


def test_a_terminal_of_80_columns_folds_names_and_cuts_none(report, monkeypatch):
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, highlight=False)
    monkeypatch.setattr("dosvotos.commands.leakcheck.open_console", lambda: terminal)
    print_report(report)
    lines = terminal.file.getvalue().splitlines()
    edges = [lines[0].index(header) for header in ("feature", "verdict", "probes", "moved by")]
    rows = lines[1 : lines.index("future: sees what was not yet known")]
    columns = [[row[start:end].strip() for row in rows] for start, end in pairwise([*edges, 80])]
    feature, verdict, probes, moved_by = map("".join, columns)
    assert (feature, verdict, probes) == (FEATURE, "future", "123456789")
    assert moved_by == ",".join(VARIABLES)
    assert f"  {DETAIL}" in lines
