"""A vendor of bars as they are: late, revised, missing, or withheld until the next trade."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pandas as pd

from dosvotos.errors import SourceError
from dosvotos.live.clock import ServerTime
from dosvotos.live.intake import SourceAnswer
from dosvotos.market.calendar import BAR


@dataclass
class ImitatedVendor:
    """Bars of a known market, shown when this vendor would.

    `delays` gives seconds after the close by bar, `delay` those of the others; `revisions` maps a bar to the
    close it is first shown with and the seconds until it is right.
    """

    market: pd.DataFrame
    """Index bar open (UTC)."""
    name: str = "imitated"
    delay: float = 1.0
    delays: dict[pd.Timestamp, float] = field(default_factory=dict)
    missing: set[pd.Timestamp] = field(default_factory=set)
    revisions: dict[pd.Timestamp, tuple[float, float]] = field(default_factory=dict)
    withholds_last: bool = False
    failing: bool = False
    server_ahead: timedelta | None = None
    extra: pd.DataFrame | None = None
    """Rows shown whatever the time: future bars, bars off the calendar."""
    calls: int = 0

    def bars(self, since: datetime, now: datetime) -> SourceAnswer:
        self.calls += 1
        if self.failing:
            raise SourceError(f"{self.name}: answered with status 503")
        rows = self.market[self.market.index >= pd.Timestamp(since)]
        rows = rows[[self._shown(opened, now) for opened in rows.index]]
        closes = [self._close(*bar, now) for bar in zip(rows.index, rows["close"], strict=True)]
        revised = rows.index.isin(list(self.revisions))
        flat = {name: rows[name].where(~revised, closes) for name in ("open", "high", "low")}
        rows = rows.assign(close=closes, **flat)
        frame = rows.reset_index()
        if self.extra is not None:
            frame = pd.concat([frame, self.extra], ignore_index=True)
        stated = None if self.server_ahead is None else (now + self.server_ahead).replace(microsecond=0)
        server = None if stated is None else ServerTime(now, stated, now + timedelta(seconds=0.1))
        return SourceAnswer(frame.assign(source=self.name), server)

    def _shown(self, opened: pd.Timestamp, now: datetime) -> bool:
        if opened in self.missing:
            return False
        since_close = (pd.Timestamp(now) - opened - BAR).total_seconds()
        if self.withholds_last:
            after = self.market.index[self.market.index > opened]
            return len(after) > 0 and pd.Timestamp(now) >= after[0] + pd.Timedelta(seconds=self.delay)
        return since_close >= self.delays.get(opened, self.delay)

    def _close(self, opened: pd.Timestamp, close: float, now: datetime) -> float:
        if opened not in self.revisions:
            return close
        first, until = self.revisions[opened]
        return first if (pd.Timestamp(now) - opened - BAR).total_seconds() < until else close
