"""A signal walked back, and every kind of forgery on the way."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from dosvotos.commands.main import cli
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.database.connection import writing
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.signals import add_signal
from dosvotos.errors import DataError
from dosvotos.live.keeper import serve
from dosvotos.live.market import live_features
from dosvotos.live.production import open_production
from dosvotos.live.reasons import Reason
from dosvotos.live.schedule import ScheduledBar
from dosvotos.live.signals import _row
from dosvotos.live.state import MarketView, rebuild
from dosvotos.live.tick import BookState, Decision, decide, feature_row, inference_hash, make_record
from dosvotos.live.verify import verify_signal
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.decision import decide as cast_vote
from dosvotos.promotion.dossier import Dossier
from dosvotos.quality.releases import Releases
from tests.proposal_fixtures import INSTRUMENT, NOTES, Desk, open_desk

LATER = timedelta(minutes=5)


def voted(engine, root: Path) -> Desk:
    desk = Desk(engine, root)
    vote = Vote("APPROVE", "bob", NOTES)
    cast_vote(engine, desk.propose_recomputable(trained_by="alice"), vote, datetime.now(UTC))
    return desk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as inside, open_desk(f"sqlite:///{root}/votes.db", root) as desk:
        inside.chdir(root)
        inside.setenv("DOSVOTOS_HOME", str(root / "home"))
        yield voted(desk.engine, root)


@pytest.fixture
def desk(shared: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(shared.root)
    monkeypatch.setenv("DOSVOTOS_HOME", str(shared.root / "home"))
    return shared


class Signal:
    """One signal of the production model on the last stored bar, which a test may forge before it is written.

    With `n` it is the bar so many before, on the same features.
    """

    def __init__(self, desk: Desk, n: int = 0) -> None:
        self.desk = desk
        self.model = open_production(desk.engine, INSTRUMENT)
        parameters = self.contract().parameters
        bars, macro = StoredMarket(desk.engine, INSTRUMENT, parameters.feed).tables
        stream, _ = rebuild(parameters, MarketView(bars, macro, datetime.now(UTC), as_fetched=False))
        self.features = live_features(stream, Releases(parameters.macro_variables.variables))
        opened = self.features.timestamp - n * LATER
        bar = ScheduledBar(opened, opened + LATER, opened + 2 * LATER)
        served, book = serve(self.model), BookState(position=1.0)
        decision = decide(self.features, served, 1.0)
        self.record = make_record(bar, INSTRUMENT, book, decision, served, self.features)

    def contract(self):
        return Dossier.of(self.model.proposal).read(ExperimentContract)

    def write(self, reseal: bool = True, **forged) -> str:
        record = self.record.model_copy(update=forged)
        if reseal:
            record = record.model_copy(update={"inference_hash": inference_hash(record)})
        moment = datetime.now(UTC)
        with writing(self.desk.engine) as connection:
            features = {**feature_row(self.features, record), "created_at": moment}
            add_signal(connection, _row(record, moment), features)
        return record.inference_id

    def broken(self, signal_id: str) -> list[str]:
        return [f"{link.record}.{link.field}" for link in verify_signal(self.desk.engine, signal_id).broken]


def test_a_signal_leads_back_to_its_vote_its_dossier_and_its_contract(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    desk = voted(engine, tmp_path)
    chain = verify_signal(desk.engine, Signal(desk).write())
    assert chain.broken == ()
    assert {link.record for link in chain.links} == {
        "signal", "features", "model", "log of votes", "vote", "proposal", "contract", "dataset",
    }  # fmt: skip


def test_computed_again_from_stored_data_it_is_the_same_to_the_bit(desk: Desk):
    signal = Signal(desk)
    chain = verify_signal(desk.engine, signal.write(), recompute=True)
    assert chain.broken == ()
    assert {"market features", "content"} <= {link.field for link in chain.links}


def test_features_of_another_bar_are_found_out_by_computing_them_again(desk: Desk):
    signal_id = Signal(desk, 1).write()
    assert not verify_signal(desk.engine, signal_id).broken
    found = verify_signal(desk.engine, signal_id, recompute=True).broken
    assert [link.field for link in found] == ["market features"]


def test_every_forged_value_breaks_a_link_though_the_row_s_own_hash_is_made_anew(desk: Desk):
    forgeries = {
        "signal.confidence": {"confidence": 0.123},
        "signal.model_hash": {"model_hash": "f" * 64},
        "signal.feature_hash": {"feature_hash": "f" * 64},
        "signal.manifest_hash": {"manifest_hash": "f" * 64},
        "signal.norm_stats_hash": {"norm_stats_hash": "f" * 64},
        "signal.model_id": {"epoch": 7},
    }
    for n, (link, forged) in enumerate(forgeries.items()):
        one = Signal(desk, 2 + n)
        assert link in one.broken(one.write(**forged)), link
    last = Signal(desk, 10)
    assert last.broken(last.write(signal=(last.record.signal + 2) % 3 - 1)) == ["signal.signal"]


def test_a_row_whose_hash_was_not_made_anew_names_its_own_hash(desk: Desk):
    signal = Signal(desk, 11)
    assert signal.broken(signal.write(reseal=False, advised_target=0.25)) == ["signal.inference_hash"]


def test_an_altered_file_of_the_bundle_or_the_dossier_is_named(desk: Desk):
    signal = Signal(desk, 12)
    signal_id = signal.write()
    for file, link in (
        (Path(signal.model.row.model_path, "norm_stats.json"), "model.manifest_hash"),
        (Path(signal.model.proposal.report_folder, "run.json"), "proposal.dossier_hash"),
    ):
        whole = file.read_bytes()
        file.write_bytes(whole + b" ")
        assert signal.broken(signal_id) == [link]
        file.write_bytes(whole)
    assert signal.broken(signal_id) == []


def test_a_decision_whose_signature_cannot_be_verified_is_named(desk: Desk, monkeypatch, tmp_path):
    signal = Signal(desk, 14)
    signal_id = signal.write()
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path / "another"))
    assert signal.broken(signal_id) == ["signal.checkpoint", "vote.signature"]


def test_an_unknown_signal_is_said(desk: Desk):
    with pytest.raises(DataError, match="inf_x: one signal expected, found none"):
        verify_signal(desk.engine, "inf_x")


def test_a_row_without_a_model_has_its_own_hash_alone(desk: Desk):
    signal = Signal(desk, 13)
    bar = ScheduledBar(signal.record.timestamp, signal.record.timestamp + LATER, signal.record.valid_until)
    missed = make_record(bar, INSTRUMENT, BookState(), Decision(None, None, Reason.NO_BAR, "none came"))
    with writing(desk.engine) as connection:
        add_signal(connection, _row(missed, missed.timestamp + LATER), None)
    chain = verify_signal(desk.engine, missed.inference_id)
    assert [link.field for link in chain.links] == ["inference_hash"] and not chain.broken


def test_a_checkpoint_of_another_log_is_named(desk: Desk):
    signal = Signal(desk, 15)
    whole = signal.record.checkpoint
    assert whole is not None and signal.broken(signal.write()) == []
    other_head = re.sub("head: (.)", lambda found: f"head: {'01'[found[1] == '0']}", whole)
    for n, forged in enumerate((other_head, whole[:-40], "no checkpoint"), start=16):
        other = Signal(desk, n)
        assert other.broken(other.write(checkpoint=forged)) == ["signal.checkpoint"]


def test_the_command_prints_every_link_within_a_second_and_ends_with_the_verdict(desk: Desk, monkeypatch):
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", f"sqlite:///{desk.root}/votes.db")
    (desk.root / "pyproject.toml").write_text("[tool.kedro]\n")
    good, bad = Signal(desk, 20).write(), Signal(desk, 21).write(confidence=0.5)
    began = time.process_time()
    whole = CliRunner().invoke(cli, ["verify", good], catch_exceptions=False)
    assert time.process_time() - began < 1.0
    n_links = len(verify_signal(desk.engine, good).links)
    assert whole.exit_code == 0 and whole.output.splitlines()[-1] == f"{good}: {n_links} links, all hold"
    broken = CliRunner().invoke(cli, ["verify", bad], catch_exceptions=False)
    assert broken.exit_code == 1 and broken.output.splitlines()[-1].endswith("1 do not hold")
    assert re.search(r"NO +signal +confidence +0\.5 +the model on the stored features: 0\.", broken.output)
