"""Findings about data: rows in quarantine, and reports about rows that stayed."""

from datetime import datetime

import pandas as pd
from sqlalchemy import ColumnElement, Connection, select

from dosvotos.database.bulk import insert_frame, read_frame
from dosvotos.database.connection import reading, writing
from dosvotos.database.deliveries import BEFORE_DELIVERIES, not_retracted
from dosvotos.database.market_data import FeedTable
from dosvotos.database.tables import data_quarantine
from dosvotos.hashing import digest_json

_CONTENT = ["rule", "severity", "subject", "at", "value", "source", "detail"]


class QuarantineTable(FeedTable):
    """The findings about one instrument's data of a feed; each is written once."""

    def store(
        self, findings: pd.DataFrame, found_at: datetime, delivery_id: int | pd.Series = BEFORE_DELIVERIES
    ) -> int:
        """Append the findings that are not known yet; gives their number.

        A finding of a delivery that was retracted is not known any more.

        Parameters
        ----------
        findings : DataFrame
            rule, severity, subject, at (UTC), value (NaN where there is none), source, detail.
        found_at : datetime, timezone-aware
        delivery_id : int or Series of int, index as `findings`
        """
        digests = [digest_json(list(map(str, row))) for row in findings[_CONTENT].itertuples(index=False)]
        with writing(self.engine) as connection:
            stored = self._keys(connection, self._own(data_quarantine))
            standing = self._keys(connection, self._standing(data_quarantine))
            rows = findings.assign(
                instrument=self.instrument,
                feed=self.feed,
                finding=[_key(digest, stored - standing) for digest in digests],
                found_at=pd.Timestamp(found_at),
                delivery_id=delivery_id,
            ).drop_duplicates("finding")
            fresh = rows[~rows["finding"].isin(standing)]
            if len(fresh):
                insert_frame(connection, data_quarantine, fresh)
        return len(fresh)

    @staticmethod
    def _keys(connection: Connection, wanted: ColumnElement[bool]) -> set[str]:
        return set(connection.execute(select(data_quarantine.c.finding).where(wanted)).scalars())

    def as_of(self, moment: datetime) -> pd.DataFrame:
        """Read the findings made by `moment`, in time order.

        Columns rule, severity, subject, at and found_at (UTC), value, source and detail.
        """
        columns = [data_quarantine.c[name] for name in [*_CONTENT, "found_at"]]
        wanted = self._own(data_quarantine) & (data_quarantine.c.found_at <= moment)
        wanted &= not_retracted(data_quarantine, moment)
        query = select(*columns).where(wanted).order_by(data_quarantine.c.at, data_quarantine.c.finding)
        with reading(self.engine) as connection:
            return read_frame(connection, query)


def _key(digest: str, withdrawn: set[str]) -> str:
    """Find a finding's key: its digest, or the next in a chain of digests that no withdrawn finding has."""
    while digest in withdrawn:
        digest = digest_json([digest])
    return digest
