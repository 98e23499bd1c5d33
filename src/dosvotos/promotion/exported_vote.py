"""One decision in a folder that a stranger verifies with OpenSSH and coreutils alone.

The text is what was signed; the hashes in it name the manifests; the checkpoint's head is the hash of the
log's row, or of a later one that the row leads to.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from shlex import quote
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row

from dosvotos.database.registry import get_proposal
from dosvotos.database.tables import model_registry
from dosvotos.errors import DecisionError, FileError, LineageError
from dosvotos.files import read_regular_file
from dosvotos.hashing import canonical_json, digest_bytes
from dosvotos.promotion.audit import link_of, read_audit_log, sealed_in
from dosvotos.promotion.checkpoints import contradiction, open_home
from dosvotos.promotion.decision_text import DecisionText
from dosvotos.promotion.people import allowed_signers
from dosvotos.promotion.signatures import read_trust, verify_decision
from dosvotos.sealed import MANIFEST, MAX_MANIFEST_BYTES
from dosvotos.signing.checkpoint import Checkpoint
from dosvotos.signing.home import Home
from dosvotos.signing.sshsig import LOG_NAMESPACE, VOTE_NAMESPACE

TEXT, SIGNATURE, SECOND, SEAL = "decision", "decision.sig", "decision.second.sig", "seal.json"
CHECKPOINT, SIGNERS, SUMS, README = "checkpoint", "allowed_signers", "SHA256SUMS", "README.md"
SERVER: Final = "server"
_OF_TEXT: Final = {
    "dossier": "dossier.manifest.json", "model": "bundle.manifest.json", "lapses": "lapses.json",
    "subject": "subject.json", "reason": "reason",
}  # fmt: skip
"""Files by the line of the text that says their hash."""


class ExportedVote(NamedTuple):
    """A decision's files, and what to run in their folder."""

    files: dict[str, bytes]
    commands: tuple[str, ...]


def export_vote(connection: Connection, row_id: int) -> ExportedVote:
    """Gather what proves one decision of the log.

    Parameters
    ----------
    connection : Connection
    row_id : int
        Row of the log, as ``audit list`` shows it.

    Raises
    ------
    DecisionError
        If there is no such row, or nobody signed it.
    LineageError
        If its signature, the log or a manifest is not what it must be.
    """
    rows = read_audit_log(connection)
    if not 1 <= row_id <= len(rows):
        raise DecisionError(f"export: row {row_id} does not exist; the log has {len(rows)}, see 'audit list'")
    row = rows[row_id - 1]
    if row.text is None:
        raise DecisionError(
            f"export: row {row_id} is {row.action} by {row.reviewer}, which carries no signature to verify"
        )
    home = open_home(connection)
    text = verify_decision(row, read_trust(connection, home))
    checkpoint = _covering(rows, row_id, home)
    files = {
        TEXT: row.text.encode(),
        SIGNATURE: row.signature.encode(),
        SIGNERS: _signers(connection, row, home).encode(),
        SEAL: canonical_json(sealed_in(dict(row._mapping))).encode(),
        CHECKPOINT: checkpoint.text.encode(),
        f"{CHECKPOINT}.sig": checkpoint.signature.encode(),
        **_named_by_text(connection, row, text),
        **{_row_file(n): _row_bytes(rows, n) for n in range(row_id, checkpoint.state.rows + 1)},
    }
    if row.second_signature is not None:
        files[SECOND] = row.second_signature.encode()
    files[SUMS] = "".join(f"{digest_bytes(c)}  {name}\n" for name, c in sorted(files.items())).encode()
    commands = _commands(row, text, checkpoint)
    return ExportedVote({**files, README: _readme(row, text, commands).encode()}, commands)


def _covering(rows: Sequence[Row[Any]], row_id: int, home: Home) -> Checkpoint:
    """Find the first checkpoint that the log still holds and that covers a row."""
    for checkpoint in home.checkpoints():
        if checkpoint.state.rows >= row_id and contradiction(rows, checkpoint, home.folder.name) is None:
            checkpoint.verify(home.server_key)
            return checkpoint
    raise LineageError(f"export: no checkpoint covers row {row_id}; see 'dosvotos audit verify'")


def _signers(connection: Connection, row: Row[Any], home: Home) -> str:
    """Write who signed, each with the time in which their key counted, and the server."""
    trust = read_trust(connection, home)
    names = {row.reviewer, row.second_reviewer}
    lines = [
        line
        for line in allowed_signers(trust).splitlines()
        if line.split(" ", 1)[0] in names or (row.mode == "single-user" and line.startswith("* "))
    ]
    return "\n".join([*lines, f'{SERVER} namespaces="{LOG_NAMESPACE}" {home.server_key.line}', ""])


def _named_by_text(connection: Connection, row: Row[Any], text: DecisionText) -> dict[str, bytes]:
    """Gather the files whose hashes the text says."""
    contents: dict[str, bytes | None] = {
        "reason": (row.notes or "").encode(),
        "subject": None if row.subject is None else canonical_json(row.subject).encode(),
        "lapses": None if row.lapses is None else canonical_json(row.lapses).encode(),
    }
    if text.dossier is not None and text.proposal is not None:
        folder = Path(get_proposal(connection, text.proposal).report_folder)
        contents["dossier"] = _manifest(folder, text.dossier)
    if text.model is not None:
        contents["model"] = _manifest(_bundle_folder(connection, text.model), text.model)
    return {_OF_TEXT[name]: content for name, content in contents.items() if content is not None}


def _bundle_folder(connection: Connection, manifest_hash: str) -> Path:
    t = model_registry
    found = connection.execute(t.select().where(t.c.manifest_hash == manifest_hash)).first()
    if found is None:
        raise LineageError(f"export: model_registry has no model of manifest {manifest_hash}")
    return Path(found.model_path)


def _manifest(folder: Path, digest: str) -> bytes:
    try:
        content = read_regular_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
    except FileError as error:
        raise LineageError(f"export: {error}; the folder that was voted on is gone") from error
    if digest_bytes(content) != digest:
        raise LineageError(f"export: {folder / MANIFEST}: is not what was voted on ({digest})")
    return content


def _row_bytes(rows: Sequence[Row[Any]], number: int) -> bytes:
    """Write a row as the log hashes it."""
    row = rows[number - 1]
    content = canonical_json(link_of(row)).encode()
    if digest_bytes(content) != row.row_hash:
        raise LineageError(f"export: row {number} of the log was changed; see 'dosvotos audit verify'")
    return content


def _row_file(number: int) -> str:
    return f"row_{number}.json"


def _commands(row: Row[Any], text: DecisionText, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Write what a stranger runs: who signed, that the log holds it, that every file is the one named."""
    at = f"-Overify-time={row.created_at.astimezone(UTC):%Y%m%d%H%M%SZ}"
    verify = f"ssh-keygen -Y verify -f {SIGNERS} {at}"
    signed = [f"{verify} -I {quote(row.reviewer)} -n {VOTE_NAMESPACE} -s {SIGNATURE} < {TEXT}"]
    if row.second_signature is not None:
        signed.append(f"{verify} -I {quote(row.second_reviewer)} -n {VOTE_NAMESPACE} -s {SECOND} < {TEXT}")
    logged = f"{verify} -I {SERVER} -n {LOG_NAMESPACE} -s {CHECKPOINT}.sig < {CHECKPOINT}"
    named = {name: file for name, file in _OF_TEXT.items() if getattr(text, name) is not None}
    return (" && \\\n".join(signed), logged, _sums(named, row.id, checkpoint.state.rows))


def _sums(named: Mapping[str, str], first: int, last: int) -> str:
    """Write the one command that takes each hash from what is signed and compares it with the file."""
    of_text = "; ".join(_hash_line(f"^{name}: ", "$", file) for name, file in named.items())
    of_head = _hash_line("^head: ", "$", _row_file(last))
    lines = [f"cat {SUMS}", _taken(of_text, TEXT), _taken(of_head, CHECKPOINT)]
    for number in range(last, first, -1):
        lines.append(_taken(_in_json("previous", _row_file(number - 1)), _row_file(number)))
    lines += [_taken(_in_json("seal", SEAL), _row_file(first)), _taken(_in_json("text_hash", TEXT), SEAL)]
    joined = "; \\\n  ".join(lines)
    return f"{{ {joined}; }} |\n  sha256sum --check --strict"


def _hash_line(before: str, after: str, file: str) -> str:
    """Write how sed makes a line of sha256sum from the hash that stands between two patterns."""
    return f"s/{before}\\([0-9a-f]*\\){after}/\\1  {file}/p"


def _in_json(name: str, file: str) -> str:
    return _hash_line(f'.*"{name}":"', '".*', file)


def _taken(script: str, file: str) -> str:
    """Write what sed takes from a file, with the line feed that a file of JSON does not end in."""
    return f"printf '%s\\n' \"$(sed -n '{script}' {file})\""


def _readme(row: Row[Any], text: DecisionText, commands: Sequence[str]) -> str:
    blocks = "\n\n".join(
        f"{number}. {what}\n\n```sh\n{command}\n```"
        for number, (what, command) in enumerate(zip(_PROVES, commands, strict=True), start=1)
    )
    return _README.format(row=row.id, action=text.action, reviewer=row.reviewer, at=text.at, blocks=blocks)


_PROVES: Final = (
    'The decision is signed by a key that counted when it was made (`Good "vote@dosvotos" signature`):',
    'The server has signed a state of the log (`Good "log@dosvotos" signature`):',
    "Manifests, reason and row are those that the signed text and the signed state of the log name (every "
    "line ends in `OK`):",
)
_README: Final = """# Decision {row} of the log: {action} by {reviewer}, {at:%Y-%m-%d %H:%M:%S} UTC

What was decided, and proof of it that needs neither Dos Votos nor its database: OpenSSH 8.9 or newer and
coreutils, in this folder. Each of the three commands must end with exit code 0.

{blocks}

`decision` is what {reviewer} saw and signed, a line a fact. `dossier.manifest.json` and
`bundle.manifest.json` list every file that was voted on with its SHA-256: whoever has the dossier and the
model compares them by `sha256sum`. Ask {reviewer} for their public key by another way, and compare it with
`allowed_signers`; ask whoever keeps a copy of the log's checkpoints whether `checkpoint` is one of them.
"""
