"""deploy/backup.sh: a whole copy while the database is written, and none beside a project."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from dosvotos.database.connection import connect, reading, writing
from tests.conftest import ROOT
from tests.migrated import copy_migrated

SCRIPT = ROOT / "deploy/backup.sh"
ADD = text("INSERT INTO instruments (instrument, epoch) VALUES (:name, 1)")


def backup(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["sh", SCRIPT, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_backup_is_whole_while_somebody_writes(tmp_path):
    project = tmp_path / "project"
    engine = connect(f"sqlite:///{copy_migrated(project / 'data/dosvotos.db')}")
    (project / "pyproject.toml").touch()
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    (project / "conf").mkdir()
    (project / "conf/x.yml").write_text("a: 1\n")
    with writing(engine) as connection:
        connection.execute(ADD, {"name": "committed"})
    with writing(engine) as connection:
        connection.execute(ADD, {"name": "not yet"})
        done = backup(project, str(tmp_path / "backups"))
    assert done.returncode == 0, done.stderr
    made = Path(done.stdout.strip())
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=made, check=True)
    assert sorted(file.name for file in made.iterdir()) == ["SHA256SUMS", "conf.tar.gz", "dosvotos.db"]
    assert {file.stat().st_mode & 0o077 for file in made.iterdir()} == {0}
    with reading(connect(f"sqlite:///{made}/dosvotos.db")) as copy:
        names = copy.execute(text("SELECT instrument FROM instruments")).scalars().all()
    assert "committed" in names and "not yet" not in names
    engine.dispose()


def test_it_refuses_another_folder_and_a_database_that_is_not_there(tmp_path):
    assert backup(tmp_path, str(tmp_path / "b")).returncode == 2
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "data").mkdir()
    done = backup(tmp_path, str(tmp_path / "b"))
    assert done.returncode == 1 and "data/dosvotos.db is not there" in done.stderr
