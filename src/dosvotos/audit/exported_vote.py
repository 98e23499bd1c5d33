"""One decision in a folder that a stranger verifies with OpenSSH, openssl and coreutils alone.

The text is what was signed; the hashes in it name the manifests; the checkpoint's head is the hash of the
log's row, or of a later one that the row leads to.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row

from dosvotos.audit.checkpoints import contradiction, open_home
from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.exported_signature import TEXT, ExportedSignature, export_signature
from dosvotos.audit.log import link_of, read_audit_log, sealed_in
from dosvotos.audit.people import Trust, allowed_signers
from dosvotos.audit.signatures import first_signatory, is_first, read_trust, verify_decision
from dosvotos.database.registry import get_proposal
from dosvotos.database.tables import model_registry
from dosvotos.errors import AlteredError, DecisionError, FileError
from dosvotos.files import read_regular_file
from dosvotos.hashing import canonical_json, digest_bytes
from dosvotos.sealed import MANIFEST, MAX_MANIFEST_BYTES
from dosvotos.signing.checkpoint import Checkpoint
from dosvotos.signing.home import Home
from dosvotos.signing.sshsig import LOG_NAMESPACE

SEAL: Final = "seal.json"
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
            f"export: row {row_id} is {row.action} by {row.reviewer}, which carries no signature to "
            "verify; 'dosvotos audit list' shows which rows are signed"
        )
    home = open_home(connection)
    trust = read_trust(connection, home)
    text = verify_decision(row, trust)
    signatures = _signatures(row, text, trust)
    checkpoint = _covering(rows, row_id, home)
    files = {
        TEXT: row.text.encode(),
        **{name: content for one in signatures for name, content in one.files.items()},
        SIGNERS: _signers(trust, row, home).encode(),
        SEAL: canonical_json(sealed_in(dict(row._mapping))).encode(),
        CHECKPOINT: checkpoint.text.encode(),
        f"{CHECKPOINT}.sig": checkpoint.signature.encode(),
        **_named_by_text(connection, row, text),
        **{_row_file(n): _row_bytes(rows, n) for n in range(row_id, checkpoint.state.rows + 1)},
    }
    files[SUMS] = "".join(f"{digest_bytes(c)}  {name}\n" for name, c in sorted(files.items())).encode()
    commands = _commands(row, text, checkpoint, signatures)
    readme = _readme(row, text, commands, [one.note for one in signatures if one.note])
    return ExportedVote({**files, README: readme.encode()}, commands)


def _signatures(row: Row[Any], text: DecisionText, trust: Trust) -> list[ExportedSignature]:
    """Write the signature of a row, and the second one where two people signed."""
    then, verify = trust.before(row.id), _ssh_verify(row)
    who = first_signatory(row, then) if is_first(row) else then.signatory(row.reviewer, row.mode)
    signatures = [export_signature(row.signature, text, who, verify, TEXT)]
    if row.second_signature is not None:
        other = then.signatory(row.second_reviewer, row.mode)
        signatures.append(export_signature(row.second_signature, text, other, verify, f"{TEXT}.second"))
    return signatures


def _ssh_verify(row: Row[Any]) -> str:
    return f"ssh-keygen -Y verify -f {SIGNERS} -Overify-time={row.created_at.astimezone(UTC):%Y%m%d%H%M%SZ}"


def _covering(rows: Sequence[Row[Any]], row_id: int, home: Home) -> Checkpoint:
    """Find the first checkpoint that the log still holds and that covers a row."""
    for checkpoint in home.checkpoints():
        if checkpoint.state.rows >= row_id and contradiction(rows, checkpoint, home.folder.name) is None:
            checkpoint.verify(home.server_key)
            return checkpoint
    raise AlteredError(f"export: no checkpoint covers row {row_id}")


def _signers(trust: Trust, row: Row[Any], home: Home) -> str:
    """Write who signed with an SSH key, each with the time in which it counted, and the server."""
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
        raise AlteredError(f"export: model_registry has no model of manifest {manifest_hash}")
    return Path(found.model_path)


def _manifest(folder: Path, digest: str) -> bytes:
    try:
        content = read_regular_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
    except FileError as error:
        raise AlteredError(f"export: {error}; the folder that was voted on is gone") from error
    if digest_bytes(content) != digest:
        raise AlteredError(f"export: {folder / MANIFEST}: is not what was voted on ({digest})")
    return content


def _row_bytes(rows: Sequence[Row[Any]], number: int) -> bytes:
    """Write a row as the log hashes it."""
    row = rows[number - 1]
    content = canonical_json(link_of(row)).encode()
    if digest_bytes(content) != row.row_hash:
        raise AlteredError(f"export: row {number} of the log was changed")
    return content


def _row_file(number: int) -> str:
    return f"row_{number}.json"


def _commands(
    row: Row[Any], text: DecisionText, checkpoint: Checkpoint, signatures: Sequence[ExportedSignature]
) -> tuple[str, ...]:
    """Write what a stranger runs: who signed, that the log holds it, that every file is the one named."""
    signed = " && \\\n".join(one.command for one in signatures)
    logged = f"{_ssh_verify(row)} -I {SERVER} -n {LOG_NAMESPACE} -s {CHECKPOINT}.sig < {CHECKPOINT}"
    named = {name: file for name, file in _OF_TEXT.items() if getattr(text, name) is not None}
    return (signed, logged, _sums(named, row.id, checkpoint.state.rows))


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


def _readme(row: Row[Any], text: DecisionText, commands: Sequence[str], notes: Sequence[str]) -> str:
    blocks = "\n\n".join(
        f"{number}. {what}\n\n```sh\n{command}\n```"
        for number, (what, command) in enumerate(zip(_PROVES, commands, strict=True), start=1)
    )
    about = {"row": row.id, "action": text.action, "reviewer": row.reviewer, "at": text.at}
    return "\n".join((_README.format(**about, blocks=blocks), *notes))


_PROVES: Final = (
    'The decision is signed by a key that counted when it was made (`Good "vote@dosvotos" signature`, of a '
    "passkey `Verified OK`):",
    'The server has signed a state of the log (`Good "log@dosvotos" signature`):',
    "Manifests, reason and row are those that the signed text and the signed state of the log name (every "
    "line ends in `OK`):",
)
_README: Final = """# Decision {row} of the log: {action} by {reviewer}, {at:%Y-%m-%d %H:%M:%S} UTC

What was decided, and proof of it that needs neither Dos Votos nor its database: OpenSSH 8.9 or newer,
openssl where a passkey signed, and coreutils, in this folder. Each of the three commands must end with exit
code 0.

{blocks}

`decision` is what {reviewer} saw and signed, a line a fact. `dossier.manifest.json` and
`bundle.manifest.json` list every file that was voted on with its SHA-256: whoever has the dossier and the
model compares them by `sha256sum`. Ask {reviewer} for their public key by another way, and compare it with
`allowed_signers` or the `.pem` file; ask whoever keeps a copy of the log's checkpoints whether `checkpoint`
is one of them.
"""
