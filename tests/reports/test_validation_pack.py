"""The validation pack: every figure on it is its record's field."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lxml import html

from dosvotos.commands.jobs import run_queued
from dosvotos.commands.main import cli
from dosvotos.errors import LineageError, UnknownProposalError
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.extra_backtests import request_backtest
from dosvotos.reports.validation_pack import PACK_FILE, make_pack, read_records, write_pack
from dosvotos.reports.words import _texts
from tests.languages import is_english
from tests.promotion.test_extra_backtests import BOTH
from tests.proposal_fixtures import Desk

NOW = datetime.now(UTC)


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    return Desk(engine, tmp_path)


@pytest.fixture
def proposal_id(desk) -> int:
    """A proposal with a production model before it, an extra backtest and a vote."""
    first = desk.propose("one", 1)
    decide(desk.engine, first, Vote("APPROVE", "bob", "the curve was read twice"), NOW)
    made = desk.propose("two", 2, baseline_model_id=desk.proposal(first).model_id)
    request_backtest(desk.engine, made, *BOTH, "bob", NOW)
    run_queued(desk.engine, lambda _: None)
    decide(desk.engine, made, Vote("REQUEST_MORE_TESTS", "bob", "what about <June>?"), NOW)
    return made


def field(tree: Any, path: str) -> Any:
    """The field a path names, found a second way."""
    for part in path.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def number_in(text: str) -> float:
    value = float(text.replace(",", "").rstrip("%"))
    return value / 100 if text.endswith("%") else value


def reads_as(shown: str, value: Any) -> bool:
    if value is None:
        return shown == "\u2013"
    if isinstance(value, bool):
        return shown == ("yes" if value else "no")
    if shown == str(value) or (shown == str(value).lower() and value in ("PASS", "FAIL", "NOT APPLICABLE")):
        return True
    if shown.startswith(("> ", "< ")):
        bound = number_in(shown[2:])
        return value > bound if shown[0] == ">" else value < bound
    digits = len(shown.rstrip("%").partition(".")[2]) + 2 * shown.endswith("%")
    return abs(number_in(shown) - value) <= 0.5001 * 10.0**-digits


def test_every_figure_equals_its_record_s_field(desk, proposal_id):
    tree = read_records(desk.engine, proposal_id)
    cells = html.fromstring(make_pack(desk.engine, proposal_id)).xpath("//*[@data-field]")
    assert len(cells) > 250
    for cell in cells:
        path = cell.get("data-field")
        assert cell.get("title") == path
        assert reads_as(cell.text_content(), field(tree, path)), path


def test_no_table_holds_a_figure_without_its_field(desk, proposal_id):
    page = html.fromstring(make_pack(desk.engine, proposal_id))
    for cell in page.xpath("//td[not(.//*[@data-field]) and not(.//*[@class='source'])]"):
        words = re.sub(r"95%|90%|true Sharpe ratio is (above )?\d|of seed \d+", "", cell.text_content())
        assert not re.search(r"\d", words), words
    for item in page.xpath("//li"):
        own = "".join(item.xpath("./text()"))
        assert not re.search(r"\d", own), own


def test_it_holds_all_that_a_validator_asks_for(desk, proposal_id):
    page = html.fromstring(make_pack(desk.engine, proposal_id))
    assert page.xpath("//h2/text()") == [
        "In one page", "The first vote", "Limits", "Model card", "Data", "Result on the test window",
        "Other costs, later fills, and the result in parts", "Charts",
        "Evidence against luck, and the looks at this window", "Extra backtests",
        "Lineage, from the data to the vote", "Votes of people",
    ]  # fmt: skip
    named = {cell.get("data-field") for cell in page.xpath("//*[@data-field]")}
    tree = read_records(desk.engine, proposal_id)
    for record, parts in {
        "results.metrics": tree["results"]["metrics"].keys() - {"ruined"},
        **{
            f"promotion_proposals.criteria.{n}": ("verdict", "found", "needed", "floor")
            for n, _ in enumerate(tree["promotion_proposals"]["criteria_results"])
        },
    }.items():
        assert {f"{record}.{part}" for part in parts} <= named
    assert {"promotion_proposals.evidence.looks", "approval_audit_log.0.notes"} <= named


def test_the_whole_pack_is_in_the_reader_s_language(desk, proposal_id):
    page = html.fromstring(make_pack(desk.engine, proposal_id, "es"))
    assert page.xpath("/html/@lang") == ["es"]
    first = page.xpath("//section")[0]
    assert first.xpath("./h2/text()") == ["En una página"]
    shown = {cell.get("data-field"): cell.text_content() for cell in page.xpath("//*[@data-field]")}
    assert shown["results.metrics.sharpe_ratio"] == "1,92"
    assert shown["results.metrics.total_trades"] == "1.204"
    assert shown["promotion_proposals.criteria.0.verdict"] == "cumple"
    assert shown["chain.links.0.source"] == "el contrato"
    against = " ".join(text for field, text in shown.items() if field.startswith("summary.against"))
    assert "pierde con un diferencial de 75 pb" in against and "deriva fuera de lo entrenado" in against
    by_people = {vote.text for vote in page.xpath("//*[contains(@data-field, '.notes')]")}
    texts = page.xpath("//text()[not(ancestor::script or ancestor::style)]")
    assert [text for text in texts if text not in by_people and is_english(text)] == []


def test_both_languages_show_the_same_fields(desk, proposal_id):
    english, spanish = (html.fromstring(make_pack(desk.engine, proposal_id, one)) for one in ("en", "es"))
    fields = [page.xpath("//@data-field") for page in (english, spanish)]
    assert [one for one in fields[0] if one != "promotion_proposals.reason"] == [
        one for n, one in enumerate(fields[1]) if fields[0][n] != "promotion_proposals.reason"
    ]
    words = _texts("pack") | _texts("evidence")
    placeholders = re.compile(r"\{\w+\}")
    for key, text in words.items():
        assert set(placeholders.findall(text["es"])) <= set(placeholders.findall(text["en"])), key


def test_what_is_in_sample_is_marked_and_notes_stay_text(desk, proposal_id):
    page = make_pack(desk.engine, proposal_id)
    (marked,) = html.fromstring(page).xpath("//b[@class='bad']")
    assert marked.text_content() == "IN-SAMPLE"
    assert "what about &lt;June&gt;?" in page and "<June>" not in page


def test_it_is_written_beside_the_proposal_s_dossier_and_again_after_a_vote(desk, proposal_id, monkeypatch):
    path = write_pack(desk.engine, proposal_id)
    assert path == Path(desk.proposal(proposal_id).report_folder).parent / PACK_FILE
    before = path.read_text()
    decide(desk.engine, proposal_id, Vote("REJECT", "bob", "June is all in sample"), NOW)
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", desk.engine.url.render_as_string(hide_password=False))
    done = CliRunner().invoke(cli, ["pack", str(proposal_id)])
    assert done.exit_code == 0 and str(path) in done.output
    assert "June is all in sample" in path.read_text() and "June is all" not in before


def test_altered_files_and_unknown_proposals_are_refused(desk):
    with pytest.raises(UnknownProposalError):
        make_pack(desk.engine, 9)
    proposal_id = desk.propose()
    path = desk.report(proposal_id)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(LineageError, match="altered"):
        write_pack(desk.engine, proposal_id)
