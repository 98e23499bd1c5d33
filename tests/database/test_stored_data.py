"""How far data reach and what was found in them, on both databases, against rows written by hand."""

from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Engine, insert

from dosvotos.database.connection import reading, writing
from dosvotos.database.stored_data import findings_by_rule, stored_bars, stored_variables
from dosvotos.database.tables import data_quarantine, deliveries, macro_indicators, usdcop_m5_ohlcv

NOON = datetime(2025, 7, 1, 17, tzinfo=UTC)
WHERE = {"instrument": "USD/COP", "feed": "files"}


def bar(minutes: int, fetched: int = 0, delivery: int = 0) -> dict:
    prices = dict.fromkeys(("open", "high", "low", "close"), 4000.0)
    at = {"timestamp": NOON + timedelta(minutes=minutes), "fetched_at": NOON + timedelta(days=fetched)}
    return {**WHERE, **prices, **at, "volume": 0.0, "source": "x", "delivery_id": delivery}


def value(day: int, name: str = "dxy") -> dict:
    times = {"published_at": NOON + timedelta(days=day), "fetched_at": NOON}
    content = {"variable": name, "vintage": "final", "value": 1.0, "source": "x", "delivery_id": 0}
    return {**WHERE, **times, **content, "observation_date": date(2025, 7, day)}


def finding(name: str, rule: str) -> dict:
    content = {"severity": "reported", "subject": "bars", "source": "x", "detail": "", "delivery_id": 0}
    return {**WHERE, **content, "finding": name, "rule": rule, "at": NOON, "found_at": NOON}


def test_what_is_stored_is_summed_up_without_what_was_retracted(engine: Engine):
    came = {**WHERE, "source": "x", "origin": "x", "fetched_at": NOON}
    with writing(engine) as connection:
        connection.execute(insert(deliveries).values(id=7, **came))
        connection.execute(insert(deliveries).values(id=8, **came, retracts=7, reason="wrong"))
        connection.execute(insert(usdcop_m5_ohlcv), [bar(0), bar(5), bar(5, fetched=1), bar(90, delivery=7)])
        connection.execute(insert(macro_indicators["daily"]), [value(1), value(2), value(1, "vix")])
        rows = [finding("a", "rare"), finding("b", "often"), finding("c", "often")]
        connection.execute(insert(data_quarantine), rows)
    with reading(engine) as connection:
        (bars,) = stored_bars(connection)
        variables = stored_variables(connection)
        found = findings_by_rule(connection)
    assert (bars.bars, bars.first, bars.last) == (2, NOON, NOON + timedelta(minutes=5))
    assert bars.fetched_at == NOON + timedelta(days=1)
    assert [(row.variable, row.values, row.last) for row in variables] == [
        ("dxy", 2, date(2025, 7, 2)),
        ("vix", 1, date(2025, 7, 1)),
    ]
    assert [(row.rule, row.findings) for row in found] == [("often", 2), ("rare", 1)]
