from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, update

from dosvotos.database.connection import reading, writing
from dosvotos.database.live_tables import provider_calls
from dosvotos.database.provider_calls import ProviderCalls
from dosvotos.errors import SourceError
from dosvotos.sources.http import ProviderClient
from tests.sources.local_server import live_params

LIMIT = 20


def test_processes_together_make_no_more_calls_than_a_day_allows(engine):
    def work(_: int) -> int:
        calls = ProviderCalls(engine)
        return sum(calls.take("twelvedata", LIMIT) for _ in range(8))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == LIMIT
    assert ProviderCalls(engine).made("twelvedata") == LIMIT
    assert ProviderCalls(engine).take("yahoo", LIMIT)


def test_another_day_s_calls_do_not_count(engine):
    ProviderCalls(engine).take("twelvedata", 1)
    with reading(engine) as connection:
        today = connection.execute(select(provider_calls.c.day)).scalar_one()
    with writing(engine) as connection:
        past = today.replace(year=today.year - 1)
        connection.execute(insert(provider_calls).values(provider="yahoo", day=past, calls=99))
    assert ProviderCalls(engine).take("yahoo", 2)
    assert ProviderCalls(engine).made("yahoo") == 1


def test_a_client_whose_calls_are_counted_together_says_so(engine):
    settings, calls = live_params("http://127.0.0.1:9", start="2025-01-01"), ProviderCalls(engine)
    limit = settings.providers["twelvedata"].calls_per_day
    calls.take("twelvedata", limit)
    with writing(engine) as connection:
        connection.execute(update(provider_calls).values(calls=limit))
    with ProviderClient("twelvedata", settings, "key", calls.take) as client:
        with pytest.raises(SourceError, match=r"all processes together made the 800 calls allowed a day"):
            client.acquire_call()
        assert client.calls == 0
