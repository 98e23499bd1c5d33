import pytest

from dosvotos.commands.errors import message_of
from dosvotos.database.connection import connect, has_database, open_database, open_existing, reading
from dosvotos.errors import DatabaseError
from dosvotos.redaction import without_secrets

SECRET = "hush"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hush@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:hush/@#hush@h/db", "postgresql://u:***@h/db"),
        (
            "postgresql://u@h/db?password=hush&sslmode=require",
            "postgresql://u@h/db?password=***&sslmode=require",
        ),
        ("postgresql:///db?host=/tmp&sslpassword=hush", "postgresql:///db?host=/tmp&sslpassword=***"),
        ("postgresql:///db?pass%77ord=hush", "postgresql:///db?pass%77ord=***"),
        ("host=h user=u password='hush hush' dbname=d", "host=h user=u password=*** dbname=d"),
        ("https://hush@hooks.test/x", "https://***@hooks.test/x"),
        ("https://u:hush@mlflow.test/", "https://***@mlflow.test/"),
        ("https://api.test/v1?symbol=USD&apikey=hush#top", "https://api.test/v1?symbol=USD&apikey=***#top"),
        ("https://t.test/?TOKEN=hush;sig=hush", "https://t.test/?TOKEN=***;sig=***"),
        ("a plain text, ana@desk = bob", "a plain text, ana@desk = bob"),
    ],
)
def test_secrets_are_hidden_and_the_rest_is_kept(text, shown):
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown and SECRET not in shown


BAD_URLS = (
    "postgresql://u:hush@127.0.0.1:1/none",
    "postgresql://u@127.0.0.1:1/none?password=hush",
    "postgresql://u:hush@127.0.0.1:notaport/none",
    "postgresql://u:hush@127.0.0.1:1/none?bogus=hush&sslpassword=hush",
    "mysql://u:hush@h/db",
    "nothing at all password=hush",
    "://u:hush@h",
    "sqlite:///hush.txt/x.db?password=hush",
)


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_one_message_without_its_secret(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hush.txt").write_text("a file, no folder")
    for call in (open_database, open_existing, lambda url: reading(connect(url)).__enter__()):
        with pytest.raises(DatabaseError) as refused:
            call(url)
        message = message_of(refused.value)
        assert message and "\n\n" not in message
        if "hush.txt" not in url and "bogus" not in url:
            assert SECRET not in message


def test_a_file_that_is_no_database_is_told_so(tmp_path):
    (tmp_path / "a.db").write_bytes(b"this is no database, but long enough to be read as one" * 9)
    assert has_database(f"sqlite:///{tmp_path}/a.db")
    for call in (open_database, open_existing):
        with pytest.raises(DatabaseError, match=r"a\.db"):
            call(f"sqlite:///{tmp_path}/a.db")
