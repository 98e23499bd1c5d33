"""One signature of an exported decision: its files, and the command that verifies them without us."""

from shlex import quote
from typing import Final, NamedTuple

from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.people import Signatory
from dosvotos.audit.signatures import verify_vote_signature
from dosvotos.signing.passkeys import Passkey, is_assertion, parse_assertion
from dosvotos.signing.relying_party import LOCAL_HOST
from dosvotos.signing.sshsig import VOTE_NAMESPACE

TEXT: Final = "decision"
_USER_VERIFIED: Final = 5
"""Flags of an authenticator: somebody was present (1), and it made sure who (4)."""


class ExportedSignature(NamedTuple):
    """What proves that a person signed."""

    files: dict[str, bytes]
    command: str
    note: str = ""
    """What the README says of it besides."""


def export_signature(
    signature: str, text: DecisionText, who: Signatory, ssh_verify: str, name: str
) -> ExportedSignature:
    """Write a signature for stock ``ssh-keygen``, or for stock ``openssl`` where a passkey made it.

    Parameters
    ----------
    signature : str
        As the log's row has it.
    text : DecisionText
    who : Signatory
        Whose it is, as of the row.
    ssh_verify : str
        Beginning of the command for SSH keys.
    name : str
        Of the files, without what they end in.
    """
    file = f"{name}.sig"
    if not is_assertion(signature):
        command = f"{ssh_verify} -I {quote(who.name)} -n {VOTE_NAMESPACE} -s {file} < {TEXT}"
        return ExportedSignature({file: signature.encode()}, command)
    key, assertion = verify_vote_signature(signature, text, who), parse_assertion(signature)
    assert isinstance(key, Passkey)
    data, client, pem = f"{name}.authenticator", f"{name}.client.json", f"{name}.pem"
    files = {
        file: assertion.signature,
        data: assertion.authenticator_data,
        client: assertion.client_data,
        pem: key.pem,
    }
    return ExportedSignature(files, _command(key, file, data, client, pem), _NOTE.format(
        who=who.name, pem=pem, fingerprint=key.fingerprint, host=key.rp_id
    ))  # fmt: skip


def _command(key: Passkey, file: str, data: str, client: str, pem: str) -> str:
    """Write what proves a passkey's signature, what it is over, its site, and who was verified."""
    scheme = "https*" if key.rp_id == LOCAL_HOST else "https"
    host = key.rp_id.replace(".", "\\.")
    return " && \\\n".join(
        (
            f"{{ cat {data}; openssl dgst -sha256 -binary {client}; }} |\n"
            f"  openssl dgst -sha256 -verify {pem} -signature {file}",
            f'grep -q \'"type":"webauthn\\.get"\' {client}',
            f'grep -q \'"origin":"{scheme}://{host}[:"]\' {client}',
            f'test "$(sed -n \'s/.*"challenge":"\\([A-Za-z0-9_-]*\\)".*/\\1/p\' {client})" = \\\n'
            f"  \"$(openssl dgst -sha256 -binary {TEXT} | openssl base64 -A | tr '+/' '-_' | tr -d =)\"",
            f"test \"$(head -c 32 {data} | od -An -v -tx1 | tr -d ' \\n')\" = \\\n"
            f'  "$(printf %s {key.rp_id} | sha256sum | cut -c 1-64)"',
            f"test $(($(od -An -tu1 -j 32 -N 1 {data}) & {_USER_VERIFIED})) -eq {_USER_VERIFIED}",
        )
    )


_NOTE: Final = """{who} signed with a passkey bound to `{host}`: its public key is `{pem}`, which
`openssl pkey -pubin -in {pem} -outform DER | openssl dgst -sha256 -binary | openssl base64` shows as
`{fingerprint}` (openssl pads it with `=`). The decision that added {who}, a row of the same log,
was signed over this key: export that row too, its reason or its `subject.json` names it.
"""
