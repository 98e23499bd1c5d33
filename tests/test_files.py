"""Files that others can reach: read once, regular only; and what killed writers leave behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dosvotos.errors import FileError
from dosvotos.files import read_regular_file, restore_folder, write_file, write_folder

SLOW_WRITER = """
import os, sys, time
from pathlib import Path
from dosvotos import files

def wait(_):
    print("draft is written", flush=True)
    time.sleep(120)

os.fsync = wait
target = Path(sys.argv[2])
if sys.argv[1] == "file":
    files.write_file(target, b"half")
else:
    files.write_folder(target, {"a": b"half"})
"""
SWAPPER = """
import os, sys
from pathlib import Path

path, others = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
contents = [other.read_bytes() for other in others]
print("swapping", flush=True)
while True:
    for content in contents:
        draft = others[0].with_name("swapped")
        draft.write_bytes(content)
        os.replace(draft, path)
"""


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first line, killed at the end."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout.readline()
            yield started
        finally:
            started.send_signal(signal.SIGKILL)


def irregular(kind: str, path: Path) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.with_name("target").write_bytes(b"x")
        path.symlink_to("target")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["fifo", "link", "device", "socket", "folder"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    irregular(kind, Path("f"))
    with pytest.raises(FileError, match="f: must be a regular file, is a"):
        read_regular_file(Path("f"), 10)


def test_a_device_itself_is_refused():
    with pytest.raises(FileError, match="/dev/zero: must be a regular file, is a device"):
        read_regular_file(Path("/dev/zero"), 10)


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    assert read_regular_file(path, 10) == b"0123456789"
    with pytest.raises(FileError, match="larger than 9 bytes"):
        read_regular_file(path, 9)
    with pytest.raises(FileError, match="cannot be read: No such file"):
        read_regular_file(tmp_path / "g", 9)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_writer_s_draft_goes_at_the_next_write_a_living_one_s_stays(tmp_path, kind):
    target = tmp_path / "target"

    def drafts() -> list[str]:
        return [path.name for path in tmp_path.iterdir() if path.name.startswith(".draft-")]

    with process(SLOW_WRITER, kind, target) as writer:
        (draft,) = drafts()
        write_file(tmp_path / "other", b"1")
        write_folder(tmp_path / "others", {"a": b"1"})
        assert drafts() == [draft], "its writer lives"
        writer.kill()
        writer.wait()
        write_file(tmp_path / "other", b"2")
    assert drafts() == []
    assert not target.exists() and (tmp_path / "other").read_bytes() == b"2"


def test_a_draft_of_an_older_version_goes_at_the_next_write_of_its_file(tmp_path):
    for name in (".record.json.ab12cd_9", ".other.json.ab12cd_9", ".settings"):
        (tmp_path / name).write_bytes(b"")
    write_file(tmp_path / "record.json", b"{}")
    assert {path.name for path in tmp_path.iterdir()} == {".other.json.ab12cd_9", ".settings", "record.json"}


def test_a_folder_is_replaced_whole_and_nothing_is_left_of_the_old_one(tmp_path):
    for files in ({"a": b"1", "b": b"2"}, {"c": b"3"}):
        write_folder(tmp_path / "folder", files)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["c"]


def test_many_writers_of_one_folder_leave_one_whole_folder(tmp_path):
    script = (
        "import sys; from pathlib import Path; from dosvotos.files import write_folder\n"
        "for i in range(40): write_folder(Path(sys.argv[1]), {'a': sys.argv[2].encode()})"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "f"), name], stdout=subprocess.DEVNULL)
        for name in ("one", "two", "six")
    ]
    assert [writer.wait(120) for writer in running] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f/a").read_bytes() in (b"one", b"two", b"six")


def test_a_damaged_folder_is_made_whole_in_place(tmp_path):
    folder, files = tmp_path / "folder", {"a": b"1", "b": b"2", "c": b"3", "d": b"4"}
    write_folder(folder, files)
    whole = (folder / "d").stat()
    (folder / "a").write_bytes(b"0")
    (folder / "b").unlink()
    os.mkfifo(folder / "b")
    (folder / "c").unlink()
    (folder / "c").mkdir()
    (folder / "more").mkdir()
    restore_folder(folder, files)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert ((folder / "d").stat().st_ino, (folder / "d").stat().st_mtime_ns) == (
        whole.st_ino,
        whole.st_mtime_ns,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_link_in_a_folder_s_place_becomes_a_folder_of_its_own(tmp_path):
    write_folder(tmp_path / "elsewhere", {"a": b"1"})
    (tmp_path / "folder").symlink_to("elsewhere")
    restore_folder(tmp_path / "folder", {"a": b"2"})
    assert (tmp_path / "elsewhere/a").read_bytes() == b"1"
    assert not (tmp_path / "folder").is_symlink() and (tmp_path / "folder/a").read_bytes() == b"2"
