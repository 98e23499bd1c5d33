"""Projects as earlier commits left them: a smoke run, an approval and a signal, by those commits' own code.

``python -m tests.older_projects COMMIT`` makes ``tests/data/project_COMMIT.tar.xz`` anew. The stored market
is left out of it: every commit so far simulates the same one, so `older_project` takes it from today's.
"""

import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from kedro.framework.startup import bootstrap_project

from tests.conftest import ROOT
from tests.project import Project, new_project, stored_project

FIXTURES = ROOT / "tests/data"
_STORED = ("usdcop_m5_ohlcv", *(f"macro_indicators_{name}" for name in ("daily", "monthly", "quarterly")))
_KEPT = ("data/06_models/smoke/*/*", "data/06_models/smoke/*.json", "data/08_reporting/smoke/*/*/*.json",
         "data/05_model_input/smoke/*.json", "home/*/*")  # fmt: skip
_RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from tests.conftest import AS_OF
from dosvotos.database.connection import open_database
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.decision import Vote
root = Path.cwd()
bootstrap_project(root)
def run(*names):
    as_of = {"data_acquisition": {"as_of": AS_OF}}
    with KedroSession.create(root, env="smoke", runtime_params=as_of) as session:
        session.run(pipeline_names=list(names) or None)
run()
fields = Vote.__dataclass_fields__ if hasattr(Vote, "__dataclass_fields__") else Vote._fields
alone = {"single_user": True} if "single_user" in fields else {}
vote = Vote("APPROVE", "ana", "approved to see a signal in a test", **alone)
engine = open_database("sqlite:///data/dosvotos.db")
decide_verified(engine, 1, vote, datetime.now(UTC))
run("inference")
"""


def older_project(commit: str, root: Path) -> Project:
    """Lay out today's project with the data of an earlier commit's, whose schema is still the old one."""
    today = stored_project(root.with_name(f"{root.name}_today"))
    new_project(root)
    with tarfile.open(FIXTURES / f"project_{commit}.tar.xz") as archive:
        archive.extractall(root, filter="data")
    home = home_of(root)
    home.mkdir()
    for folder in root.glob("home/*"):
        folder.rename(home / folder.name).chmod(0o700)
    sql = (root / "dosvotos.sql").read_text()
    with closing(sqlite3.connect(root / "data/dosvotos.db")) as connection:
        connection.executescript(sql)
        connection.execute("ATTACH ? AS today", (str(today.root / "data/dosvotos.db"),))
        with connection:
            for table in _STORED:
                columns = ", ".join(
                    f'"{row[1]}"' for row in connection.execute(f"PRAGMA table_info({table})")
                )
                connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM today.{table}")
    bootstrap_project(root)
    return Project(root)


def home_of(root: Path) -> Path:
    """Give the folder of an older project's homes, which must lie outside of it."""
    return root.with_name(f"{root.name}_home")


def make_fixture(commit: str) -> Path:
    """Run an earlier commit's code in a folder of its own, and pack what it left."""
    file = FIXTURES / f"project_{commit}.tar.xz"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tree = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
            archive.extractall(root, filter="data")
        settings = {
            "PYTHONPATH": f"{root}/src:{root}",
            "DOSVOTOS_USER": "ben",
            "DOSVOTOS_HOME": f"{root}/home",
        }
        subprocess.run([sys.executable, "-c", _RUN], cwd=root, env={**os.environ, **settings}, check=True)
        _pack(root, file)
    return file


def _pack(root: Path, file: Path) -> None:
    with closing(sqlite3.connect(root / "data/dosvotos.db")) as connection:
        left_out = tuple(f'INSERT INTO "{table}"' for table in _STORED)
        sql = "\n".join(line for line in connection.iterdump() if not line.startswith(left_out)).encode()
    with tarfile.open(file, "w:xz", preset=9) as archive:
        info = tarfile.TarInfo("dosvotos.sql")
        info.size = len(sql)
        archive.addfile(info, io.BytesIO(sql))
        for path in sorted(path for pattern in _KEPT for path in root.glob(pattern) if path.is_file()):
            archive.add(path, path.relative_to(root))


if __name__ == "__main__":
    print(make_fixture(sys.argv[1]))
