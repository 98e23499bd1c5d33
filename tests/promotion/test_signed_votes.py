"""A vote is its person's own signature: who may give it, over what, when, and how often."""

import shutil
import subprocess
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import insert, select, update

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.decision_text import DecisionText, parse_text
from dosvotos.audit.log import append_audit_row
from dosvotos.audit.people import MAY
from dosvotos.database.append_only import renew_guards
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import DecisionConflictError, DecisionError, HomeError, NotAllowedError, SignatureError
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.decision import Vote, decide, vote_text
from dosvotos.promotion.gate_policy import TripwireBounds, current_policy
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer, SetPolicy
from dosvotos.promotion.live_acts import Rollback, SwitchSignals, read_live_state
from dosvotos.promotion.reopening import Reopen
from dosvotos.promotion.transaction import Signed, carry_out
from dosvotos.promotion.tripwires import Lapses, StatedTripwires
from dosvotos.signing.sshsig import VOTE_NAMESPACE
from tests.promotion.test_audit_check import chain_again, without_guards
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team, now


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


@pytest.fixture
def team(desk) -> Team:
    return Team(desk.engine).begin()


def whole(desk: Desk) -> bool:
    with reading(desk.engine) as connection:
        return verify_audit(connection, full=True) == []


def test_a_reviewer_s_signed_vote_promotes_and_the_log_proves_it(desk, team):
    result = team.vote(desk.propose("one", 1), "ana")
    assert (result.new_stage, result.status, desk.epoch()) == ("production", "APPROVED", 1)
    row = desk.votes()[-1]
    text = parse_text(row.text)
    assert (text.action, text.reviewer, text.proposal, text.epoch) == ("APPROVE", "ana", 1, 0)
    assert row.mode == "team" and row.signature == team.key("ana").sign(row.text.encode(), VOTE_NAMESPACE)
    assert whole(desk)


@pytest.mark.parametrize(("name", "role"), [("ada", "admin"), ("olga", "operator"), ("vera", "viewer")])
def test_only_a_reviewer_votes(desk, team, name, role):
    if name == "vera":
        team.add("vera", "viewer")
    proposal_id = desk.propose("one", 1)
    for decision in ("APPROVE", "REJECT", "REQUEST_MORE_TESTS"):
        with pytest.raises(NotAllowedError, match=f"{name} is {role}; {decision} is for reviewer"):
            team.vote(proposal_id, name, decision)
    assert desk.proposal(proposal_id).status == "PENDING_APPROVAL"


def test_roles_are_those_of_the_table(desk, team):
    """Halts and acts about people by every role: done or refused as `MAY` says, else right."""
    team.add("vera", "viewer")
    roles = {"ada": "admin", "ana": "reviewer", "olga": "operator", "vera": "viewer"}
    n_refused = 0
    for action in ("HALT", "RESUME"):
        for name, role in roles.items():
            act = SwitchSignals(action, INSTRUMENT, WHY)
            if read_state(desk) == ("HALTED" if action == "HALT" else "ACTIVE"):
                team.do(SwitchSignals("RESUME" if action == "HALT" else "HALT", INSTRUMENT, WHY), "ada")
            if role in MAY[action]:
                team.do(act, name)
            else:
                n_refused += 1
                with pytest.raises(NotAllowedError):
                    team.do(act, name)
    for name in ("ana", "olga", "vera"):
        for act in (RevokeReviewer(WHY, "ben"), AddReviewer(WHY, team.person("eve", "reviewer"))):
            n_refused += 1
            with pytest.raises(NotAllowedError, match="is for admin"):
                team.do(act, name)
    assert n_refused == 10 and whole(desk)


def read_state(desk: Desk) -> str:
    with reading(desk.engine) as connection:
        return read_live_state(connection, INSTRUMENT)


def test_a_vote_without_or_with_another_s_signature_is_none(desk, team):
    proposal_id = desk.propose("one", 1)
    vote = Vote("APPROVE", "ana", WHY)
    text = vote_text(desk.engine, proposal_id, vote, now())
    with pytest.raises(SignatureError, match="needs its person's own signature"):
        decide(desk.engine, proposal_id, vote, now())
    for other in ("ben", "ada", "olga"):
        with pytest.raises(SignatureError, match="which is not the key of ana"):
            decide(desk.engine, proposal_id, vote, now(), signed=team.sign(text, other)._replace(second=None))
    with reading(desk.engine) as connection:
        home = open_home(connection)
    server = Signed(str(text), home.server().sign(text.to_bytes(), VOTE_NAMESPACE))
    with pytest.raises(SignatureError, match="which is not the key of ana"):
        decide(desk.engine, proposal_id, vote, now(), signed=server)
    assert desk.stages() == {desk.proposal(proposal_id).model_id: "staging"}


def test_every_line_of_the_text_is_what_is_decided(desk, team):
    """Each line changed, and signed by the right person: refused, naming the line."""
    proposal_id = desk.propose("one", 1)
    vote = Vote("APPROVE", "ana", WHY)
    text = vote_text(desk.engine, proposal_id, vote, now())
    other = {
        "instrument": "USD/COP", "action": "REJECT", "proposal": 9, "dossier": "0" * 64, "model": "1" * 64,
        "stage": "shadow", "replaces": "2" * 64, "epoch": 5, "policy": 7, "extra": "3" * 64,
        "lapses": None, "subject": "4" * 64, "reason": "5" * 64, "reviewer": "ben",
    }  # fmt: skip
    assert other.keys() == DecisionText.model_fields.keys() - {"at"}
    for name, value in other.items():
        forged = text.model_copy(update={name: value})
        with pytest.raises(DecisionConflictError, match=f"the signed text says {name}: "):
            decide(desk.engine, proposal_id, vote, now(), signed=team.sign(forged, "ana"))
    assert decide(desk.engine, proposal_id, vote, now(), signed=team.sign(text, "ana")).status == "APPROVED"


@pytest.mark.parametrize("minutes", [-2, 10.1, 600])
def test_a_signature_counts_ten_minutes_and_none_from_the_future(desk, team, minutes):
    proposal_id = desk.propose("one", 1)
    vote = Vote("REJECT", "ana", WHY)
    at = now()
    text = vote_text(desk.engine, proposal_id, vote, at)
    with pytest.raises(SignatureError, match="a signature counts for 10 minutes: sign again"):
        decide(desk.engine, proposal_id, vote, at + timedelta(minutes=minutes), signed=team.sign(text, "ana"))
    inside = at + timedelta(minutes=9.9)
    assert decide(desk.engine, proposal_id, vote, inside, signed=team.sign(text, "ana")).status == "REJECTED"


def test_a_signature_counts_once(desk, team):
    halt = SwitchSignals("HALT", INSTRUMENT, WHY)
    first = team.do(halt, "olga").row
    team.do(SwitchSignals("RESUME", INSTRUMENT, WHY), "ada")
    with pytest.raises(DecisionConflictError, match="this very signature was used before"):
        carry_out(desk.engine, halt, "olga", now(), Signed(first.text, first.signature))
    assert read_state(desk) == "ACTIVE"


def test_a_signature_of_another_epoch_is_refused(desk, team):
    waiting = desk.propose("two", 2)
    vote = Vote("REJECT", "ben", WHY)
    text = vote_text(desk.engine, waiting, vote, now())
    team.vote(desk.propose("one", 1), "ana")
    with pytest.raises(
        DecisionConflictError, match="says epoch: 0, but it is 1 now; read again and sign again"
    ):
        decide(desk.engine, waiting, vote, now(), signed=team.sign(text, "ben"))


def test_a_reviewer_revoked_a_moment_ago_decides_nothing_and_earlier_votes_stand(desk, team):
    first = team.vote(desk.propose("one", 1), "ana")
    waiting = desk.propose("two", 2, baseline_model_id=first.model_id)
    vote = Vote("APPROVE", "ana", WHY)
    signed = team.sign(vote_text(desk.engine, waiting, vote, now()), "ana")
    team.do(RevokeReviewer(WHY, "ana"), "ada")
    with pytest.raises(NotAllowedError, match="ana was revoked"):
        decide(desk.engine, waiting, vote, now(), signed=signed)
    assert desk.stages()[first.model_id] == "production" and whole(desk)


def test_nobody_approves_what_they_trained_by_rule_and_by_constraint(desk, team):
    proposal_id = desk.propose("one", 1, trained_by="Ana ")
    with pytest.raises(NotAllowedError, match=r"ana trained .* may not approve"):
        team.vote(proposal_id, "ana")
    entry = {
        "action": "APPROVE", "model_id": "m", "proposal_id": proposal_id, "reviewer": "ana", "notes": WHY,
        "new_stage": "staging", "self_approved": False, "epoch": 0, "mode": "team", "trained_by": "Ana ",
    }  # fmt: skip
    with pytest.raises(sa.exc.IntegrityError, match="not_own_model"), writing(desk.engine) as connection:
        append_audit_row(connection, entry, now())
    assert team.vote(proposal_id, "ben").status == "APPROVED"


def test_with_a_quorum_of_two_two_people_sign_the_same_before_production(desk, team):
    set_quorum(desk, team, 2)
    proposal_id = desk.propose("one", 1)
    first = team.vote(proposal_id, "ana")
    assert (first.missing, first.status, first.new_stage) == (1, "PENDING_APPROVAL", "staging")
    assert desk.proposal(proposal_id).status == "PENDING_APPROVAL" and desk.epoch() == 0 and whole(desk)
    with pytest.raises(DecisionConflictError, match="ana has approved it already"):
        team.vote(proposal_id, "ana")
    second = team.vote(proposal_id, "ben")
    assert (second.missing, second.status, second.new_stage) == (0, "APPROVED", "production")
    assert whole(desk)
    one, two = (parse_text(row.text) for row in desk.votes()[-2:])
    assert one.decided == two.decided and (one.reviewer, two.reviewer) == ("ana", "ben")


def test_the_approval_of_somebody_revoked_since_counts_no_more(desk, team):
    set_quorum(desk, team, 2)
    proposal_id = desk.propose("one", 1)
    team.vote(proposal_id, "ana")
    team.do(RevokeReviewer(WHY, "ana"), "ada")
    assert team.vote(proposal_id, "ben").missing == 1
    assert (
        desk.proposal(proposal_id).status == "PENDING_APPROVAL" and "production" not in desk.stages().values()
    )
    team.keys.pop("ana")
    team.add("ana", "reviewer")
    assert team.vote(proposal_id, "ana").new_stage == "production"
    assert whole(desk)


def set_quorum(desk: Desk, team: Team, quorum: int) -> None:
    with reading(desk.engine) as connection:
        policy = current_policy(connection)
    team.do(SetPolicy(WHY, policy.model_copy(update={"quorum": quorum})), "ada")


def test_the_quorum_is_a_constraint_and_one_reject_closes(desk, team):
    set_quorum(desk, team, 2)
    proposal_id = desk.propose("one", 1)
    team.vote(proposal_id, "ana")
    row = dict(desk.votes()[-1]._mapping)
    row |= {
        "id": 90,
        "row_hash": "9" * 64,
        "text_hash": "8" * 64,
        "reviewer": "eve",
        "new_stage": "production",
    }
    with pytest.raises(sa.exc.IntegrityError, match="quorum_reached"), writing(desk.engine) as connection:
        connection.execute(insert(approval_audit_log).values(row))
    row |= {"reviewer": "ana", "new_stage": "staging"}
    with pytest.raises(sa.exc.IntegrityError), writing(desk.engine) as connection:
        connection.execute(insert(approval_audit_log).values(row))
    assert team.vote(proposal_id, "ben", "REJECT").status == "REJECTED"
    with pytest.raises(DecisionConflictError, match="is REJECTED"):
        team.vote(proposal_id, "ana")
    assert whole(desk)


def test_another_reviewer_reopens_what_one_rejected(desk, team):
    proposal_id = desk.propose("one", 1)
    team.vote(proposal_id, "ana", "REJECT")
    with pytest.raises(NotAllowedError, match="ana rejected this model; another reviewer"):
        team.do(Reopen(proposal_id, "ana", WHY), "ana")
    team.do(Reopen(proposal_id, "ben", WHY), "ben")
    row = desk.proposal(proposal_id)
    assert (row.status, row.reviewer, row.reopened_at) == (
        "PENDING_APPROVAL",
        None,
        desk.votes()[-1].created_at,
    )
    assert whole(desk) and team.vote(proposal_id, "ana").status == "APPROVED" and whole(desk)


def test_reopening_gives_thirty_days_more(desk, team):
    proposal_id = desk.propose("one", 1, created_at=now() - timedelta(days=29))
    team.vote(proposal_id, "ana", "REJECT")
    team.do(Reopen(proposal_id, "ben", WHY), "ben")
    later = now() + timedelta(days=25)
    vote = Vote("REJECT", "ana", WHY)
    signed = team.sign(vote_text(desk.engine, proposal_id, vote, later), "ana")
    assert decide(desk.engine, proposal_id, vote, later, signed=signed).status == "REJECTED"


def test_in_single_user_mode_the_same_person_reopens_and_it_is_marked(desk):
    proposal_id = desk.propose("one", 1)
    decide(desk.engine, proposal_id, Vote("REJECT", "bob", WHY), now())
    row = carry_out(desk.engine, Reopen(proposal_id, "bob", WHY), "bob", now()).row
    assert (
        row.subject == {"rejected_in": 1, "self_reopened": True} and row.mode == "single-user" and whole(desk)
    )


def test_rollback_goes_back_one_by_one_and_only_to_what_was_signed(desk, team):
    models = []
    for seed, experiment in enumerate(("one", "two", "three"), start=1):
        before = models[-1] if models else None
        models.append(team.vote(desk.propose(experiment, seed, baseline_model_id=before), "ana").model_id)
    for model_id in (models[1], models[0]):
        team.do(Rollback(INSTRUMENT, WHY), "olga")
        assert [name for name, stage in desk.stages().items() if stage == "production"] == [model_id]
        assert whole(desk)
    assert desk.epoch() == 5
    with pytest.raises(DecisionError, match="has no production model before this one"):
        team.do(Rollback(INSTRUMENT, WHY), "olga")


def test_an_admin_who_trained_an_open_model_needs_a_second_signature(desk, team):
    desk.propose("one", 1, trained_by="ada")
    act = AddReviewer(WHY, team.person("eve", "reviewer"))
    with pytest.raises(SignatureError, match="ada trained an open or serving model"):
        team.do(act, "ada")
    with pytest.raises(SignatureError, match="second signature: olga is operator"):
        team.do(act, "ada", second="olga")
    with pytest.raises(SignatureError, match="another person's is needed"):
        team.do(act, "ada", second="ada")
    row = team.do(act, "ada", second="ana").row
    assert row.second_reviewer == "ana" and whole(desk)


def test_names_and_keys_are_one_person_s_each_and_an_admin_stays(desk, team):
    team.keys["eve"] = team.keys["ana"]
    for person, said in ((("ANA", "viewer"), "is reviewer already"), (("eve", "viewer"), "the key is ana's")):
        with pytest.raises(DecisionError, match=said):
            team.add(*person)
    with pytest.raises(DecisionError, match="ada is the last admin"):
        team.do(RevokeReviewer(WHY, "ada"), "ada")
    with pytest.raises(DecisionError, match="the log has people already"):
        team.first("eve")


def test_first_on_a_single_user_log_ends_its_key(desk):
    proposal_id = desk.propose("one", 1)
    decide(desk.engine, proposal_id, Vote("APPROVE", "bob", WHY), now())
    with reading(desk.engine) as connection:
        home = open_home(connection)
    local = home.make_local()
    team = Team(desk.engine).begin()
    assert desk.votes()[1].mode == "single-user" and not (home.folder / "local_key").exists() and whole(desk)
    waiting = desk.propose("two", 2, baseline_model_id=desk.proposal(proposal_id).model_id)
    vote = Vote("APPROVE", "ana", WHY)
    text = vote_text(desk.engine, waiting, vote, now())
    with pytest.raises(SignatureError, match="which is not the key of ana"):
        decide(
            desk.engine,
            waiting,
            vote,
            now(),
            signed=Signed(str(text), local.sign(text.to_bytes(), VOTE_NAMESPACE)),
        )
    assert team.vote(waiting, "ana").status == "APPROVED" and whole(desk)


def test_the_same_key_gets_the_same_answer_and_another_request_none(desk):
    first = desk.propose("one", 1)
    vote = Vote("APPROVE", "bob", WHY)
    done = decide(desk.engine, first, vote, now(), key="click-1")
    again = decide(desk.engine, first, vote, now(), key="click-1")
    assert again == done._replace(repeated=True) and len(desk.votes()) == 1
    with pytest.raises(DecisionConflictError, match="was used for another request"):
        decide(desk.engine, first, vote._replace(notes=f"{WHY}."), now(), key="click-1")
    with pytest.raises(DecisionConflictError, match="is APPROVED"):
        decide(desk.engine, first, vote, now(), key="click-2")


def test_tripwires_are_signed_and_bounded_by_the_policy(desk, team):
    proposal_id = desk.propose("one", 1)
    for stated, said in (
        (StatedTripwires(max_drawdown=0.2), "at most 0.15"),
        (StatedTripwires(max_age_days=400), "at most 365"),
        (StatedTripwires(claim_level=0.01), "at least 0.05"),
    ):
        with pytest.raises(DecisionError, match=f"{said} by the house's policy"):
            team.vote(proposal_id, "ana", lapses=stated)
    team.vote(proposal_id, "ana", lapses=StatedTripwires(max_drawdown=0.08, claim_level=0.1))
    row = desk.votes()[-1]
    assert [row.lapses[name] for name in TripwireBounds.model_fields] == [0.08, 365, 0.1]
    before = Lapses.model_validate({k: v for k, v in row.lapses.items() if k != "claim_level"})
    assert "claim_level" not in before.model_dump() and before.level == 0.05, (
        "as an older approval was signed"
    )
    assert len(row.lapses["contract"]) == len(row.lapses["library_lock"]) == 64


def test_a_log_with_signed_rows_is_refused_without_its_home(desk, home):
    decide(desk.engine, desk.propose("one", 1), Vote("APPROVE", "bob", WHY), now())
    shutil.rmtree(next(path for path in home.iterdir() if path.is_dir()))
    with pytest.raises(HomeError, match="It is never made again"):
        decide(desk.engine, desk.propose("two", 2), Vote("REJECT", "bob", WHY), now())
    assert list(home.iterdir()) == []


def test_a_checkpoint_stands_in_the_home_before_anybody_is_told(desk, team):
    with reading(desk.engine) as connection:
        home = open_home(connection)
    n_rows = len(desk.votes())
    assert home.last_checkpoint().state.rows == n_rows == 4
    team.vote(desk.propose("one", 1), "ana")
    last = home.last_checkpoint()
    assert (last.state.rows, last.state.head) == (n_rows + 1, desk.votes()[-1].row_hash)
    assert last.state.epochs == {INSTRUMENT: 1, "none": 4}


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (Debian: openssh-client)")
def test_stock_openssh_verifies_a_stored_vote_with_the_generated_allowed_signers(desk, team, tmp_path):
    team.vote(desk.propose("one", 1), "ana")
    row = desk.votes()[-1]
    with reading(desk.engine) as connection:
        allowed = open_home(connection).folder / "allowed_signers"
    (tmp_path / "signature").write_text(row.signature)
    at = parse_text(row.text).at
    for name, moment, expected in (
        ("ana", at + timedelta(seconds=1), 0),
        ("ben", at + timedelta(seconds=1), 255),
        ("ana", at - timedelta(days=1), 255),
    ):
        command = [
            "ssh-keygen", "-Y", "verify", "-f", allowed, "-I", name, "-n", VOTE_NAMESPACE, "-s",
            tmp_path / "signature", "-O", f"verify-time={moment:%Y%m%d%H%M%S}Z",
        ]  # fmt: skip
        done = subprocess.run(command, input=row.text.encode(), capture_output=True, check=False)
        assert done.returncode == expected, (name, done.stderr)


FORGED = {
    "notes": "I would never have said this", "reviewer": "ben", "signature": None, "mode": "single-user",
    "proposal_id": None, "lapses": None, "epoch": 9,
}  # fmt: skip


SEALED = ("lapses", "signature")
"""Of which the row's hash covers the seal alone: a stale one is named instead."""


@pytest.mark.parametrize("column", sorted(FORGED))
def test_a_row_that_is_not_what_was_signed_is_named_though_the_chain_is_made_again(desk, team, column):
    team.vote(desk.propose("one", 1), "ana")
    values = {column: FORGED[column]}
    if column == "signature":
        values |= {"text": None, "text_hash": None}
    with writing(desk.engine) as connection:
        without_guards(connection)
        t = approval_audit_log
        last = connection.execute(select(sa.func.max(t.c.id))).scalar()
        connection.execute(update(t).where(t.c.id == last).values(values))
        chain_again(connection)
        renew_guards(connection)
    with reading(desk.engine) as connection:
        named = verify_audit(connection, full=True)
    assert any("were changed" in line for line in named) == (column in SEALED)
    assert any("is not covered by a valid signature" in line or "is not signed" in line for line in named)
    assert any(line.startswith("checkpoint of ") for line in named) or column in SEALED
