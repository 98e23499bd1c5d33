"""Bars and macro observations, append-only: a changed value is a new row, so the past can be asked again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, Table, and_, func, insert, select

from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import macro_indicators, usdcop_m5_ohlcv
from dosvotos.errors import DataError


class Stored(NamedTuple):
    """What one call of ``store`` wrote."""

    new: int
    revised: int


@dataclass(frozen=True)
class BarTable:
    """The 5-minute bars of one instrument, across its feeds."""

    engine: Engine
    instrument: str

    _values: ClassVar = ["open", "high", "low", "close", "volume"]

    def store(self, bars: pd.DataFrame, feed: str, fetched_at: datetime) -> Stored:
        """Append bars that are new or differ from the last known ones.

        Parameters
        ----------
        bars : DataFrame
            timestamp (bar open, UTC), open, high, low, close, volume, source.
        feed : str
            Which market: ``market`` for the real one, a simulator's id for a sample.
        fetched_at : datetime, timezone-aware

        Raises
        ------
        DataError
            If a bar changes at a moment at which, or before which, it was already stored.
        """
        with writing(self.engine) as connection:
            known = _read(connection, usdcop_m5_ohlcv, self.instrument, feed, None)
            return _append(
                connection,
                usdcop_m5_ohlcv,
                bars.assign(instrument=self.instrument, feed=feed, fetched_at=pd.Timestamp(fetched_at)),
                known,
                keys=["timestamp"],
                values=self._values,
            )

    def as_of(self, feed: str, moment: datetime) -> pd.DataFrame:
        """Bars as they were known at `moment`: index ``timestamp`` (UTC), OHLCV and source, in time order."""
        with reading(self.engine) as connection:
            rows = _read(connection, usdcop_m5_ohlcv, self.instrument, feed, moment)
        latest = rows.drop_duplicates("timestamp", keep="last").set_index("timestamp")
        return latest[[*self._values, "source"]]

    def stored_at(self, feed: str, moment: datetime) -> int:
        """Number of rows first stored at `moment`."""
        with reading(self.engine) as connection:
            return _stored_at(connection, usdcop_m5_ohlcv, self.instrument, feed, moment)


@dataclass(frozen=True)
class MacroTables:
    """The macro observations of one instrument across its feeds, a table each frequency."""

    engine: Engine
    instrument: str

    def store(self, observations: pd.DataFrame, feed: str, fetched_at: datetime) -> Stored:
        """Append observations that are new or revised; a revision becomes known when it is fetched.

        Parameters
        ----------
        observations : DataFrame
            variable, frequency, observation_date, value, published_at (UTC), vintage, source.
        feed : str
        fetched_at : datetime, timezone-aware
        """
        counts = []
        with writing(self.engine) as connection:
            for frequency, table in macro_indicators.items():
                rows = observations[observations["frequency"] == frequency]
                known = _read(connection, table, self.instrument, feed, None)
                batch = rows.assign(
                    instrument=self.instrument,
                    feed=feed,
                    fetched_at=pd.Timestamp(fetched_at),
                    published_at=_known_from(rows, known, pd.Timestamp(fetched_at)),
                )
                keys = ["variable", "observation_date"]
                counts.append(_append(connection, table, batch, known, keys, values=["value"]))
        return Stored(*map(sum, zip(*counts, strict=True)))

    def as_of(self, feed: str, moment: datetime, as_fetched: bool = False) -> pd.DataFrame:
        """Every observation and revision stored by `moment`.

        Columns variable, observation_date, published_at (UTC), value, vintage and source, one frequency
        after the other.
        With `as_fetched` a value counts as published no earlier than it was fetched, as live needs it.
        """
        columns = ["variable", "observation_date", "published_at", "value", "vintage", "source"]
        with reading(self.engine) as connection:
            parts = [
                _read(connection, table, self.instrument, feed, moment) for table in macro_indicators.values()
            ]
        rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
        if as_fetched:
            rows["published_at"] = rows[["published_at", "fetched_at"]].max(axis=1)
        return rows[columns]

    def stored_at(self, feed: str, moment: datetime) -> int:
        """Number of rows first stored at `moment`."""
        with reading(self.engine) as connection:
            return sum(
                _stored_at(connection, table, self.instrument, feed, moment)
                for table in macro_indicators.values()
            )


def _known_from(rows: pd.DataFrame, known: pd.DataFrame, now: pd.Timestamp) -> pd.Series:
    keys = ["variable", "observation_date"]
    revised = pd.MultiIndex.from_frame(rows[keys]).isin(pd.MultiIndex.from_frame(known[keys]))
    return rows["published_at"].where(~revised | (rows["published_at"] > now), now)


def _stored_at(connection: Connection, table: Table, instrument: str, feed: str, moment: datetime) -> int:
    same = and_(table.c.instrument == instrument, table.c.feed == feed, table.c.fetched_at == moment)
    query = select(func.count()).select_from(table).where(same)
    return int(connection.execute(query).scalar_one())


def _read(
    connection: Connection, table: Table, instrument: str, feed: str, moment: datetime | None
) -> pd.DataFrame:
    query = (
        select(table)
        .where(table.c.instrument == instrument, table.c.feed == feed)
        .order_by(*table.primary_key.columns)
    )
    if moment is not None:
        query = query.where(table.c.fetched_at <= moment)
    rows = pd.DataFrame(connection.execute(query).all(), columns=table.columns.keys())
    for name in {"timestamp", "fetched_at", "published_at"} & set(rows.columns):
        rows[name] = pd.to_datetime(rows[name], utc=True).astype("datetime64[us, UTC]")
    return rows


def _append(
    connection: Connection,
    table: Table,
    rows: pd.DataFrame,
    known: pd.DataFrame,
    keys: list[str],
    values: list[str],
) -> Stored:
    latest = known.drop_duplicates(keys, keep="last")[[*keys, *values, "fetched_at"]]
    both = rows.merge(latest, how="left", on=keys, suffixes=("", "_known"), indicator=True)
    is_new = (both["_merge"] == "left_only").to_numpy()
    differs = (both[values].to_numpy() != both[[f"{v}_known" for v in values]].to_numpy()).any(axis=1)
    revised = ~is_new & differs
    if (too_early := revised & (both["fetched_at"] <= both["fetched_at_known"]).to_numpy()).any():
        raise DataError(f"{table.name}: {_describe_change(both[too_early].iloc[0], keys, values)}")
    if (chosen := np.flatnonzero(is_new | revised)).size:
        fresh = both.iloc[chosen][table.columns.keys()]
        connection.execute(insert(table), cast(list[dict[str, Any]], fresh.to_dict("records")))
    return Stored(int(is_new.sum()), int(revised.sum()))


def _describe_change(row: pd.Series, keys: list[str], values: list[str]) -> str:
    name = next(v for v in values if row[v] != row[f"{v}_known"])
    return (
        f"{', '.join(f'{key} {row[key]}' for key in keys)}: {name} changes from {row[f'{name}_known']} to "
        f"{row[name]}, but as_of {row['fetched_at']} is not after {row['fetched_at_known']}, when it was "
        f"stored; run with a later as_of"
    )
