"""Findings about data: rows in quarantine, and reports about rows that stayed."""

from datetime import datetime

import pandas as pd
from sqlalchemy import select

from dosvotos.database.bulk import insert_frame, read_frame
from dosvotos.database.connection import reading, writing
from dosvotos.database.market_data import FeedTable
from dosvotos.database.tables import data_quarantine
from dosvotos.hashing import digest_json

_CONTENT = ["rule", "severity", "subject", "at", "value", "source", "detail"]


class QuarantineTable(FeedTable):
    """The findings about one instrument's data of a feed; each is written once."""

    def store(self, findings: pd.DataFrame, found_at: datetime) -> int:
        """Append the findings that are not known yet; gives their number.

        Parameters
        ----------
        findings : DataFrame
            rule, severity, subject, at (UTC), value (NaN where there is none), source, detail.
        found_at : datetime, timezone-aware
        """
        digests = [digest_json(list(map(str, row))) for row in findings[_CONTENT].itertuples(index=False)]
        rows = findings.assign(
            instrument=self.instrument, feed=self.feed, finding=digests, found_at=pd.Timestamp(found_at)
        ).drop_duplicates("finding")
        with writing(self.engine) as connection:
            query = select(data_quarantine.c.finding).where(self._own(data_quarantine))
            known = read_frame(connection, query)
            fresh = rows[~rows["finding"].isin(known["finding"])]
            if len(fresh):
                insert_frame(connection, data_quarantine, fresh)
        return len(fresh)

    def as_of(self, moment: datetime) -> pd.DataFrame:
        """Read the findings made by `moment`, in time order.

        Columns rule, severity, subject, at and found_at (UTC), value, source and detail.
        """
        columns = [data_quarantine.c[name] for name in [*_CONTENT, "found_at"]]
        wanted = self._own(data_quarantine) & (data_quarantine.c.found_at <= moment)
        query = select(*columns).where(wanted).order_by(data_quarantine.c.at, data_quarantine.c.finding)
        with reading(self.engine) as connection:
            return read_frame(connection, query)
