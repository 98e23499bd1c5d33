"""The home: its owner's alone, never made again by accident, and whole after any crash."""

import json
import os
import stat
from datetime import UTC, datetime

import pytest

from dosvotos.errors import HomeError, SignatureError
from dosvotos.signing.checkpoint import LogState, parse_note, sign_checkpoint
from dosvotos.signing.home import CHECKPOINTS, SERVER, Home, home_of, import_home
from dosvotos.signing.signers import new_signer

NOW = datetime(2026, 11, 30, 13, 5, 7, 999_000, tzinfo=UTC)
GENESIS = "6f1c7c1e-0000-4000-8000-000000000001"


@pytest.fixture
def made() -> Home:
    home = home_of(GENESIS)
    home.make()
    return home


def state(rows: int) -> LogState:
    return LogState(GENESIS, rows, f"{rows:064x}", {"USD/COP": rows, "none": 1})


def append(home: Home, rows: int) -> None:
    home.append_checkpoint(sign_checkpoint(state(rows), NOW, home.server()))


def test_it_is_its_owner_s_alone(made):
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((made.folder / SERVER).stat().st_mode) == 0o600
    made.folder.chmod(0o750)
    with pytest.raises(HomeError, match=r"must be its owner's alone \(mode 700\), is 750"):
        made.require()


def test_it_lies_outside_the_project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path / "home"))
    with pytest.raises(HomeError, match="lies in the project"):
        home_of(GENESIS).make()
    assert not (tmp_path / "home").exists()


def test_making_it_twice_keeps_its_keys(made):
    server, local = made.server_key, made.make_local().public_key
    made.make()
    assert (made.server_key, made.make_local().public_key, made.local_key) == (server, local, local)
    made.drop_local()
    with pytest.raises(HomeError, match="was revoked"):
        made.make_local()
    assert made.local_key == local


def test_a_checkpoint_reads_as_it_was_written(made):
    append(made, 7)
    found = made.last_checkpoint()
    assert found.text == (
        f"dosvotos log v1\norigin: {GENESIS}\nrows: 7\nhead: {7:064x}\nepoch: USD/COP 7\nepoch: none 1\n"
        "at: 2026-11-30T13:05:07Z\n"
    )
    assert parse_note(found.note) == found and found.state == state(7)


def test_the_last_one_is_found_among_many_without_reading_all(made):
    for rows in range(1, 60):
        append(made, rows)
    assert made.last_checkpoint().state.rows == 59
    assert [one.state.rows for one in made.checkpoints()] == list(range(1, 60))


def test_one_cut_off_by_a_crash_is_left_out_and_written_over(made):
    append(made, 1)
    append(made, 2)
    file = made.folder / CHECKPOINTS
    whole = file.read_bytes()
    first = len(whole) // 2
    for size in range(first, len(whole)):
        file.write_bytes(whole[:size])
        assert made.last_checkpoint().state.rows == 1, size
    append(made, 2)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("line", ["rows: 2", "head: ", "origin: ", "epoch: USD/COP", "at: "])
def test_an_edited_checkpoint_is_refused(made, line):
    append(made, 2)
    file = made.folder / CHECKPOINTS
    text = file.read_text()
    at = text.index(line) + len(line) - (line == "rows: 2")
    file.write_text(text[:at] + "5" + text[at + 1 :])
    with pytest.raises(HomeError, match=r"checkpoints: (signature|checkpoint).*; it was altered"):
        made.last_checkpoint()


@pytest.mark.parametrize("junk", ["x", "x" * 40_000, "dosvotos log v1\n" * 3_000, "dosvotos log v2\n"])
def test_what_stands_after_the_last_checkpoint_hides_none(made, junk):
    """A reader of the file's end alone must not take it for a home without checkpoints."""
    append(made, 7)
    file = made.folder / CHECKPOINTS
    file.write_text(file.read_text() + junk)
    with pytest.raises(HomeError, match=r"checkpoints: (ends with what is no )?checkpoint"):
        made.last_checkpoint()


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "dangling link"])
def test_checkpoints_that_are_no_file_are_refused_and_not_waited_for(made, kind):
    append(made, 7)
    file = made.folder / CHECKPOINTS
    aside = file.rename(made.folder / "aside")
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(aside if kind == "link" else "nowhere")
    for read in (made.last_checkpoint, made.checkpoints, made.checkpointed_rows):
        with pytest.raises(HomeError, match="checkpoints"):
            read()


def test_another_key_s_checkpoint_is_refused(made):
    made.append_checkpoint(sign_checkpoint(state(2), NOW, new_signer()))
    with pytest.raises(HomeError, match=r"signed by SHA256:.*, the server's key is SHA256:"):
        made.last_checkpoint()


def test_export_and_import_move_it_and_overwrite_nothing(made, tmp_path, monkeypatch):
    made.make_local()
    append(made, 3)
    exported = made.export()
    with pytest.raises(HomeError, match="stands already"):
        import_home(exported)
    monkeypatch.setenv("DOSVOTOS_HOME", str(tmp_path / "elsewhere"))
    moved = import_home(exported)
    assert moved.last_checkpoint() == made.last_checkpoint() and moved.local_key == made.local_key
    assert moved.server().public_key == made.server_key
    assert stat.S_IMODE(moved.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", json.dumps({"dosvotos home": 2, "genesis": GENESIS, "files": {}}).encode(),
        json.dumps({"dosvotos home": 1, "genesis": GENESIS, "files": {"../x": "y", SERVER: "z"}}).encode(),
        json.dumps({"dosvotos home": 1, "genesis": "../up", "files": {SERVER: "z"}}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_exported_home_is_refused(content):
    with pytest.raises(HomeError):
        import_home(content)


def test_a_note_that_is_none_is_refused():
    with pytest.raises(SignatureError, match="dosvotos log v1"):
        parse_note("dosvotos log v2\n")
