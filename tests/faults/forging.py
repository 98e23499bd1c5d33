"""What a forger does who has the files, the database and this project's own code at hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select, update

from dosvotos.database.append_only import renew_guards
from dosvotos.database.connection import reading, writing
from dosvotos.database.tables import experiment_contracts, instruments, model_registry, promotion_proposals
from dosvotos.errors import DosVotosError
from dosvotos.promotion.agreement import instrument_of, proposal_in, records_in
from dosvotos.promotion.dossier import Dossier, dossier_files, write_dossier
from dosvotos.promotion.registration import model_columns, proposal_columns
from dosvotos.sealed import seal
from tests.promotion.test_audit_check import without_guards
from tests.proposal_fixtures import Desk

Edit = Callable[[Any], Any]


def forge_dossier(desk: Desk, proposal_id: int, name: str, edit: Edit, rows_too: bool) -> None:
    """Write another dossier, put its hash into the row, and, to be thorough, all that follows from it."""
    row = desk.proposal(proposal_id)
    honest = Dossier.of(row).files
    files = dict(honest)
    files[name] = json.dumps(edit(json.loads(files[name]))).encode()
    parent, experiment = Path(row.report_folder).parent, row.experiment_name
    folder, dossier_hash = write_dossier(parent, files), seal(files)[0]
    try:
        records = records_in(Dossier.open(folder, dossier_hash, experiment))
    except DosVotosError:  # no such record: the forger leaves it at the hash
        desk.change(proposal_id, report_folder=str(folder), dossier_hash=dossier_hash)
        return
    again = dossier_files(records, experiment)
    if again != dict(honest):  # else the record does not keep what was edited: only the file says it
        files = again
        folder, dossier_hash = write_dossier(parent, files), seal(files)[0]
    columns = {"report_folder": str(folder), "dossier_hash": dossier_hash}
    if rows_too:
        columns = proposal_columns(records, files, row.instrument, folder)
        forged = proposal_in(Dossier.open(folder, dossier_hash, experiment))
        model = model_columns(forged, instrument_of(forged.layers.contract))
        change_rows(desk, model_registry, {"model_id": row.model_id}, model)
    desk.change(proposal_id, **columns)


def at(path: str, value: Any) -> Edit:
    """Set the value at a dotted path of a JSON tree."""

    def edit(tree: Any) -> Any:
        *parents, field = path.split(".")
        node = tree
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[int(field) if isinstance(node, list) else field] = value
        return tree

    return edit


def change_rows(desk: Desk, table: Table, where: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """UPDATE rows by SQL, triggers taken away and put back."""
    statement = update(table).values(dict(values))
    for name, value in where.items():
        statement = statement.where(table.c[name] == value)
    with writing(desk.engine) as connection:
        without_guards(connection)
        connection.execute(statement)
        renew_guards(connection)


def rows_of(desk: Desk, proposal_id: int) -> dict[Table, dict[str, Any]]:
    """By table, what tells a proposal's own row from the others."""
    row = desk.proposal(proposal_id)
    return {
        promotion_proposals: {"id": proposal_id},
        model_registry: {"model_id": row.model_id},
        instruments: {"instrument": row.instrument},
        experiment_contracts: {"experiment_name": row.experiment_name},
    }


def stored(desk: Desk, table: Table, where: Mapping[str, Any]) -> dict[str, Any]:
    query = select(table)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    with reading(desk.engine) as connection:
        return dict(connection.execute(query.order_by(table.c[next(iter(where))])).one()._mapping)
