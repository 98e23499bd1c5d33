"""Language and theme are kept in every address, and decide how a page opens."""

from urllib.parse import parse_qs, urlsplit

import pytest

from streamlit_app.addresses import keeping
from tests.proposal_fixtures import Desk
from tests.streamlit_app.conftest import TestClient

PARTS = ("review", "approve", "reject", "backtest", "lineage")
KEPT = {"lang": ["es"], "theme": ["dark"]}


@pytest.mark.parametrize(
    ("address", "leads_to"),
    [
        ("/experiments", "/"), ("/experiments/pending", "/"), ("/experiments/compare", "/compare"),
        ("/experiments/7", "/review"),
        *((f"/experiments/7/{one}", "/review") for one in PARTS),
    ],
)  # fmt: skip
def test_the_specification_s_addresses_keep_language_and_theme(
    client: TestClient, address: str, leads_to: str
):
    answer = client.get(f"{address}?lang=es&theme=dark&else=1")
    found = urlsplit(answer.headers["location"])
    query = parse_qs(found.query)
    assert (answer.status_code, found.path) == (307, leads_to)
    assert {name: query[name] for name in KEPT} == KEPT and "else" not in query
    assert query.get("id") == (["7"] if leads_to == "/review" else None)


@pytest.mark.parametrize("page", ["/", "/review", "/people"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_is_opened_in_the_theme_of_its_address(client: TestClient, desk: Desk, page: str, theme: str):
    other = "light" if theme == "dark" else "dark"
    answer = client.get(f"{page}?id=3&theme={theme}&embed_options={other}_theme")
    found = urlsplit(answer.headers["location"])
    assert (answer.status_code, found.path) == (307, page)
    assert parse_qs(found.query) == {"id": ["3"], "theme": [theme], "embed_options": [f"{theme}_theme"]}
    assert client.get(answer.headers["location"]).status_code == 200


@pytest.mark.parametrize("query", ["", "?theme=", "?theme=violet", "?embed_options=dark_theme", "?lang=es"])
def test_an_address_without_a_theme_is_opened_as_it_is(client: TestClient, desk: Desk, query: str):
    assert client.get(f"/review{query}").status_code == 200


def test_what_nobody_can_choose_is_not_kept():
    assert keeping("/", {"lang": "fr", "theme": "violet", "id": "1"}) == "/"
    assert keeping("/review?id=1", {"theme": "dark"}) == "/review?id=1&theme=dark"
