"""What is stored of each market: how far bars and variables reach, and what was found wrong in them."""

from typing import Any

from sqlalchemy import Connection, Row, func, select, union_all

from dosvotos.database.deliveries import not_retracted
from dosvotos.database.tables import data_quarantine, macro_indicators, usdcop_m5_ohlcv


def stored_bars(connection: Connection) -> list[Row[Any]]:
    """Count each market's bars and find the first, the last and when it was fetched, by instrument and feed.

    Columns instrument, feed, bars, first, last and fetched_at; retracted deliveries are left out.
    """
    t = usdcop_m5_ohlcv
    figures = (
        func.count(t.c.timestamp.distinct()).label("bars"),
        func.min(t.c.timestamp).label("first"),
        func.max(t.c.timestamp).label("last"),
        func.max(t.c.fetched_at).label("fetched_at"),
    )
    query = select(t.c.instrument, t.c.feed, *figures).where(not_retracted(t))
    grouped = query.group_by(t.c.instrument, t.c.feed).order_by(t.c.instrument, t.c.feed)
    return list(connection.execute(grouped).all())


def stored_variables(connection: Connection) -> list[Row[Any]]:
    """Find how far each macro variable reaches, by instrument, feed and variable.

    Columns instrument, feed, variable, last (date), published_at and values; retracted ones are left out.
    """
    parts = [
        select(
            t.c.instrument,
            t.c.feed,
            t.c.variable,
            func.max(t.c.observation_date).label("last"),
            func.max(t.c.published_at).label("published_at"),
            func.count(t.c.observation_date.distinct()).label("values"),
        )
        .where(not_retracted(t))
        .group_by(t.c.instrument, t.c.feed, t.c.variable)
        for t in macro_indicators.values()
    ]
    whole = union_all(*parts).subquery()
    query = select(whole).order_by(whole.c.instrument, whole.c.feed, whole.c.variable)
    return list(connection.execute(query).all())


def findings_by_rule(connection: Connection) -> list[Row[Any]]:
    """Count what was found wrong or odd, by instrument, feed, severity, subject and rule; most first."""
    t = data_quarantine
    names = (t.c.instrument, t.c.feed, t.c.severity, t.c.subject, t.c.rule)
    count = func.count().label("findings")
    query = select(*names, count, func.max(t.c.at).label("last")).where(not_retracted(t)).group_by(*names)
    return list(connection.execute(query.order_by(count.desc(), *names)).all())
