"""How long ``dosvotos live`` takes to start; a part of live.py."""

import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dosvotos.config_loader import load_parameters
from dosvotos.database.market_data import StoredMarket
from dosvotos.policy.forward import ServedPolicy
from tests.live.production_models import approve
from tests.project import new_project
from tests.proposal_fixtures import INSTRUMENT


def start_up(
    root: Path, bars: pd.DataFrame, macro: pd.DataFrame, policy: ServedPolicy, n: int
) -> dict[str, float]:
    """Seconds from the command to systemd's READY, wall and CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOSVOTOS_HOME", str(root.with_name(f"{root.name}_home")))
        patch.chdir(root)
        project = new_project(root)
        tables = StoredMarket(project.engine, INSTRUMENT, load_parameters("demo").feed).tables
        at = bars.index[-1].to_pydatetime() + timedelta(days=1)
        tables[0].store(bars.reset_index(), at)
        tables[1].store(macro, at)
        approve(project.engine, root / "data/06_models", policy)
        project.engine.dispose()
        took = [ready_after(root) for _ in range(n)]
    walls, cpus = zip(*took, strict=True)
    return {"start_seconds": float(np.median(walls)), "start_cpu_seconds": float(np.median(cpus))}


def ready_after(root: Path) -> tuple[float, float]:
    """Start a loop in a project, wait for its READY and stop it; gives seconds and CPU seconds until then."""
    address = root / "ready"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(address))
        told.settimeout(300)
        began = time.perf_counter()
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dosvotos"), "live", "--env", "demo"],
            cwd=root,
            env={**os.environ, "NOTIFY_SOCKET": str(address)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while b"READY=1" not in told.recv(1024):
            pass
        wall = time.perf_counter() - began
        spent = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        process.terminate()
        process.wait()
    address.unlink()
    return wall, sum(map(int, spent[11:13])) / os.sysconf("SC_CLK_TCK")
