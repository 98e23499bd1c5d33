"""The end of L0, as a person reads it."""

from collections.abc import Iterator

import pandas as pd
from rich.table import Table

from dosvotos.console import open_console, plain_table
from dosvotos.contracts.records import AcquisitionRecord, BarState, SeriesState
from dosvotos.formats import MISSING
from dosvotos.hashing import short
from dosvotos.quality.changes import CHANGES

_MINUTE = "%Y-%m-%d %H:%M"
_COLUMNS = (
    "variable", "source", "last observation", "published, UTC", "age, days", "rows", "new", "findings",
)  # fmt: skip
_NARROW = ("variable", "last observation", "age, days", "new")
"""What a terminal narrower than `_WIDE` shows, so that no name is broken; findings follow as lines."""
_WIDE = 124


def print_acquisition(record: AcquisitionRecord, findings: pd.DataFrame) -> None:
    """Print one row for the bars and one a variable, then whatever was put aside or went wrong."""
    console = open_console()
    rows, is_wide = _rows(record), console.width >= _WIDE
    title = f"L0 {record.instrument} from {record.source}, {record.extraction_timestamp:{_MINUTE}} UTC"
    console.print(_table(rows, title, _COLUMNS if is_wide else _NARROW))
    for name, *_, found in rows:
        if found and not is_wide:
            console.print(f"{name}: {found}")
    for line in _finding_lines(findings):
        console.print(line, style="yellow", markup=False)
    for subject, notes in [("bars", record.bars.notes), *((s.variable, s.notes) for s in record.series)]:
        for note in notes:
            console.print(f"{subject}: {note}", style="dim", markup=False)
    numbers = ", ".join(map(str, record.deliveries)) or "none"
    hashes = f"extraction {short(record.extraction_hash)}, source {short(record.source_hash)}"
    console.print(f"delivery {numbers}, {hashes}\n", style="dim")


def _rows(record: AcquisitionRecord) -> list[list[str]]:
    """Write the bars and each variable, in the order of `_COLUMNS`."""
    rows = [["bars", *_bar_cells(record.bars)]]
    for series in record.series:
        name = f"[bold]{series.variable}[/]" if series.priority == "HIGH" else series.variable
        rows.append([name, *_series_cells(series)])
    return rows


def _table(rows: list[list[str]], title: str, shown: tuple[str, ...]) -> Table:
    table = plain_table(*shown, title=title)
    for column in table.columns:
        if column.header in ("age, days", "rows", "new"):
            column.justify = "right"
        column.no_wrap = column.header != "findings"
    for row in rows:
        cells = dict(zip(_COLUMNS, row, strict=True))
        table.add_row(*(cells[name] for name in shown))
    return table


def describe_overdue(record: AcquisitionRecord) -> str:
    """Say what is too old for a signal, for how long, and why nothing newer came."""
    states = {series.variable: series for series in record.series}
    lines = [f"L0 stored all that came, but {len(record.overdue)} source(s) are too old for a signal:"]
    for subject in record.overdue:
        if subject in states:
            series = states[subject]
            last = series.last_observation or "never"
            age = f", {series.age_days:.1f} days old, limit {series.limit_days}" if series.age_days else ""
            lines.append(f"  - {subject}: last {last}{age}; {_why(series.notes)}")
        else:
            missing = record.bars.missing_session
            lines.append(f"  - bars: session {missing} is missing; {_why(record.bars.notes)}")
    lines.append("Each is asked for again by the next run; docs/data.md says how to name another source.")
    return "\n".join(lines)


def _why(notes: tuple[str, ...]) -> str:
    return "; ".join(notes) or "the source has nothing newer"


def _bar_cells(bars: BarState) -> list[str]:
    missing = f"[red]{bars.missing_session} is missing[/]" if bars.missing_session else ""
    found = ", ".join(filter(None, (missing, _findings(bars))))
    last = f"{bars.last_bar:{_MINUTE}}" if bars.last_bar else MISSING
    return [bars.source or MISSING, last, last, "", f"{bars.bars:,}", f"{bars.new:,}", found]


def _series_cells(series: SeriesState) -> list[str]:
    age = MISSING if series.age_days is None else f"{series.age_days:.1f} of {series.limit_days}"
    colour = "red" if series.priority == "HIGH" else "yellow"
    return [
        series.source or MISSING,
        series.last_observation or MISSING,
        f"{pd.Timestamp(series.published_at):{_MINUTE}}" if series.published_at else MISSING,
        f"[{colour}]{age}[/]" if series.stale else age,
        f"{series.rows:,}",
        f"{series.new:,}",
        _findings(series),
    ]


def _findings(state: BarState | SeriesState) -> str:
    quarantined, reported = state.findings.quarantined, state.findings.reported
    counts = {"quarantined": quarantined, "reported": reported, "note(s)": len(state.notes)}
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _finding_lines(findings: pd.DataFrame) -> Iterator[str]:
    """One line a rule and subject with its first example: what was put aside or changes, and the bars."""
    always = (findings["subject"] == "bars") | (findings["rule"] == CHANGES)
    shown = findings[(findings["severity"] == "quarantined") | always]
    for (subject, rule, severity), rows in shown.groupby(["subject", "rule", "severity"]):
        yield f"{subject}: {len(rows):,} {severity} by {rule}, such as: {rows['detail'].iloc[0]}"
