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
    """Seconds from the command to systemd's READY, wall and CPU, of restarts and of first starts."""
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
        ready_after(root)  # compiles, where nothing has yet
        restarts = [ready_after(root) for _ in range(n)]
        firsts = [ready_after(root, first=True) for _ in range(n)]
    return _medians("start", restarts) | _medians("first_start", firsts)


def _medians(name: str, took: list[tuple[float, float]]) -> dict[str, float]:
    walls, cpus = zip(*took, strict=True)
    return {f"{name}_seconds": float(np.median(walls)), f"{name}_cpu_seconds": float(np.median(cpus))}


def ready_after(root: Path, first: bool = False) -> tuple[float, float]:
    """Start a loop in a project, wait for its READY and stop it; gives seconds and CPU seconds until then.

    `first` takes away the features that the last one saved.
    """
    address = root / "ready"
    if first:
        (root / "data/04_feature/demo/live_state.safetensors").unlink()
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
