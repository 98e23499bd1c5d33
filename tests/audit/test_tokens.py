"""Tokens: who may make one, what it opens, and everything that ends it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select, update

from dosvotos.audit import tokens
from dosvotos.audit.tokens import MAX_DAYS, holder_of, make_token, revoke_token, roles_within
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import api_tokens
from dosvotos.errors import CredentialError, DecisionError, DosVotosError, NotAllowedError
from dosvotos.hashing import slow_digest
from dosvotos.promotion.house_acts import RevokeReviewer
from tests.team import DESK, WHY, Team

NOW = datetime.now(UTC)
ONE_DAY = timedelta(days=1)


@pytest.fixture
def team(engine: Engine) -> Team:
    return Team(engine).begin((*DESK, ("vic", "viewer")))


def refused(engine: Engine, token: str, at: datetime = NOW) -> str | None:
    with pytest.raises(CredentialError) as error:
        holder_of(engine, token, at)
    return error.value.code


def test_what_a_role_includes_follows_from_what_it_may_do():
    assert roles_within("viewer") == {"viewer"}
    assert roles_within("operator") == {"viewer", "operator"}
    assert roles_within("reviewer") == {"viewer", "operator", "reviewer"}
    assert roles_within("admin") == {"viewer", "admin"}  # an admin does not roll back, and never votes


def test_a_token_stands_for_its_person_until_the_day_it_expires(team: Team):
    token = make_token(team.engine, "ana", None, 30, "ana", NOW)
    assert holder_of(team.engine, token, NOW) == ("ana", "reviewer")
    assert holder_of(team.engine, token, NOW + 30 * ONE_DAY - timedelta(seconds=1)).name == "ana"
    assert refused(team.engine, token, NOW + 30 * ONE_DAY) == "token_expired"
    assert (
        holder_of(team.engine, make_token(team.engine, "ana", "viewer", 1, "ada", NOW), NOW).role == "viewer"
    )


def test_nothing_that_is_stored_or_changed_opens_anything(team: Team):
    token = make_token(team.engine, "ana", None, 1, "ana", NOW)
    with reading(team.engine) as connection:
        (row,) = connection.execute(select(api_tokens))
    secret = token.split("_", 2)[2]
    assert secret not in str(tuple(row)) and row.secret_hash == slow_digest(secret, bytes.fromhex(row.salt))
    assert (row.made_by, row.name) == ("ana", "ana")
    for guess in (row.secret_hash, f"dv_{row.id}_{row.secret_hash[:43]}", f"dv_{row.id}_", "", token[:-1]):
        assert refused(team.engine, guess) == "token_wrong"
    holder_of(team.engine, token, NOW)  # the right one, which the process knows from now on
    for index in (3, 20, len(token) - 2):  # of prefix, id, secret
        other = "0" if token[index] != "0" else "1"
        assert refused(team.engine, token[:index] + other + token[index + 1 :]) == "token_wrong"


def test_the_slow_hash_is_computed_once_and_every_end_is_seen_at_once(team: Team, monkeypatch):
    token = make_token(team.engine, "ana", None, 1, "ana", NOW)
    holder_of(team.engine, token, NOW)
    monkeypatch.setattr(tokens, "slow_digest", lambda *_: pytest.fail("computed again"))
    assert holder_of(team.engine, token, NOW).name == "ana"
    revoke_token(team.engine, token.split("_")[1], "ana", NOW)
    assert refused(team.engine, token) == "token_revoked"


def test_a_token_ends_with_its_person_for_good(team: Team):
    token = make_token(team.engine, "ben", None, 30, "ben", NOW)
    assert holder_of(team.engine, token, NOW).name == "ben"
    team.do(RevokeReviewer(WHY, "ben"), "ada")
    assert refused(team.engine, token) == "token_person"
    team.add("ben", "reviewer")
    assert refused(team.engine, token) == "token_person"
    assert holder_of(team.engine, make_token(team.engine, "ben", None, 1, "ben", NOW), NOW).name == "ben"


def test_a_role_that_was_raised_in_the_database_opens_nothing(team: Team):
    token = make_token(team.engine, "vic", None, 30, "vic", NOW)
    with writing(team.engine) as connection:
        connection.execute(update(api_tokens).values(role="reviewer"))
    assert refused(team.engine, token) == "token_person"


NOT_MADE = [
    ("ana", "admin", 1, "ana", "token_role"),
    ("olga", "reviewer", 1, "ada", "token_role"),
    ("ada", "reviewer", 1, "ada", "token_role"),
    ("ana", None, 1, "ben", "token_maker"),
    ("ana", None, 1, "mallory", "token_maker"),
    ("mallory", None, 1, "ada", "person_unknown"),
    ("ana", None, 0, "ana", "token_days"),
    ("ana", None, MAX_DAYS + 1, "ana", "token_days"),
]


def test_a_token_is_made_by_its_person_or_an_admin_within_the_persons_role_and_revoked_so_too(team: Team):
    for name, role, days, maker, code in NOT_MADE:
        with pytest.raises((DecisionError, NotAllowedError)) as error:
            make_token(team.engine, name, role, days, maker, NOW)
        assert error.value.code == code, (name, role, days, maker)
    refuses_to_revoke(team)


def refuses_to_revoke(team: Team) -> None:
    """Only a token's person or an admin revokes it, and only once."""
    token_id = make_token(team.engine, "ana", None, 1, "ana", NOW).split("_")[1]
    for by, one, code in (("ben", token_id, "token_maker"), ("ada", "0" * 16, "token_unknown")):
        with pytest.raises(DosVotosError) as error:
            revoke_token(team.engine, one, by, NOW)
        assert error.value.code == code
    revoke_token(team.engine, token_id, "ada", NOW)
    with pytest.raises(DecisionError):
        revoke_token(team.engine, token_id, "ada", NOW)


def test_a_log_without_people_needs_no_token(engine: Engine):
    with pytest.raises(DecisionError) as error:
        make_token(engine, "bob", None, 1, "bob", NOW)
    assert error.value.code == "token_single_user"
