"""SSHSIG: signatures of files as ``ssh-keygen -Y sign`` makes and ``-Y verify`` checks them.

Notes
-----
OpenSSH's PROTOCOL.sshsig. One signature has one armor here: what is not written exactly as OpenSSH writes it
is refused, so that no byte of a stored signature can be changed unnoticed.
"""

import base64
import binascii
import textwrap
from typing import Final, NamedTuple

from dosvotos.errors import SignatureError
from dosvotos.hashing import raw_digest
from dosvotos.signing.keys import PublicKey, key_of_blob
from dosvotos.signing.wire import WireReader, string

VOTE_NAMESPACE: Final = "vote@dosvotos"
LOG_NAMESPACE: Final = "log@dosvotos"
HEADER: Final = "-----BEGIN SSH SIGNATURE-----"
FOOTER: Final = "-----END SSH SIGNATURE-----"
MAX_ARMOR: Final = 8_192
"""Characters; an RSA key of 8192 bits needs 3,000."""
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_HASHES: Final = ("sha512", "sha256")


class SshSignature(NamedTuple):
    """A signature with all it says of itself."""

    key: PublicKey
    namespace: str
    hash_name: str
    signature: bytes
    """SSH's encoding of the key's own signature."""

    def verify(self, message: bytes, namespace: str) -> PublicKey:
        """Return the key that signed `message` for a namespace.

        Raises
        ------
        SignatureError
            If it was made for another namespace or over another message.
        """
        if self.namespace != namespace:
            raise SignatureError.of("signature_namespace", found=repr(self.namespace), needed=repr(namespace))
        self.key.verify(signed_bytes(message, namespace, self.hash_name), self.signature)
        return self.key

    @property
    def armored(self) -> str:
        """The signature as text, ending with a line feed."""
        blob = b"".join(
            (
                _MAGIC,
                _VERSION.to_bytes(4, "big"),
                string(self.key.blob),
                string(self.namespace.encode()),
                string(b""),
                string(self.hash_name.encode()),
                string(self.signature),
            )
        )
        lines = textwrap.wrap(base64.b64encode(blob).decode(), 70)
        return "\n".join((HEADER, *lines, FOOTER, ""))


def signed_bytes(message: bytes, namespace: str, hash_name: str = "sha512") -> bytes:
    """Give the bytes that a key signs for a message."""
    fields = (namespace.encode(), b"", hash_name.encode(), raw_digest(message, hash_name))
    return _MAGIC + b"".join(map(string, fields))


def parse_signature(armored: str) -> SshSignature:
    """Read an armored signature.

    Raises
    ------
    SignatureError
        If it is no signature, or not written exactly as OpenSSH writes it.
    """
    text = armored.replace("\r\n", "\n").strip()
    if len(text) > MAX_ARMOR or not (text.startswith(HEADER) and text.endswith(FOOTER)):
        raise SignatureError.of("signature_armor", first=HEADER, last=FOOTER)
    try:
        body = "".join(text.removeprefix(HEADER).removesuffix(FOOTER).split())
        found = _parse_blob(base64.b64decode(body, validate=True))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise SignatureError.of("signature_base64", found=error) from error
    if found.armored.strip() != text:
        raise SignatureError.of("signature_form")
    return found


def _parse_blob(blob: bytes) -> SshSignature:
    reader = WireReader(blob)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.uint32() != _VERSION:
        raise SignatureError.of("signature_version", version=_VERSION)
    key, namespace, reserved = key_of_blob(reader.string()), reader.string().decode(), reader.string()
    hash_name, signature = reader.string().decode(), reader.string()
    reader.end()
    if reserved or hash_name not in _HASHES:
        raise SignatureError.of("signature_hash", found=repr(hash_name), needed=" | ".join(_HASHES))
    return SshSignature(key, namespace, hash_name, signature)


def verify_signature(armored: str, message: bytes, namespace: str) -> PublicKey:
    """Return the key that made an armored signature over `message`; raises SignatureError."""
    return parse_signature(armored).verify(message, namespace)
