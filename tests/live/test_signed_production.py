"""L5 signals by what a valid signed vote covers, and by nothing else: forged votes, halts, a lost home."""

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, delete, select, update

from dosvotos.audit.checkpoints import genesis_id
from dosvotos.audit.people import Signatory
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.database.append_only import renew_guards
from dosvotos.database.connection import reading, writing
from dosvotos.database.live_tables import live_state
from dosvotos.database.tables import approval_audit_log, ledger_genesis
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.live.production import ProductionModel, open_production
from dosvotos.live.signals import Entry, SignalTable
from dosvotos.live.tick import LiveFeatures
from dosvotos.pipelines.inference.nodes import infer_signal
from dosvotos.promotion import transaction
from dosvotos.promotion.decision import ProposalVote, Vote, decide, vote_text
from dosvotos.promotion.house_acts import AddReviewer
from dosvotos.promotion.live_acts import HALT_FILE, SwitchSignals
from dosvotos.promotion.transaction import Signed, carry_out
from dosvotos.signing.checkpoint import parse_note
from dosvotos.signing.home import home_of
from dosvotos.signing.signers import new_signer
from dosvotos.signing.sshsig import VOTE_NAMESPACE
from tests.conftest import parameters_of
from tests.promotion.test_audit_check import chain_again, without_guards
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team, now

BAR = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


@pytest.fixture
def serving(desk) -> Desk:
    """A model in production by the local key's vote."""
    decide(desk.engine, desk.propose_recomputable(), Vote("APPROVE", "bob", WHY), now())
    return desk


def opened(engine: Engine) -> ProductionModel:
    production = open_production(engine, INSTRUMENT)
    assert production is not None
    return production


def tick(engine: Engine, number: int = 0):
    """One bar's row, by whatever is in production."""
    signals, bar = SignalTable(engine, INSTRUMENT), BAR + timedelta(minutes=5 * number)
    signals.store(computed(engine, bar), lambda: bar)
    return signals.at(bar)


def computed(engine: Engine, bar: datetime) -> Entry:
    """A bar's row before it is written."""
    slot = (bar - BAR.replace(hour=13)) / timedelta(minutes=5)
    production = opened(engine)
    stats = production.bundle.policy.norm_stats
    market = np.array(stats.mean) + np.linspace(-1, 1, len(MARKET_FEATURES)) * np.array(stats.std)
    live = LiveFeatures(bar, market, slot / 59)
    (entry, _), _ = infer_signal(live, production, SignalTable(engine, INSTRUMENT), parameters_of())
    return entry._replace(approval=None)  # no bars are stored here by which limits could be judged


def test_a_signed_model_gives_signals_and_each_row_carries_the_log_s_checkpoint(serving):
    row = tick(serving.engine)
    assert (row.status, row.reason_code) == ("SIGNAL", None)
    checkpoint = parse_note(row.checkpoint)
    with reading(serving.engine) as connection:
        home = home_of(genesis_id(connection))
    checkpoint.verify(home.server_key)
    assert (checkpoint.state.rows, checkpoint.state.head) == (1, serving.votes()[-1].row_hash)
    assert opened(serving.engine).lapses.max_drawdown == 0.15


def test_halted_is_flat_once_and_silent_then_until_resumed(serving):
    engine = serving.engine
    assert tick(engine, 0).signal != 0
    carry_out(engine, SwitchSignals("HALT", INSTRUMENT, WHY), "bob", now())
    rows = [tick(engine, number) for number in (1, 2, 3)]
    found = [(row.status, row.signal, row.reason_code) for row in rows]
    assert found == [("SIGNAL", 0.0, "HALTED"), *[("NO_SIGNAL", None, "HALTED")] * 2]
    carry_out(engine, SwitchSignals("RESUME", INSTRUMENT, WHY), "bob", now())
    assert tick(engine, 4).reason_code is None


def test_a_halt_stops_a_signal_that_was_being_computed(serving):
    entry = computed(serving.engine, BAR)
    assert entry.record.signal
    carry_out(serving.engine, SwitchSignals("HALT", INSTRUMENT, WHY), "bob", now())
    stored = SignalTable(serving.engine, INSTRUMENT).store(entry, lambda: BAR)
    assert (stored.signal, stored.reason_code, stored.confidence) == (0.0, "HALTED", None)


def test_a_halt_undone_by_sql_still_holds_and_so_does_the_file(serving):
    carry_out(serving.engine, SwitchSignals("HALT", INSTRUMENT, WHY), "bob", now())
    with writing(serving.engine) as connection:
        connection.execute(update(live_state).values(state="ACTIVE"))
    signals = SignalTable(serving.engine, INSTRUMENT)
    assert signals.control().state == "HALTED"
    carry_out(serving.engine, SwitchSignals("RESUME", INSTRUMENT, WHY), "bob", now())
    assert signals.control().state == "ACTIVE"
    HALT_FILE.parent.mkdir(parents=True, exist_ok=True)
    HALT_FILE.write_text("the database was down")
    assert (signals.control().state, signals.control().reason) == (
        "HALTED",
        "data/HALT: the database was down; delete the file to end it",
    )


def test_without_the_home_no_signal_is_given(serving, home):
    shutil.rmtree(next(path for path in home.iterdir() if path.is_dir()))
    assert opened(serving.engine).silence.code == "no_home"
    assert tick(serving.engine).reason_code == "no_home"


class Thief:
    """Somebody with the database, the server's key and this code, but no reviewer's key."""

    def __init__(self, desk: Desk, team: Team, waiting: int, stolen_local: object) -> None:
        self.desk, self.team, self.waiting, self.local = desk, team, waiting, stolen_local
        self.own = new_signer()
        with reading(desk.engine) as connection:
            self.server = home_of(genesis_id(connection)).server()

    def approve(self, signer, who: Signatory, text=None, signature=None) -> None:
        """Approve with every check of signature and signatory taken out."""
        vote = Vote("APPROVE", who.name, WHY)
        text = text or vote_text(self.desk.engine, self.waiting, vote._replace(reviewer="ana"), now())
        signature = signature or signer.sign(text.to_bytes(), VOTE_NAMESPACE)
        self._unchecked(
            lambda: decide(self.desk.engine, self.waiting, vote, now(), signed=Signed(str(text), signature)),
            who,
        )

    def add_eve(self) -> None:
        self.team.keys["eve"] = self.own
        act = AddReviewer(WHY, self.team.person("eve", "reviewer"))
        who = Signatory("ada", "admin")
        with reading(self.desk.engine) as connection:
            text = transaction.decision_text(connection, act, who, now().replace(microsecond=0))
        signed = Signed(str(text), self.server.sign(text.to_bytes(), VOTE_NAMESPACE))
        self._unchecked(lambda: carry_out(self.desk.engine, act, "ada", now(), signed), who)

    def _unchecked(self, attempt, who: Signatory) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transaction, "_who", lambda *_: who._replace(keys=()))
            patch.setattr(transaction, "verify_vote_signature", lambda *_: None)
            patch.setattr(transaction, "append_checkpoint", lambda *_: None)
            patch.setattr(AddReviewer, "check", lambda *_: None)
            attempt()


ANA = Signatory("ana", "reviewer")


def by_own_key(thief: Thief) -> None:
    thief.approve(thief.own, ANA)


def by_server_key(thief: Thief) -> None:
    thief.approve(thief.server, ANA)


def by_the_old_local_key(thief: Thief) -> None:
    thief.approve(thief.local, ANA._replace(role=None))


def by_ana_s_older_signature(thief: Thief) -> None:
    older = next(row for row in thief.desk.votes() if row.reviewer == "ana")
    thief.approve(None, ANA, signature=older.signature)


def by_somebody_added(thief: Thief) -> None:
    thief.add_eve()
    eve = Signatory("eve", "reviewer")
    act = ProposalVote(thief.waiting, Vote("APPROVE", "eve", WHY))
    with reading(thief.desk.engine) as connection:
        text = transaction.decision_text(connection, act, eve, now().replace(microsecond=0))
    thief.approve(thief.own, eve, text=text)


def by_cutting_the_people_out(thief: Thief) -> None:
    t = approval_audit_log
    with writing(thief.desk.engine) as connection:
        without_guards(connection)
        connection.execute(delete(t).where(t.c.action == "ADD_REVIEWER"))
        for number, row in enumerate(
            connection.execute(select(t.c.id).order_by(t.c.id)).scalars().all(), start=1
        ):
            connection.execute(update(t).where(t.c.id == row).values(id=number))
        chain_again(connection)
        renew_guards(connection)
    vote = Vote("APPROVE", "bob", WHY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction, "check_checkpoints", lambda *_: None)
        patch.setattr(transaction, "append_checkpoint", lambda *_: None)
        with reading(thief.desk.engine) as connection:
            home = home_of(genesis_id(connection))
        (home.folder / "local_key").write_bytes(thief.local.private_bytes)
        decide(thief.desk.engine, thief.waiting, vote, now())
        home.drop_local()


def by_a_ledger_of_another_name(thief: Thief) -> None:
    thief.approve(thief.own, ANA)
    with writing(thief.desk.engine) as connection:
        without_guards(connection)
        connection.execute(update(ledger_genesis).values(id="0" * 36))
        renew_guards(connection)


ATTACKS = (
    by_own_key, by_server_key, by_the_old_local_key, by_ana_s_older_signature, by_somebody_added,
    by_cutting_the_people_out, by_a_ledger_of_another_name,
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_with_database_and_server_key_no_vote_is_made_that_l5_accepts(serving, attack):
    engine = serving.engine
    with reading(engine) as connection:
        home = home_of(genesis_id(connection))
    local = home.make_local()
    team = Team(engine).begin()
    team.vote(serving.propose("other", 9), "ana", "REJECT")
    waiting = serving.propose_recomputable("second", 2)
    model_id = serving.proposal(waiting).model_id
    assert opened(engine).row.model_id != model_id
    attack(Thief(serving, team, waiting, local))
    assert serving.stages()[model_id] == "production", "the attack itself must have come through"
    with pytest.raises(DosVotosError) as told:
        production = open_production(engine, INSTRUMENT)
        if production is not None and production.silence is not None:
            raise LineageError(production.silence.why)
    assert str(told.value)
