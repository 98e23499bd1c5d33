"""Whom the log names as its people, for those who do not decide: their signatures are verified elsewhere."""

from sqlalchemy import Connection, select

from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import ContractError
from dosvotos.users import same_person


def names_on_log(connection: Connection) -> set[str]:
    """Name those whom the log has added and not revoked since."""
    t = approval_audit_log
    about = t.c.action.in_(("ADD_REVIEWER", "REVOKE_REVIEWER", "RESTORE"))
    names: set[str] = set()
    for action, subject in connection.execute(select(t.c.action, t.c.subject).where(about).order_by(t.c.id)):
        if action == "ADD_REVIEWER":
            names.add(subject["name"])
        else:
            names -= {subject["name"]} if action == "REVOKE_REVIEWER" else set(subject["revoked"])
    return names


def trainer_on_log(connection: Connection, user: str) -> str:
    """Name who trains: on a log with people one of them, as the log writes the name.

    Raises
    ------
    ContractError
        If `user` is none of them: under another name they could approve what they trained.
    """
    names = names_on_log(connection)
    known = next((name for name in sorted(names) if same_person(name, user)), None)
    if names and known is None:
        raise ContractError(
            f"{user}: trains, but is none of the people of this log ({', '.join(sorted(names))}), so nobody "
            "could tell whether they approve their own model; set DOSVOTOS_USER to your name there"
        )
    return known or user
