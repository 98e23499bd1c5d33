"""The assembled app, once a session, and a fresh desk a test on either database."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit import config

from dosvotos.lineage import vote as lineage_vote
from dosvotos.promotion.agreement import proposal_in
from dosvotos.promotion.dossier import Dossier
from streamlit_app.app import create_app
from tests.conftest import ROOT, ensure_running
from tests.migrated import copy_migrated, create_migrated
from tests.proposal_fixtures import Desk, open_desk

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette asks for httpx2, which nothing else here needs
    from starlette.testclient import TestClient

ORIGIN = "http://localhost:8501"


VERIFY = lineage_vote.verify_proposal


def as_it_says(engine: Engine, proposal: Any) -> lineage_vote.Verification:
    """Take a proposal's word for its figures, which these tests make up."""
    new = proposal_in(Dossier.of(proposal))
    return lineage_vote.Verification(new.layers.chain, new)


@pytest.fixture
def recomputing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute a proposal again before it is approved, as the app does."""
    monkeypatch.setattr(lineage_vote, "verify_proposal", VERIFY)


@pytest.fixture(scope="session")
def app() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOSVOTOS_SINGLE_USER", "1")
        patch.chdir(ROOT)
        config.get_config_options(force_reparse=True)  # a page's test may have read it in its own folder
        return create_app()


@pytest.fixture(scope="session")
def client(app: object) -> Iterator[TestClient]:
    with TestClient(
        app,
        base_url=ORIGIN,
        client=("127.0.0.1", 50_000),
        raise_server_exceptions=False,
        follow_redirects=False,
    ) as client:
        yield client


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk on SQLite, with alice in front of it."""
    yield from _open(_sqlite_in(tmp_path), tmp_path, monkeypatch)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def any_desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """A desk on each database."""
    if request.param == "sqlite":
        url = _sqlite_in(tmp_path)
    else:
        ensure_running(request.getfixturevalue("postgres_server"))
        url = create_migrated(request.getfixturevalue("migrated_server"), f"desk_{os.urandom(4).hex()}")
    yield from _open(url, tmp_path, monkeypatch)


def _sqlite_in(root: Path) -> str:
    return f"sqlite:///{copy_migrated(root / 'data/dosvotos.db')}"


def _open(url: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", url)
    monkeypatch.setenv("DOSVOTOS_SINGLE_USER", "1")
    monkeypatch.setenv("DOSVOTOS_USER", "alice")
    (root / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(root)
    monkeypatch.setattr(lineage_vote, "verify_proposal", as_it_says)
    with open_desk(url, root) as desk:
        yield desk
