"""Canaries in every setting that holds a secret, and in none of the places a secret may not reach.

`test_chain` looks for them in all that a whole run leaves; here are errors, logs and messages, each of which
repeats the secrets that it was given.
"""

import io
import logging
import sys
from contextlib import redirect_stderr
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dosvotos.commands.errors import install_excepthook, message_of
from dosvotos.commands.main import cli
from dosvotos.database.connection import reading, writing
from dosvotos.database.outbox import add_message, send_messages, waiting_messages
from dosvotos.errors import DatabaseError, SourceError
from dosvotos.notifications.drain import send_notifications
from dosvotos.notifications.recipients import read_recipients
from dosvotos.notifications.sending import Sent
from dosvotos.promotion.notify import DISPATCH, Notification, announce
from dosvotos.redaction import SafeRecord, hide_secrets_in_logs, secrets_of_address, without_secrets
from dosvotos.refusals import Phrase, StoredText
from streamlit_app.problems import told
from tests.canaries import CANARIES, IN_ADDRESSES, canaries_in, canary_environment, spellings

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    settings = canary_environment()
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch):
    """A log as any library writes it, by a formatter that is not ours."""
    before = logging.getLogRecordFactory()
    hide_secrets_in_logs()
    stream, logger = io.StringIO(), logging.getLogger("somebody.else")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    yield SimpleNamespace(logger=logger, text=stream.getvalue)
    logger.removeHandler(handler)
    logging.setLogRecordFactory(before)


def everything() -> str:
    """A text that repeats every secret in every spelling, as a client's error might."""
    return " | ".join(f"/in/{spelling}?x" for secret in CANARIES for spelling in spellings(secret)[:4])


def through_message(text: str, _: object) -> str:
    return str(message_of(DatabaseError(text)))


def through_cause(text: str, _: object) -> str:
    try:
        raise SourceError("the source is away") from ValueError(text)
    except SourceError as error:
        return str(message_of(error))


def through_page(text: str, _: object) -> str:
    return told(DatabaseError(text))


def through_traceback(text: str, _: object) -> str:
    before, stderr = sys.excepthook, io.StringIO()
    install_excepthook()
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        with redirect_stderr(stderr):
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.excepthook = before
    assert "RuntimeError" in stderr.getvalue()
    return stderr.getvalue()


def through_log(text: str, logged) -> str:
    logged.logger.warning("GET %s", text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        logged.logger.exception("it failed: %s", text)
    assert "Traceback" in logged.text() and "GET" in logged.text()
    return logged.text()


SINKS = [through_message, through_cause, through_page, through_traceback, through_log]


@pytest.mark.parametrize("sink", SINKS)
def test_no_sink_repeats_a_secret_that_it_is_given(sink, logged):
    text = everything()
    assert set(canaries_in(text.encode())) == set(CANARIES)
    assert canaries_in(sink(text, logged).encode()) == []


def test_the_outbox_keeps_no_secret_of_what_went_wrong(engine):
    def fails(_: str) -> None:
        raise ConnectionError(everything())

    with writing(engine) as connection:
        add_message(connection, "mlflow_champion", "USD/COP", {"model_id": None}, NOW)
        announce(connection, Notification(event="HALT", person="ana", note=everything()), NOW)
    (line,) = send_messages(engine, "mlflow_champion", fails, NOW)
    recipients = read_recipients()

    def refuses(recipient, message, now) -> Sent:
        return Sent(StoredText.of(Phrase.of("said", said=everything()), recipient.without_own_secrets))

    lines = send_notifications(engine, recipients, NOW, refuses)
    assert len(lines) == len(recipients) == 4
    with reading(engine) as connection:
        rows = waiting_messages(connection)
    assert sum(row.kind == DISPATCH for row in rows) == 4 and all(row.problem for row in rows)
    shown = "\n".join([line, *lines, *(f"{row.subject} {row.payload} {row.problem}" for row in rows)])
    assert canaries_in(shown.encode()) == []


@pytest.mark.slow
def test_trying_the_targets_tells_what_became_of_each_and_none_of_their_secrets(monkeypatch, tmp_path):
    """For real, with Apprise: nothing answers at these addresses."""
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    result = CliRunner().invoke(cli, ["notify", "test"])
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith("recipient ")]
    assert [line.split(":")[0] for line in lines] == [
        "recipient 1 (slack)", "recipient 2 (mailto)", "recipient 3 (json)", "recipient 4 (webhook)",
    ]  # fmt: skip
    assert all(": FAILED: " in line for line in lines), lines
    assert canaries_in(result.output.encode()) == []


@pytest.mark.parametrize(
    ("address", "secrets"),
    [
        ("slack://T1AAAAAAA/B1AAAAAAA/abcDEF", {"T1AAAAAAA", "B1AAAAAAA", "abcDEF", "B1AAAAAAA/abcDEF"}),
        ("tgram://123456789:AAbbCC-dd_ee/12345", {"AAbbCC-dd_ee"}),
        ("mailto://ana:pässwort@mail.example.com", {"pässwort"}),
        ("https://hc-ping.com/0b1c2d3e-aaaa", {"0b1c2d3e-aaaa"}),
        ("json://10.0.0.1/hooks/in?room=4", {"hooks/in"}),
        ("not an address [", {"not an address ["}),
    ],
)
def test_the_secrets_of_an_address_are_its_parts_but_hosts_words_and_numbers(address, secrets):
    assert {one for one in secrets_of_address(address) if one} == secrets


def test_ordinary_texts_are_left_alone(monkeypatch):
    text = "run 'dosvotos vote 12 approve'; postgresql is up, path /in, 127.0.0.1:9, sha256 0b1c2d3e"
    assert without_secrets(text) == text
    monkeypatch.setenv("DOSVOTOS_DATABASE_URL", "postgresql://postgres:postgres@localhost/x")
    assert without_secrets("the postgresql server refuses postgres") == "the postgresql server refuses ***"
    assert IN_ADDRESSES["path"] not in without_secrets(f"POST /services/{IN_ADDRESSES['path']}")


def test_a_record_made_by_hand_is_safe_too(logged):
    record = logging.makeLogRecord({"msg": "key is %s", "args": (CANARIES[0],)})
    assert isinstance(record, SafeRecord) and record.getMessage() == "key is ***"
