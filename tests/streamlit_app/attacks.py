"""What is tried against the API: each function tries one kind and gives what got through."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import GenerationMode

from dosvotos.audit.tokens import revoke_token
from dosvotos.promotion.house_acts import RevokeReviewer
from streamlit_app.access import POLICY
from tests.proposal_fixtures import Desk
from tests.streamlit_app.conftest import People
from tests.streamlit_app.routes import call, may_call, was_refused
from tests.team import WHY

HOLDERS = {"vic": "viewer", "olga": "operator", "ana": "reviewer", "ada": "admin"}
MONTH_AGO = timedelta(days=31)
FORGED = ["ben", "ada", "ANA2", "", "ana\u200b", "аna", "admin", "root", "alice", "ana\x00"]  # noqa: RUF001
NAME_HEADERS = ("X-Reviewer", "X-User", "Remote-User", "X-Forwarded-User", "X-Remote-User", "From")
TEXT = "/api/experiments/1/decision-text?action=APPROVE"
A_HASH = "0" * 64
HOSTILE_PATHS = [
    f"/api/experiments/{'9' * 5_000}", f"/api/experiments/{'9' * 400}", f"/experiments/{'9' * 5_000}",
    f"/experiments/{'9' * 1_900}", f"/experiments/{'9' * 1_900}/review", f"/api/backtests/{'9' * 1_000}",
    f"/api/signals?limit={'9' * 5_000}", f"/api/signals?limit={'9' * 1_900}", f"/review?id={'9' * 1_900}",
    "/api/experiments/%00", "/%00", "/api/experiments?experiment=%00", "/api/signals?instrument=%00",
    "/api/signals?since=%00", "/static/%00.js", "/media/%00", "/experiments/1/%00", "/api/%0a",
    "/api/experiments/1%0d%0aX-Evil:%201", "/api/signals?since=2026-01-30T13:05:00", "/api/signals?since=now",
    "/api/signals?since=99999-01-01T00:00:00Z", "/api/signals?since=0001-01-01T00:00:00%2B14:00",
    "/api/signals?since=9999-12-31T23:59:59-14:00", "/api/signals?since=1e999", "/api/signals?since=-1e12",
    "/api/experiments?before=-1", "/api/experiments?limit=1e3", "/api/experiments?status=NONE",
    f"{TEXT}&reason_sha256=x", f"{TEXT}&reason_sha256={A_HASH}&lapses={{",
    f"{TEXT}&reason_sha256={A_HASH}&lapses={{\"max_drawdown\":NaN}}",
    f"{TEXT}&reason_sha256={A_HASH}&lapses={{\"max_age_days\":{'9' * 150}}}",
]  # fmt: skip
SECRET_WORDS = ("root:x:", "BEGIN OPENSSH", "[tool.kedro]", "import streamlit")
TRAVERSALS = [
    f"{root}{step * 8}{target}"
    for root in (
        "/static/",
        "/media/",
        "/api/experiments/",
        "/_stcore/bidi-components/",
        "/experiments/",
        "/",
    )
    for step in ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "....//", "..%252f", "..%c0%af")
    for target in ("etc/passwd", "pyproject.toml")
]
INJECTIONS = [
    "' OR 1=1--", "1; DROP TABLE model_registry", '" OR ""="', "1 UNION SELECT salt FROM api_tokens",
    "${jndi:ldap://x}", "{{7*7}}", "$(id)", "`id`", "<script>alert(1)</script>", "%s%n", "'; --",
]  # fmt: skip
PUBLIC = "https://votos.example.com"
GOOD_ADDRESSES = [
    ("votos.example.com", PUBLIC), ("votos.example.com", None), ("VOTOS.example.com", PUBLIC),
    ("localhost:8501", "http://localhost:8501"), ("127.0.0.1:8501", None),
]  # fmt: skip
"""Host and Origin of a team's app."""
BAD_ADDRESSES = [
    ("votos.example.com", "http://votos.example.com", 403),
    ("votos.example.com", "https://votos.example.com:8443", 403),
    ("votos.example.com", "https://evil.example.com", 403),
    ("votos.example.com", "http://localhost:8501", 403),
    ("votos.example.com", "null", 403),
    ("localhost:8501", PUBLIC, 403),
    ("votos.example.com.evil.test", PUBLIC, 400),
    ("xvotos.example.com", None, 400),
    ("votos.example.com:8443", PUBLIC, 400),
    ("votos.example.com.", PUBLIC, 400),
    ("evil.test", None, 400),
    ("", None, 400),
]
"""And the status they get."""


class Tried(NamedTuple):
    """How much was tried, and what went otherwise than it must."""

    count: int
    wrong: list[Any]


def gathered(tried: Iterator[tuple[bool, Any]]) -> Tried:
    """Count what was tried, and keep what was not right."""
    every = list(tried)
    return Tried(len(every), [what for right, what in every if not right])


def bad_credentials(people: People) -> dict[str, dict[str, str]]:
    """Everything that opens nothing; ben is revoked for it."""
    now = datetime.now(UTC)
    revoked, of_ben, right = people.token("ana"), people.token("ben"), people.token("ana")
    revoke_token(people.team.engine, revoked.split("_")[1], "ana", now)
    people.team.do(RevokeReviewer(WHY, "ben"), "ada")
    sent = {
        "none": None,
        "garbage": "Bearer x",
        "empty": "Bearer ",
        "another secret": f"Bearer {right[:-3]}{'AAA' if right[-3:] != 'AAA' else 'BBB'}",
        "another scheme": "Basic YW5hOmFuYQ==",
        "expired": f"Bearer {people.token('ana', days=30, at=now - MONTH_AGO)}",
        "revoked": f"Bearer {revoked}",
        "of somebody revoked": f"Bearer {of_ben}",
    }
    return {name: {"Authorization": one} if one else {} for name, one in sent.items()}


def routes_by_credentials(client: Any, people: People, all_of_nobodys: bool = True) -> Tried:
    """Call every route with every credential; right is what a second table says.

    What nobody may call need not be tried with all of them: none and a reviewer's have to do.
    """
    credentials: dict[str, tuple[str | None, dict[str, str]]] = {
        name: (None, headers) for name, headers in bad_credentials(people).items()
    }
    credentials |= {name: (role, people.headers(name)) for name, role in HOLDERS.items()}
    return gathered(
        (was_refused(call(client, rule, headers)) != may_call(rule, role), (rule, name))
        for rule in POLICY
        for name, (role, headers) in credentials.items()
        if all_of_nobodys or rule.who != "nobody" or name in ("none", "ana")
    )


def forged_names(client: Any, people: People, desk: Desk, proposal_id: int) -> Tried:
    """Vote as ana under other names: in the body a 403, elsewhere a name that counts for nothing."""
    path, headers = f"/api/experiments/{proposal_id}/approve", people.headers("ana")
    vote = {"decision": "REQUEST_MORE_TESTS"}

    def tried() -> Iterator[tuple[bool, Any]]:
        for name in FORGED:
            in_body = client.post(path, headers=headers, json={**vote, "reviewer": name})
            yield in_body.status_code == 403, name
            sent = {header: name.encode() for header in NAME_HEADERS} if "\x00" not in name else {}
            named = {"reviewer": name, "user": name, "name": name} if sent else {}
            client.post(path, params=named, headers={**sent, **headers}, json=vote)
            yield {row.reviewer for row in desk.votes() if row.proposal_id} == {"ana"}, name

    return gathered(tried())


def wrong_headers(proxy: Any, people: People) -> Tried:
    """Ask under right and wrong addresses; DOSVOTOS_PUBLIC_URL must state PUBLIC."""
    token = people.headers("vic")
    cases = [*((*good, 200) for good in GOOD_ADDRESSES), *BAD_ADDRESSES]

    def tried() -> Iterator[tuple[bool, Any]]:
        for host, origin, status in cases:
            headers = {"Host": host, "X-Forwarded-Proto": "https", **token}
            headers |= {"Origin": origin} if origin else {}
            yield proxy.get("/api/experiments", headers=headers).status_code == status, (host, origin)

    return gathered(tried())


def hostile_addresses(client: Any, people: People) -> Tried:
    """Ask for what is no address; nothing may fail."""
    headers = people.headers("ana")

    def tried() -> Iterator[tuple[bool, Any]]:
        for path in HOSTILE_PATHS:
            answer = client.get(path, headers=headers)
            yield answer.status_code < 500 and "x-evil" not in answer.headers, (path[:80], answer.status_code)

    return gathered(tried())


def traversals(client: Any, people: People) -> Tried:
    """Ask for files outside of what is served."""
    headers = people.headers("ana")

    def tried() -> Iterator[tuple[bool, Any]]:
        for path in TRAVERSALS:
            answer = client.get(path, headers=headers)
            leaked = any(word in answer.text for word in SECRET_WORDS)
            yield answer.status_code < 500 and not leaked, (path, answer.status_code)

    return gathered(tried())


def injections(client: Any, people: People, desk: Desk, proposal_id: int) -> Tried:
    """Send text that is a program elsewhere: filters refuse it, notes keep it as it is."""
    path, headers = f"/api/experiments/{proposal_id}/approve", people.headers("ana")

    def tried() -> Iterator[tuple[bool, Any]]:
        for text in INJECTIONS:
            for route, name in (
                *(("experiments", one) for one in ("experiment", "instrument", "status", "before")),
                *(("signals", one) for one in ("since", "instrument", "limit")),
            ):
                answer = client.get(f"/api/{route}", params={name: text}, headers=headers)
                yield answer.status_code == 422, (name, text)
            vote = {"decision": "REQUEST_MORE_TESTS", "notes": text}
            key = {"Idempotency-Key": text.replace(" ", "")}
            yield client.post(path, headers=headers | key, json=vote).status_code == 200, text
            yield desk.votes()[-1].notes == text, text

    return gathered(tried())


def fuzzed(client: Any, people: People, examples: int) -> Tried:
    """Send what OpenAPI allows and forbids, as ana; right is anything but a 5xx."""
    document = json.loads(client.get("/api/openapi.json").text)
    headers = people.headers("ana")
    found: list[tuple[bool, Any]] = []
    for operation in schemathesis.openapi.from_dict(document).get_all_operations():
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _send_all(client, headers, operation.ok().as_strategy(mode), examples, found)
    return gathered(iter(found))


def _send_all(client: Any, headers: dict[str, str], cases: Any, examples: int, found: list[Any]) -> None:
    @settings(
        max_examples=examples, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(case=cases)
    def send(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url="http://localhost:8501/api")
        body = {"json": sent["json"]} if "json" in sent else {"content": sent.get("data")}
        stated = {
            name: value.encode("utf-8", "replace") for name, value in {**sent["headers"], **headers}.items()
        }
        answer = client.request(sent["method"], sent["url"], params=sent["params"], headers=stated, **body)
        found.append((answer.status_code < 500, (case, answer.status_code)))

    send()
