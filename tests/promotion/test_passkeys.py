"""People with passkeys: invited, enrolled, added by an admin's signature; what they sign, prove and lose."""

import random
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.current_trust import current_trust
from dosvotos.audit.enrolment import (
    challenge_of,
    enrol,
    find_invitation,
    invite,
    open_invitations,
    read_enrolment,
    waiting_enrolments,
)
from dosvotos.audit.people import AddedPerson, allowed_signers, ended_keys, people_missing
from dosvotos.commands.homes import write_vote
from dosvotos.database.connection import reading, writing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.people_on_log import trainer_on_log
from dosvotos.database.people_tables import enrolments, invitations, passkey_counters
from dosvotos.errors import (
    ContractError,
    DecisionConflictError,
    DecisionError,
    NotAllowedError,
    SignatureError,
)
from dosvotos.promotion.decision import Vote, decide, vote_text
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer, SetPolicy
from dosvotos.promotion.transaction import Signed, carry_out, text_to_sign
from dosvotos.signing.relying_party import relying_party
from tests.audit.test_exported_vote import commands_of, verify
from tests.authenticator import Authenticator
from tests.conftest import parameters_of
from tests.promotion.test_signed_votes import whole
from tests.proposal_fixtures import Desk, open_desk
from tests.team import WHY, Team, now

ORIGIN = "http://localhost:8501"


@pytest.fixture
def both(engine, tmp_path, monkeypatch) -> Desk:
    """A desk on each database, for what the database decides."""
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


@pytest.fixture
def both_team(both) -> Team:
    return Team(both.engine).begin()


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    with open_desk(f"sqlite:///{tmp_path}/data/dosvotos.db", tmp_path) as desk:
        yield desk


@pytest.fixture
def team(desk) -> Team:
    return Team(desk.engine).begin()


def enrolled(team: Team, name: str, role: str = "reviewer", by: str = "ada") -> Authenticator:
    """Invite somebody, who makes a passkey that nobody has signed for yet."""
    code = invite(team.engine, name, role, by, now()).partition("#")[2]  # type: ignore[arg-type]
    authenticator = Authenticator()
    enrol(team.engine, code, authenticator.register(challenge_of(code)), ORIGIN, now(), relying_party())
    return authenticator


def with_passkey(team: Team, name: str, role: str = "reviewer") -> Authenticator:
    """Somebody with a passkey that counts."""
    authenticator = enrolled(team, name, role)
    team.do(AddReviewer(WHY, read_enrolment(team.engine, name).added), "ada")
    team.keys[name] = authenticator  # type: ignore[assignment]
    return authenticator


def test_an_invitation_adds_nobody_and_an_admin_s_signature_over_the_very_key_does(desk, team):
    carla = enrolled(team, "carla")
    team.keys["carla"] = carla  # type: ignore[assignment]
    proposal_id = desk.propose("one", 1)
    with pytest.raises(NotAllowedError, match="carla is nobody on this log"):
        team.vote(proposal_id, "carla")
    waiting = read_enrolment(desk.engine, "carla")
    assert (waiting.role, waiting.invited_by, waiting.key) == ("reviewer", "ada", carla.public_key)
    with pytest.raises(NotAllowedError):
        team.do(AddReviewer(WHY, waiting.added), "ana")
    team.do(AddReviewer(WHY, waiting.added), "ada")
    with pytest.raises(DecisionError, match="no passkey of theirs waits"):
        read_enrolment(desk.engine, "carla")
    assert team.vote(proposal_id, "carla").new_stage == "production"
    assert whole(desk) and team.vote(
        desk.propose("two", 2, baseline_model_id=desk.proposal(proposal_id).model_id), "ana"
    )


def test_an_invitation_counts_once_for_a_day_and_the_newest_alone(both, both_team):
    first, second = (
        invite(both.engine, "carla", "operator", "ada", now()).partition("#")[2] for _ in range(2)
    )
    with reading(both.engine) as connection:
        with pytest.raises(DecisionConflictError, match="a newer one"):
            find_invitation(connection, first, now())
        for code in ("", "x" * 43, second + "x", second[:-1], "é" * 43):
            with pytest.raises(DecisionError, match="is none"):
                find_invitation(connection, code, now())
        with pytest.raises(DecisionError, match="has expired"):
            find_invitation(connection, second, now() + timedelta(hours=24))
        assert [row.name for row in open_invitations(connection, now())] == ["carla"]
        assert second not in str(connection.execute(select(invitations)).all())
    one, site = Authenticator(), relying_party()
    with pytest.raises(SignatureError):  # made for another link
        enrol(both.engine, second, one.register(challenge_of(first)), ORIGIN, now(), site)
    enrol(both.engine, second, one.register(challenge_of(second)), ORIGIN, now(), site)
    other = Authenticator()
    with pytest.raises(DecisionConflictError, match="was used"):
        enrol(both.engine, second, other.register(challenge_of(second)), ORIGIN, now(), site)
    third = invite(both.engine, "carla", "operator", "ada", now())
    with reading(both.engine) as connection:
        assert waiting_enrolments(connection, current_trust(connection)) == []
    assert third.startswith("http://localhost:8501/desk/enrol#")


def test_only_an_admin_invites_and_nobody_who_could_not_be_added(desk, team):
    for by in ("ana", "olga", "eve"):
        with pytest.raises(NotAllowedError):
            invite(desk.engine, "carla", "reviewer", by, now())
    for name in ("", "a b", "ana\n", "../x", "x" * 65, "<b>"):
        with pytest.raises(DecisionError, match="letters, digits"):
            invite(desk.engine, name, "reviewer", "ada", now())
    for name, role in (("ANA", "reviewer"), ("ana", "operator")):
        with pytest.raises(DecisionError, match="is reviewer already"):
            invite(desk.engine, name, role, "ada", now())


def test_whoever_writes_the_database_enrols_and_still_adds_nobody(desk, team):
    eve = Authenticator()
    with writing(desk.engine) as connection:
        row = {"name": "eve", "role": "reviewer", "code_hash": "0" * 64, "invited_by": "ada"}
        times = {"created_at": now(), "expires_at": now() + timedelta(days=1)}
        made = connection.execute(insert(invitations).values(**row, **times)).inserted_primary_key[0]
        connection.execute(
            insert(enrolments).values(invitation_id=made, key=eve.public_key.line, created_at=now())
        )
    team.keys["eve"] = eve  # type: ignore[assignment]
    with pytest.raises(NotAllowedError, match="eve is nobody"):
        team.vote(desk.propose("one", 1), "eve")


def test_one_person_has_an_ssh_key_and_a_passkey_and_signs_with_either(desk, team):
    ssh = team.key("ana")
    passkey = with_passkey(team, "ana")
    with reading(desk.engine) as connection:
        current = current_policy(connection)
    team.do(SetPolicy(WHY, current.model_copy(update={"quorum": 2})), "ada")
    proposal_id = desk.propose("one", 1)
    assert team.vote(proposal_id, "ana").missing == 1
    team.keys["ana"] = ssh
    with pytest.raises(DecisionConflictError, match="approved it already"):  # one person, two keys: one vote
        team.vote(proposal_id, "ana")
    assert team.vote(proposal_id, "ben").status == "APPROVED"
    with pytest.raises(DecisionError, match="only an SSH key and a passkey"):
        team.do(
            AddReviewer(WHY, AddedPerson(name="ana", role="reviewer", key=Authenticator().public_key.line)),
            "ada",
        )
    with pytest.raises(DecisionError, match="the key is ana's"):
        team.do(AddReviewer(WHY, AddedPerson(name="cai", role="viewer", key=passkey.public_key.line)), "ada")
    with pytest.raises(DecisionError, match="only an SSH key and a passkey"):
        team.do(
            AddReviewer(WHY, AddedPerson(name="ben", role="operator", key=Authenticator().public_key.line)),
            "ada",
        )
    team.do(RevokeReviewer(WHY, "ana"), "ada")
    for key in (ssh, passkey):
        team.keys["ana"] = key
        with pytest.raises(NotAllowedError, match="ana was revoked"):
            team.vote(proposal_id, "ana", "REJECT")
    assert whole(desk)


def test_the_home_lists_passkeys_where_openssh_reads_comments(desk, team):
    """A backup from before a revocation, or an addition, is recognised by them too."""
    with_passkey(team, "carla")
    with reading(desk.engine) as connection:
        before, home = current_trust(connection), open_home(connection)
    assert people_missing(home.allowed_signers, before) == []
    assert home.allowed_signers == allowed_signers(before)
    (line,) = (line for line in home.allowed_signers.splitlines() if "webauthn" in line)
    assert line.startswith("# carla ")
    team.do(RevokeReviewer(WHY, "carla"), "ada")
    ended = ended_keys(home.allowed_signers)
    assert [(person.name, person.key.line) in ended for person in before.active] == [False] * 4 + [True]


def test_a_passkey_s_vote_counts_on_this_site_and_while_its_counter_rises(both, both_team, monkeypatch):
    carla, proposal_id = with_passkey(both_team, "carla"), both.propose("one", 1)
    vote = Vote("REJECT", "carla", WHY)
    text = vote_text(both.engine, proposal_id, vote, now())

    def cast(**changes: object) -> object:
        signature = carla.sign(text.to_bytes(), **changes)
        return decide(both.engine, proposal_id, vote, now(), signed=Signed(str(text), signature))

    for origin in ("https://localhost:8501", "http://localhost:8501"):
        monkeypatch.setenv("DOSVOTOS_PUBLIC_URL", "https://desk.test")
        with pytest.raises(SignatureError, match=r"this desk is https://desk\.test"):
            cast(origin=origin)
    monkeypatch.delenv("DOSVOTOS_PUBLIC_URL")
    with pytest.raises(SignatureError, match="signed on https://localhost:8501"):
        cast(origin="https://localhost:8501")
    with writing(both.engine) as connection:
        used = {"fingerprint": carla.public_key.fingerprint, "counter": 41, "used_at": now()}
        connection.execute(insert(passkey_counters).values(used))
    for counter in (0, 1, 40, 41):
        with pytest.raises(SignatureError, match="its counter did not rise"):
            cast(counter=counter)
    assert both.proposal(proposal_id).status == "PENDING_APPROVAL"
    cast(counter=42)
    with pytest.raises(DecisionConflictError):
        cast(counter=43)
    with reading(both.engine) as connection:
        assert connection.execute(select(passkey_counters.c.counter)).scalar_one() == 42
    assert whole(both)


def test_an_authenticator_that_does_not_count_votes_again_and_again(desk, team):
    with_passkey(team, "carla").counts = False
    for seed in (1, 2):
        team.vote(desk.propose(f"e{seed}", seed), "carla", "REJECT")
    assert whole(desk)


def test_a_passkey_s_vote_is_verified_by_stock_openssl_alone(desk, team, tmp_path):
    """The README's commands in an empty environment; no byte of what it signed may change."""
    carla = with_passkey(team, "carla")
    team.vote(desk.propose("one", 1), "carla")
    row = len(desk.votes())
    folder = tmp_path / "vote"
    write_vote(desk.engine, row, folder)
    commands = commands_of(folder)
    accepted, output = verify(folder, commands)
    assert accepted, output
    assert "Verified OK" in output and f"row_{row}.json: OK" in output
    assert carla.public_key.fingerprint in (folder / "README.md").read_text()
    other = Authenticator().public_key.pem
    for name, change in (
        ("decision", lambda old: old.replace(b"production", b"shadow")),
        ("decision.client.json", lambda old: old.replace(b"webauthn.get", b"webauthn.gat")),
        ("decision.authenticator", lambda old: old[:32] + b"\1" + old[33:]),
        ("decision.authenticator", lambda old: b"\0" + old[1:]),
        ("decision.sig", lambda old: old[:-1] + bytes([old[-1] ^ 1])),
        ("decision.pem", lambda old: other),
    ):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(change(kept))
        assert not verify(folder, commands[:1])[0], name
        (folder / name).write_bytes(kept)
    for forged in (
        {"origin": "http://localhost.evil.test"},
        {"rp_id": "evil.test"},
        {"flags": 1},
        {"type": "x"},
    ):
        signed = carla.assertion((folder / "decision").read_bytes(), **forged)
        for name, content in (("sig", signed.signature), ("authenticator", signed.authenticator_data),
                              ("client.json", signed.client_data)):  # fmt: skip
            (folder / f"decision.{name}").write_bytes(content)
        assert not verify(folder, commands[:1])[0], forged
    write_vote(desk.engine, row - 1, tmp_path / "added")  # the ADD_REVIEWER that names the key
    assert carla.public_key.line in (tmp_path / "added/subject.json").read_text()


def test_the_first_admin_s_key_is_an_ssh_key(desk):
    team = Team(desk.engine, keys={"ada": Authenticator()})  # type: ignore[dict-item]
    with pytest.raises((DecisionError, SignatureError)):
        team.first("ada")


def interleave(desk: Desk, team: Team, seed: int) -> tuple[int, int]:
    """Let a revocation and a signed vote of one person meet; count votes, and those after it."""
    name, random_ = f"r{seed}", random.Random(seed)
    team.keys[name] = Authenticator()  # type: ignore[assignment]
    team.add(name, "reviewer")
    proposal_id = desk.propose(f"e{seed}", 1 + seed % 7, trained_by="bob")
    vote = Vote("REJECT", name, WHY)
    text = vote_text(desk.engine, proposal_id, vote, now())
    signed = team.sign(text, name)
    revoke = RevokeReviewer(WHY, name)
    revocation = team.sign(text_to_sign(desk.engine, revoke, "ada", now()), "ada")
    start = threading.Barrier(2)

    def cast() -> None:
        start.wait()
        threading.Event().wait(random_.random() * 0.01)
        try:
            decide(desk.engine, proposal_id, vote, now(), signed=signed)
        except (NotAllowedError, DecisionConflictError):
            return

    thread = threading.Thread(target=cast)
    thread.start()
    start.wait()
    threading.Event().wait(random_.random() * 0.01)
    carry_out(desk.engine, revoke, "ada", now(), revocation)
    thread.join()
    rows = desk.votes()
    (revoked,) = (row.id for row in rows if row.action == "REVOKE_REVIEWER" and row.subject["name"] == name)
    votes = [row.id for row in rows if row.reviewer == name]
    return len(votes), sum(row > revoked for row in votes)


@pytest.mark.parametrize(
    "batch", [pytest.param(batch, marks=[pytest.mark.campaign] if batch else []) for batch in range(51)]
)
def test_no_vote_of_a_revoked_person_is_taken_whoever_comes_first(both, both_team, batch):
    """A short batch in CI; the campaign's fifty make a thousand a database."""
    seeds = range(20 * batch, 20 * batch + (20 if batch else 3))
    found = [interleave(both, both_team, seed) for seed in seeds]
    assert [late for _, late in found] == [0] * len(seeds)
    print(f"votes that came first: {sum(votes for votes, _ in found)} of {len(seeds)}")
    assert whole(both)


def test_on_a_log_with_people_one_of_them_trains(desk, team):
    """Whoever trains under another name could approve their own model as somebody else."""
    with reading(desk.engine) as connection:
        assert trainer_on_log(connection, " ANA ") == "ana"
    with pytest.raises(ContractError, match="root: trains, but is none of the people"):
        ContractRegistry(desk.engine).draft(parameters_of("demo"), None, None, "root", now())  # type: ignore[arg-type]
    team.do(RevokeReviewer(WHY, "ana"), "ada")
    with reading(desk.engine) as connection, pytest.raises(ContractError, match=r"\(ada, ben, olga\)"):
        trainer_on_log(connection, "ana")


def test_in_single_user_mode_whoever_works_here_trains(desk):
    with reading(desk.engine) as connection:
        assert trainer_on_log(connection, "root") == "root"
