"""Bars and macro observations, append-only: a changed value is a new row, so the past can be asked again."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Connection, Engine, Table, func, select

from dosvotos.database.bulk import insert_frame, read_frame
from dosvotos.database.connection import reading, writing
from dosvotos.database.deliveries import (
    BEFORE_DELIVERIES,
    Delivery,
    close_delivery,
    count_retractions,
    not_retracted,
    open_deliveries,
    open_delivery,
    retracted_at,
    taken_hashes,
)
from dosvotos.database.tables import macro_indicators, usdcop_m5_ohlcv
from dosvotos.errors import DataError
from dosvotos.market.alignment import is_dated

_CHUNK = 100_000


class Stored(NamedTuple):
    """Counts of what one call of ``store`` did."""

    new: int
    revised: int
    disputed: int
    """Rows in which another source than the stored one gives another value; the stored one stays."""


class StoredSeries(NamedTuple):
    """The state of one macro variable."""

    rows: int
    first_observation: date
    last_observation: date
    new: int
    """Rows stored at the moment asked for."""


class StoredBars(NamedTuple):
    """The state of the bars."""

    bars: int
    first: pd.Timestamp
    last: pd.Timestamp
    new: int


class FeedTable(ABC):
    """What a database holds of one instrument and feed.

    Parameters
    ----------
    engine : Engine
    instrument : str
    feed : str
        Which market: ``market`` for the real one, a simulator's id for a sample.
    """

    def __init__(self, engine: Engine, instrument: str, feed: str) -> None:
        self.engine, self.instrument, self.feed = engine, instrument, feed

    @abstractmethod
    def as_of(self, moment: datetime) -> pd.DataFrame:
        """Read the rows as they were known at a moment."""

    def frame(self) -> pd.DataFrame:
        """Read the rows as they are known by now, whatever `as_of` a run had."""
        return self.as_of(datetime.max.replace(tzinfo=UTC))

    def _own(self, table: Table) -> ColumnElement[bool]:
        return (table.c.instrument == self.instrument) & (table.c.feed == self.feed)

    def _known(self, table: Table, moment: datetime) -> ColumnElement[bool]:
        return self._own(table) & (table.c.fetched_at <= moment) & not_retracted(table, moment)

    def _standing(self, table: Table) -> ColumnElement[bool]:
        """Whatever has been stored and not been retracted by now."""
        return self._own(table) & not_retracted(table)

    def _constants(self, fetched_at: datetime) -> dict[str, Any]:
        """What the rows of one call of ``store`` share."""
        return {"instrument": self.instrument, "feed": self.feed, "fetched_at": pd.Timestamp(fetched_at)}

    def retractions(self, moment: datetime) -> int:
        """Count the deliveries retracted by `moment`."""
        with reading(self.engine) as connection:
            return count_retractions(connection, self.instrument, self.feed, moment)

    def open_delivery(self, delivery: Delivery) -> int:
        """Append a delivery to this market, whose rows are to be stored under the id returned."""
        with writing(self.engine) as connection:
            return open_delivery(connection, self.instrument, self.feed, delivery)

    def close_deliveries(self, fetched_at: datetime) -> tuple[int, ...]:
        """Count what was stored of the deliveries fetched at a moment; gives their ids."""
        with writing(self.engine) as connection:
            ids = open_deliveries(connection, self.instrument, self.feed, fetched_at)
            for delivery_id in ids:
                close_delivery(connection, delivery_id)
        return tuple(ids)

    def taken_hashes(self) -> frozenset[str]:
        """List the hashes of all that was ever delivered to this market, retracted or not."""
        with reading(self.engine) as connection:
            return frozenset(taken_hashes(connection, self.instrument, self.feed))

    def _refuse_moment(self, connection: Connection, fetched_at: datetime) -> None:
        """Refuse a moment at which a delivery was fetched that has been retracted since: its rows stay."""
        if (gone := retracted_at(connection, self.instrument, self.feed, fetched_at)) is not None:
            raise DataError(
                f"as_of: {fetched_at} is the moment of delivery {gone.id}, which was retracted; run with a "
                "later as_of"
            )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.instrument}, feed {self.feed}): a handle on the database; .frame() "
            "reads its rows, .as_of(moment) those known then"
        )


class BarTable(FeedTable):
    """The 5-minute bars of one instrument and feed."""

    _values: ClassVar = ["open", "high", "low", "close", "volume"]

    def store(
        self, bars: pd.DataFrame, fetched_at: datetime, delivery_id: int | pd.Series = BEFORE_DELIVERIES
    ) -> Stored:
        """Append bars that are new, or that their own source has changed.

        Parameters
        ----------
        bars : DataFrame
            timestamp (bar open, UTC, unique), open, high, low, close, volume (may be NaN), source.
        fetched_at : datetime, timezone-aware
        delivery_id : int or Series of int, index as `bars`

        Raises
        ------
        DataError
            If a bar changes at a moment at which, or before which, it was already stored; nothing is written.
        """
        table = usdcop_m5_ohlcv
        constants = self._constants(fetched_at)
        if isinstance(delivery_id, pd.Series):
            bars = bars.assign(delivery_id=delivery_id)
        else:
            constants["delivery_id"] = delivery_id
        in_order = bars["timestamp"].is_monotonic_increasing
        ordered = bars if in_order else bars.sort_values("timestamp", kind="stable")
        columns = ["timestamp", *self._values, "source", "fetched_at"]
        counts = [Stored(0, 0, 0)]
        with writing(self.engine) as connection:
            self._refuse_moment(connection, fetched_at)
            for start in range(0, len(ordered), _CHUNK):
                part = ordered.iloc[start : start + _CHUNK]
                span = table.c.timestamp.between(part["timestamp"].iloc[0], part["timestamp"].iloc[-1])
                known = _read(connection, table, self._standing(table) & span, columns)
                counts.append(_append(connection, table, part, constants, known, ["timestamp"], self._values))
        return _total(counts)

    def as_of(self, moment: datetime, before: datetime | None = None) -> pd.DataFrame:
        """Read the bars as known at `moment`: index ``timestamp`` (UTC), OHLCV and source, in time order.

        With `before` those alone that opened before it.
        """
        rows = self.rows(moment, before=before)
        return rows.drop_duplicates("timestamp", keep="last").set_index("timestamp")

    def times(self, moment: datetime, since: datetime | None = None) -> pd.DatetimeIndex:
        """Read only when the bars known at `moment` opened (UTC), in time order; with `since` from it on."""
        return self._times(self._known(usdcop_m5_ohlcv, moment), since)

    def ever_stored(self, since: datetime | None = None) -> pd.DatetimeIndex:
        """Read when every bar opened (UTC) that was ever stored, retracted ones too, as `times`."""
        return self._times(self._own(usdcop_m5_ohlcv), since)

    def _times(self, wanted: ColumnElement[bool], since: datetime | None) -> pd.DatetimeIndex:
        if since is not None:
            wanted &= usdcop_m5_ohlcv.c.timestamp >= since
        with reading(self.engine) as connection:
            return pd.DatetimeIndex(
                _read(connection, usdcop_m5_ohlcv, wanted, ["timestamp"])["timestamp"].unique()
            )

    def rows(
        self,
        moment: datetime,
        after: datetime | None = None,
        before: datetime | None = None,
        standing: bool = False,
    ) -> pd.DataFrame:
        """Read every row stored by `moment` of bars opened between two moments; a bar's last row counts.

        `standing` leaves out what was retracted after `moment`, too.
        """
        wanted = self._known(usdcop_m5_ohlcv, moment)
        if standing:
            wanted &= not_retracted(usdcop_m5_ohlcv)
        if after is not None:
            wanted &= usdcop_m5_ohlcv.c.timestamp > after
        if before is not None:
            wanted &= usdcop_m5_ohlcv.c.timestamp < before
        with reading(self.engine) as connection:
            return _read(connection, usdcop_m5_ohlcv, wanted, ["timestamp", *self._values, "source"])

    def count_until(self, moment: datetime, until: datetime) -> int:
        """Count the rows stored by `moment` of bars opened at or before `until`."""
        table = usdcop_m5_ohlcv
        with reading(self.engine) as connection:
            return _count(connection, table, self._known(table, moment) & (table.c.timestamp <= until))

    def earliest_late_bar(self, since: datetime, moment: datetime, until: datetime) -> datetime | None:
        """Find the earliest bar opened at or before `until` that was stored after `since` and by `moment`."""
        table = usdcop_m5_ohlcv
        late = (table.c.timestamp <= until) & (table.c.fetched_at > since)
        query = select(func.min(table.c.timestamp)).where(self._known(table, moment) & late)
        with reading(self.engine) as connection:
            found: datetime | None = connection.execute(query).scalar_one()
        return found

    def state(self, moment: datetime) -> StoredBars | None:
        """Find the first and last bar known at `moment` and count the rows stored at it; None without any."""
        table = usdcop_m5_ohlcv
        new = func.count().filter(table.c.fetched_at == moment)
        stamps = func.count(), func.min(table.c.timestamp), func.max(table.c.timestamp), new
        query = select(*stamps).where(self._known(table, moment))
        with reading(self.engine) as connection:
            bars, first, last, stored = connection.execute(query).one()
        return StoredBars(bars, pd.Timestamp(first), pd.Timestamp(last), stored) if bars else None


class MacroTables(FeedTable):
    """The macro observations of one instrument and feed, a table each frequency."""

    def store(
        self, observations: pd.DataFrame, fetched_at: datetime, delivery_id: int = BEFORE_DELIVERIES
    ) -> Stored:
        """Append observations that are new, or that their own source has revised.

        A revision becomes known when it is fetched, unless its vendor dates it.

        Parameters
        ----------
        observations : DataFrame
            variable, frequency, observation_date, value, published_at (UTC), vintage, source. Several rows
            of an observation differ in vintage, each an ISO date.
        fetched_at : datetime, timezone-aware
        delivery_id : int
        """
        now, counts = pd.Timestamp(fetched_at), [Stored(0, 0, 0)]
        constants = {**self._constants(fetched_at), "delivery_id": delivery_id}
        keys, columns = ["variable", "observation_date"], ["value", "vintage", "source", "fetched_at"]
        with writing(self.engine) as connection:
            self._refuse_moment(connection, fetched_at)
            for frequency, table in macro_indicators.items():
                rows = observations[observations["frequency"] == frequency]
                if rows.empty:
                    continue
                known = _read(connection, table, self._standing(table), [*keys, *columns])
                known, rows = (part.assign(revision_key=_revision_key(part)) for part in (known, rows))
                of_revision = [*keys, "revision_key"]
                batch = rows.assign(published_at=_known_from(rows, known, of_revision, now))
                counts.append(_append(connection, table, batch, constants, known, of_revision, ["value"]))
        return _total(counts)

    def as_of(
        self, moment: datetime, as_fetched: bool = False, until: datetime | None = None
    ) -> pd.DataFrame:
        """Read every observation and revision stored by `moment`; with `until` those published by then alone.

        Columns variable, observation_date, published_at and fetched_at (UTC), value, vintage and source, one
        frequency after the other. Where a vendor's dated vintages of an observation are stored, they alone
        count. With `as_fetched` a value counts as published no earlier than it was fetched, as live needs it.
        """
        rows = prefer_dated(self.rows(moment, as_fetched=as_fetched, until=until))
        return rows if until is None else rows[rows["published_at"] <= until].reset_index(drop=True)

    def rows(
        self,
        moment: datetime,
        variables: Collection[str] | None = None,
        after: datetime | None = None,
        as_fetched: bool = False,
        standing: bool = False,
        until: datetime | None = None,
    ) -> pd.DataFrame:
        """Read every row stored by `moment`, of some variables or published after `after` alone.

        Undated values that dated vintages replace are there too; `prefer_dated` leaves them out. `standing`
        leaves out what was retracted after `moment`, too; `until` leaves out undated values published later.
        """
        columns = [
            "variable", "observation_date", "published_at", "fetched_at", "value", "vintage", "source",
        ]  # fmt: skip
        parts = []
        with reading(self.engine) as connection:
            for table in macro_indicators.values():
                wanted = self._known(table, moment)
                if standing:
                    wanted &= not_retracted(table)
                if variables is not None:
                    wanted &= table.c.variable.in_(variables)
                if after is not None:
                    wanted &= ~_published_by(table, after, as_fetched)
                if until is not None:
                    wanted &= _published_by(table, until, as_fetched) | _is_dated(table)
                parts.append(_read(connection, table, wanted, columns))
        rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
        if as_fetched:
            rows["published_at"] = rows[["published_at", "fetched_at"]].max(axis=1)
        return rows

    def count_until(
        self, moment: datetime, variables: Collection[str], until: datetime, as_fetched: bool
    ) -> int:
        """Count the rows stored by `moment` that were published at or before `until`."""
        n_rows = 0
        with reading(self.engine) as connection:
            for table in macro_indicators.values():
                wanted = self._known(table, moment) & table.c.variable.in_(variables)
                n_rows += _count(connection, table, wanted & _published_by(table, until, as_fetched))
        return n_rows

    def dated_variables(self, moment: datetime) -> set[str]:
        """Name the variables of which vintages that the vendor dates were stored by `moment`."""
        found: set[str] = set()
        with reading(self.engine) as connection:
            for table in macro_indicators.values():
                wanted = self._known(table, moment) & _is_dated(table)
                query = select(table.c.variable).distinct().where(wanted)
                found |= set(connection.execute(query).scalars())
        return found

    def state(self, moment: datetime) -> dict[str, StoredSeries]:
        """Find each variable's first and last observation known at `moment`; count the rows stored at it."""
        found = {}
        with reading(self.engine) as connection:
            for table in macro_indicators.values():
                day = table.c.observation_date
                new = func.count().filter(table.c.fetched_at == moment)
                query = (
                    select(table.c.variable, func.count(), func.min(day), func.max(day), new)
                    .where(self._known(table, moment))
                    .group_by(table.c.variable)
                )
                for variable, *state in connection.execute(query):
                    found[variable] = StoredSeries(*state)
        return found


class StoredMarket(NamedTuple):
    """What is stored of one instrument and feed before a run fetches more."""

    engine: Engine
    instrument: str
    feed: str

    @property
    def tables(self) -> tuple[BarTable, MacroTables]:
        """Its bars and its macro observations."""
        return BarTable(*self), MacroTables(*self)


def prefer_dated(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out undated values of observations that have dated vintages, from `MacroTables.rows`."""
    dated = _revision_key(rows) != ""
    if not dated.any():
        return rows
    keys = pd.MultiIndex.from_frame(rows[["variable", "observation_date"]])
    replaced = ~dated & keys.isin(keys[dated])
    return rows[~replaced].reset_index(drop=True)


def _is_dated(table: Table) -> ColumnElement[bool]:
    """Whether the vendor dates a vintage, as `is_dated` tells of values read."""
    return table.c.vintage.like("____-__-__")


def _published_by(table: Table, moment: datetime, as_fetched: bool) -> ColumnElement[bool]:
    published = table.c.published_at <= moment
    return published & (table.c.fetched_at <= moment) if as_fetched else published


def _total(counts: list[Stored]) -> Stored:
    return Stored(*map(sum, zip(*counts, strict=True)))


def _revision_key(rows: pd.DataFrame) -> pd.Series:
    """Take the vintage where the vendor dates it, else an empty string: undated values revise one another."""
    return rows["vintage"].astype("str").where(is_dated(rows["vintage"]), "")


def _known_from(rows: pd.DataFrame, known: pd.DataFrame, keys: list[str], now: pd.Timestamp) -> pd.Series:
    if known.empty:
        return rows["published_at"]
    revised = pd.MultiIndex.from_frame(rows[keys]).isin(pd.MultiIndex.from_frame(known[keys]))
    return rows["published_at"].where(~revised | (rows["published_at"] > now), now)


def _read(
    connection: Connection, table: Table, wanted: ColumnElement[bool], columns: list[str]
) -> pd.DataFrame:
    query = select(*(table.c[name] for name in columns)).where(wanted).order_by(*table.primary_key.columns)
    return read_frame(connection, query)


def _count(connection: Connection, table: Table, wanted: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(wanted)).scalar_one())


def _append(
    connection: Connection,
    table: Table,
    rows: pd.DataFrame,
    constants: Mapping[str, Any],
    known: pd.DataFrame,
    keys: list[str],
    values: list[str],
) -> Stored:
    if known.empty:
        insert_frame(connection, table, rows, constants)
        return Stored(len(rows), 0, 0)
    latest = known.drop_duplicates(keys, keep="last")[[*keys, *values, "source", "fetched_at"]]
    latest = latest.rename(columns={"fetched_at": "stored_at"})
    both = rows.merge(latest, how="left", on=keys, suffixes=("", "_known"), indicator=True)
    is_new = (both["_merge"] == "left_only").to_numpy()
    given, stored = (both[[f"{v}{end}" for v in values]].to_numpy(float) for end in ("", "_known"))
    changed = (given != stored) & ~(np.isnan(given) & np.isnan(stored))
    differs = ~is_new & changed.any(axis=1)
    same_source = (both["source"] == both["source_known"]).to_numpy(bool)
    revised = differs & same_source
    moment = constants["fetched_at"]
    if (too_early := revised & (both["stored_at"] >= moment).to_numpy()).any():
        raise DataError(f"{table.name}: {_describe_change(both[too_early].iloc[0], moment, keys, values)}")
    if (chosen := np.flatnonzero(is_new | revised)).size:
        insert_frame(connection, table, both.iloc[chosen], constants)
    return Stored(int(is_new.sum()), int(revised.sum()), int((differs & ~same_source).sum()))


def _same(value: float, stored: float) -> bool:
    return value == stored or bool(np.isnan(value) and np.isnan(stored))


def _describe_change(row: Any, moment: pd.Timestamp, keys: list[str], values: list[str]) -> str:
    name = next(v for v in values if not _same(row[v], row[f"{v}_known"]))
    return (
        f"{', '.join(f'{key} {row[key]}' for key in keys if row[key] != '')}: {name} changes from "
        f"{row[f'{name}_known']} to {row[name]}, but as_of {moment} is not after "
        f"{row['stored_at']}, when it was stored; run with a later as_of"
    )
