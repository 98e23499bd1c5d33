"""``dosvotos fills import``: a desk's own fills beside the model's book; it changes no signal."""

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pandas as pd
from sqlalchemy import Engine

from dosvotos.config_loader import load_parameters
from dosvotos.database.connection import writing
from dosvotos.database.fills import FillSource, add_fills
from dosvotos.database.signals import last_timestamp
from dosvotos.errors import DataError
from dosvotos.formats import Formats
from dosvotos.hashing import digest_file
from dosvotos.live.fills import FillsReport, read_fills_report
from dosvotos.readers.fills import read_fills

_NAME: Final = 255
_AHEAD: Final = timedelta(minutes=10)
"""How far another machine's clock may be ahead, or a fill behind the last bar's open."""


def import_fills(engine: Engine, file: Path, env: str, timezone: str | None, now: datetime) -> list[str]:
    """Store a file's fills that are new; say how many, and how they compare.

    Raises
    ------
    DataError
        If any row cannot be read, or lies in the future: nothing is stored then.
    """
    logging.captureWarnings(True)
    parameters = load_parameters(env)
    instrument = parameters.experiment.instrument
    found = read_fills(file, timezone)
    source = FillSource(
        instrument, parameters.feed, parameters.delivery.notional_usd, file.name[-_NAME:], digest_file(file)
    )
    with writing(engine) as connection:
        _refuse_future(found, max(now, last_timestamp(connection, instrument) or now))
        n_new = add_fills(connection, found, source, now)
    report = read_fills_report(engine, instrument)
    assert report is not None
    known = len(found) - n_new
    return [f"{instrument}: {n_new:,} fill(s) stored, {known:,} there already", *in_words(report)]


def _refuse_future(fills: pd.DataFrame, now: datetime) -> None:
    """Refuse fills after now, or after the last signal where a sample market's clock is ahead of ours."""
    if (last := fills["time"].iloc[-1]) > now + _AHEAD:
        raise DataError(
            f"fills: none may lie in the future, the last is of {last:%Y-%m-%d %H:%M:%S} UTC, now it is "
            f"{now:%Y-%m-%d %H:%M:%S}; correct the times, or their zone"
        )


def in_words(report: FillsReport) -> list[str]:
    """Say how fills compare with the model's book and its assumed fills."""
    write = Formats("en")
    return [
        f"held {write.number(report.last_held, 0)} USD, the model's book "
        f"{write.number(report.last_book, 0)} USD, difference {write.number(report.difference, 0)} USD",
        f"slippage against the assumed fills {write.number(report.slippage_bps, 2)} bps on average, "
        f"{write.number(report.slippage_cop, 0)} COP in all (positive is worse)",
    ]
