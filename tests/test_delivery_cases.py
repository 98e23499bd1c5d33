"""The shared deliveries, clean and spoilt: read, judged and stored by the nodes' own functions.

``cases.json`` says what each must end as: refused with a message, or exactly these rows stored. What the
command line adds, exit codes and the absence of tracebacks, is in `tests/commands`.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from dosvotos.contracts.acquisition import DataAcquisitionParams
from dosvotos.database.connection import connect, upgrade
from dosvotos.database.market_data import BarTable, MacroTables, StoredMarket
from dosvotos.database.quarantine import QuarantineTable
from dosvotos.errors import DosVotosError
from dosvotos.pipelines.data_acquisition import nodes
from dosvotos.quality.findings import QUARANTINED
from tests.conftest import ROOT, parameters_of

CASES = ROOT.parent / "shared" / "cases"
_PARAMETERS = parameters_of()


def load_cases() -> list[Any]:
    """The cases of L0 by name; YAML is the configuration loader's matter."""
    if not (CASES / "cases.json").is_file():
        why = "needs the deliveries in ../shared/cases, which the repository does not hold"
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=why))]
    cases = json.loads((CASES / "cases.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases if case["kind"] != "yaml"]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with today's schema, to be copied."""
    path = tmp_path_factory.mktemp("cases") / "empty.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


class State(NamedTuple):
    """What a database holds."""

    bars: list[str]
    macro: list[str]
    findings: pd.DataFrame

    @property
    def digests(self) -> tuple[str, str, int]:
        """Hashes of bars and macro values, and the number of findings."""
        return digest(self.bars), digest(self.macro), len(self.findings)


def digest(lines: list[str]) -> str:
    """Hash as cases.json says: sorted lines, each ended by a line feed."""
    return hashlib.sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()


class Deliveries:
    """One database, into which the nodes of L0 store one folder after the other."""

    def __init__(self, folder: Path, empty_database: Path) -> None:
        self.folder = folder
        shutil.copyfile(empty_database, folder / "case.db")
        self.engine = connect(f"sqlite:///{folder}/case.db")
        self.tables = StoredMarket(self.engine, "USD/COP", "market")

    def acquisition(self, delivery: dict[str, Any], folder: Path) -> DataAcquisitionParams:
        """The parameters of L0 with what the delivery gives."""
        given = {name.removeprefix("data_acquisition."): v for name, v in delivery.get("params", {}).items()}
        change = {"source": "files", "folder": str(folder), "as_of": delivery["as_of"], **given}
        return DataAcquisitionParams.model_validate({**_PARAMETERS.data_acquisition.model_dump(), **change})

    def take(self, number: int, delivery: dict[str, Any]) -> None:
        """Read, judge and store a delivery, as the pipeline does."""
        folder = self.folder / str(number)
        folder.mkdir()
        for name, origin in delivery["files"].items():
            shutil.copyfile(CASES / origin, folder / name)
        acquisition = self.acquisition(delivery, folder)
        asked = _PARAMETERS.model_copy(update={"data_acquisition": acquisition})
        *raw, fetched, unreadable = nodes.fetch_market(
            acquisition, asked.sample_market, asked.macro_variables, self.tables, {}, asked.calendar
        )
        judged = nodes.judge_market(*raw, unreadable, fetched, self.tables, asked)
        bar_table, macro_tables = self.tables.tables
        quarantine = QuarantineTable(self.engine, "USD/COP", "market")
        handles = (bar_table, macro_tables, quarantine)
        for handle, batch in zip(
            handles, nodes.store_market(*judged, fetched, acquisition, self.tables), strict=True
        ):
            handle.store(*batch)

    def state(self) -> State:
        """What is stored, as lines of cases.json."""
        bars = BarTable(self.engine, "USD/COP", "market").frame()
        macro = MacroTables(self.engine, "USD/COP", "market").frame()
        macro = macro.sort_values("observation_date").drop_duplicates(
            ["variable", "observation_date"], keep="last"
        )
        bar_lines = [
            f"{row.Index:%Y-%m-%dT%H:%M:%SZ}," + ",".join(f"{price:.6f}" for price in row[1:5])
            for row in bars[["open", "high", "low", "close"]].itertuples()
        ]
        macro_lines = [f"{row.variable},{row.observation_date},{row.value:.6f}" for row in macro.itertuples()]
        return State(bar_lines, macro_lines, QuarantineTable(self.engine, "USD/COP", "market").frame())


@pytest.mark.parametrize("case", load_cases())
def test_a_delivery_ends_as_it_should(tmp_path, caplog, case, empty_database):
    deliveries = Deliveries(tmp_path, empty_database)
    for number, delivery in enumerate(case["deliveries"]):
        before, refusal = deliveries.state(), ""
        caplog.clear()
        try:
            deliveries.take(number, delivery)
        except DosVotosError as error:
            refusal = str(error)
        after = deliveries.state()
        wanted = delivery["right"] if isinstance(delivery["right"], list) else [delivery["right"]]
        if refusal:
            assert "refused" in wanted, refusal
            assert before.digests == after.digests
            said = refusal
        else:
            assert set(wanted) != {"refused"}
            assert_stored(delivery, after)
            said = "\n".join([caplog.text, *after.findings["detail"]])
        for pattern in delivery.get("says", []):
            assert re.search(pattern, said, re.IGNORECASE), f"{pattern}: {said[:300]}"


def assert_stored(delivery: dict[str, Any], state: State) -> None:
    """Compare rows, hashes and the rows put aside with those that a case states."""
    for name, lines in (("bars", state.bars), ("macro", state.macro)):
        stated = delivery.get("stored", {}).get(name, [])
        either = stated if isinstance(stated, list) else [stated]
        assert not either or (len(lines), digest(lines)) in [(one["rows"], one["sha256"]) for one in either]
    quarantined = state.findings[state.findings["severity"] == QUARANTINED]
    for stated in delivery.get("put_aside", []):
        rules = quarantined.loc[quarantined["subject"] == stated["subject"], "rule"]
        n_rows = int(rules.str.contains(stated.get("rule", "")).sum())
        assert n_rows in (stated["rows"] if isinstance(stated["rows"], list) else [stated["rows"]])
