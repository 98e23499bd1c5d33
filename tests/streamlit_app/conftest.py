"""The assembled app, once a session; a fresh desk a test on either database, and its pages."""

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit import config
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.util import patch_config_options

from dosvotos.audit.people import Role
from dosvotos.audit.tokens import make_token
from dosvotos.lineage import vote as lineage_vote
from dosvotos.promotion.agreement import proposal_in
from dosvotos.promotion.dossier import Dossier
from streamlit_app.app import create_app
from tests.conftest import ROOT, ensure_running
from tests.migrated import copy_migrated, create_migrated
from tests.proposal_fixtures import Desk, open_desk
from tests.streamlit_app.pages import UI
from tests.team import DESK, Team

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


@dataclass(frozen=True)
class People:
    """The people of a desk, who call the API with tokens."""

    team: Team
    _headers: dict[tuple[str, Role | None], dict[str, str]] = field(default_factory=dict)

    def token(self, name: str, role: Role | None = None, days: int = 30, at: datetime | None = None) -> str:
        return make_token(self.team.engine, name, role, days, name, at or datetime.now(UTC))

    def headers(self, name: str, role: Role | None = None) -> dict[str, str]:
        """The header of one token, made when it is first asked for."""
        if (name, role) not in self._headers:
            self._headers[name, role] = {"Authorization": f"Bearer {self.token(name, role)}"}
        return self._headers[name, role]


def with_people(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> People:
    """Put a desk into team mode: ada is admin, ana and ben review, olga operates, vic views."""
    monkeypatch.delenv("DOSVOTOS_SINGLE_USER", raising=False)
    return People(Team(desk.engine).begin((*DESK, ("vic", "viewer"))))


@pytest.fixture
def people(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> People:
    """The desk's people, on SQLite."""
    return with_people(desk, monkeypatch)


@pytest.fixture
def no_component_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare an AppTest the search of every installed package for Streamlit components, 0.6 s."""
    scan = "streamlit.components.v2.manifest_scanner.scan_component_manifests"
    monkeypatch.setattr(scan, lambda *_, **__: [])


@pytest.fixture
def no_magic() -> Iterator[None]:
    """Write no bare string of a script to its page, as the project's configuration says."""
    with patch_config_options({"runner.magicEnabled": False}):
        yield


_REGISTERED: dict[str, Any] = {}
"""Pages that a run of the app has registered with Streamlit, by the hash of their address."""


def _switch(at: AppTest, view: str) -> None:
    """Let an app's first run be that of a page, as its address in a browser does.

    An AppTest knows no page before a run; it is told those that an earlier test's has registered.
    """
    if not any(info["script_path"] == str(UI.parent / view) for info in _REGISTERED.values()):
        at.run()
        _REGISTERED.update(at._registered_pages)
    at._registered_pages = dict(_REGISTERED)
    at.switch_page(view)


@pytest.fixture
def open_page(desk: Desk, no_component_scan: None, no_magic: None) -> Callable[..., AppTest]:
    """Open a page of the desk's app as Streamlit runs it."""

    def open_(
        page: str = "proposals", language: str = "en", proposal_id: int | None = None, **address: str
    ) -> AppTest:
        at = AppTest.from_file(UI, default_timeout=60)
        at.session_state["language"] = language
        if page != "proposals":
            _switch(at, f"views/{page}.py")
        if proposal_id is not None:
            at.query_params["id"] = str(proposal_id)
        for name, value in address.items():
            at.query_params[name] = value
        at.run()
        assert not at.exception
        return at

    return open_
