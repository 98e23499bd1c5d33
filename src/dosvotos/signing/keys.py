"""Public keys as OpenSSH writes them, and what each kind's signature proves."""

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from dosvotos.errors import KeyFileError, SignatureError
from dosvotos.hashing import raw_digest
from dosvotos.signing.wire import WireReader, string

MIN_RSA_BITS: Final = 2048
_USER_PRESENT: Final = 1
_CURVE_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "ecdsa-sha2-nistp256": hashes.SHA256(),
    "ecdsa-sha2-nistp384": hashes.SHA384(),
    "ecdsa-sha2-nistp521": hashes.SHA512(),
}
_SK_ED25519: Final = "sk-ssh-ed25519@openssh.com"
_SK_ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
KINDS: Final = ("ssh-ed25519", *_CURVE_HASHES, "ssh-rsa", _SK_ED25519, _SK_ECDSA)

_Verifier = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True)
class PublicKey:
    """A public key: its kind and SSH's encoding of it; equal keys are one key, whatever their comments."""

    kind: str
    blob: bytes

    @cached_property
    def line(self) -> str:
        """The key as a line of a ``.pub`` file, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @cached_property
    def fingerprint(self) -> str:
        """The key's name as ``ssh-keygen -l`` shows it."""
        digest = base64.b64encode(raw_digest(self.blob, "sha256")).decode()
        return f"SHA256:{digest.rstrip('=')}"

    @property
    def is_on_security_key(self) -> bool:
        """Whether the private half lives on a FIDO security key."""
        return self.kind.startswith("sk-")

    def verify(self, message: bytes, signature: bytes) -> None:
        """Accept SSH's encoding of a signature over `message`.

        Raises
        ------
        SignatureError
            If it is of another kind, malformed, or not this key's.
        """
        reader = WireReader(signature)
        kind, signed = reader.string().decode("ascii", "replace"), reader.string()
        if kind != ("rsa-sha2-512" if self.kind == "ssh-rsa" else self.kind):
            raise SignatureError.of("signature_kind", found=kind, needed=self.kind)
        if self.is_on_security_key:
            message = self._presented(message, reader)
        reader.end()
        try:
            _verify(self._verifier, self.kind, message, signed)
        except InvalidSignature as error:
            raise SignatureError.of("signature_wrong", fingerprint=self.fingerprint) from error

    @cached_property
    def _verifier(self) -> _Verifier:
        if self.kind not in KINDS:
            raise KeyFileError.of("key_kind", kind=self.kind, accepted=", ".join(KINDS))
        try:
            key = _security_key(self) if self.is_on_security_key else _plain_key(self)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyFileError.of("key_content", kind=self.kind, problem=error) from error
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
            raise KeyFileError.of("key_rsa", minimum=MIN_RSA_BITS, found=key.key_size)
        return key

    def _presented(self, message: bytes, reader: WireReader) -> bytes:
        """What a security key signs for a message: its application, that somebody touched it, a counter."""
        flags, counter = reader.take(1), reader.take(4)
        if not flags[0] & _USER_PRESENT:
            raise SignatureError.of("signature_untouched")
        application = _security_fields(self)[-1]
        return raw_digest(application, "sha256") + flags + counter + raw_digest(message, "sha256")


def parse_public_key(line: str) -> PublicKey:
    """Read a line of a ``.pub`` file; its comment is left out.

    Raises
    ------
    SignatureError
        If it is no public key, or one whose signatures are not accepted.
    """
    fields = line.split()
    if len(fields) < 2 or fields[0] not in KINDS:
        found = fields[0] if fields else "nothing"
        raise KeyFileError.of("key_line", accepted=", ".join(KINDS), found=repr(found))
    try:
        key = PublicKey(fields[0], base64.b64decode(fields[1], validate=True))
    except binascii.Error as error:
        raise KeyFileError.of("key_base64", kind=fields[0], problem=error) from error
    return checked_key(key)


def key_of_blob(blob: bytes) -> PublicKey:
    """Read SSH's encoding of a public key; raises as `parse_public_key`."""
    return checked_key(PublicKey(WireReader(blob).string().decode("ascii", "replace"), blob))


def checked_key(key: PublicKey) -> PublicKey:
    """Return a key that can verify; raises SignatureError for any other."""
    _ = key._verifier
    return key


def _plain_key(key: PublicKey) -> _Verifier:
    loaded = load_ssh_public_key(key.line.encode())
    if not isinstance(loaded, _Verifier):
        raise KeyFileError.of("key_not_accepted", kind=key.kind)
    return loaded


def _security_fields(key: PublicKey) -> list[bytes]:
    reader = WireReader(key.blob)
    fields = [reader.string() for _ in range(3 if key.kind == _SK_ED25519 else 4)]
    reader.end()
    return fields


def _security_key(key: PublicKey) -> _Verifier:
    fields = _security_fields(key)
    if fields[0].decode("ascii", "replace") != key.kind:
        raise KeyFileError.of("key_named", kind=key.kind, found=repr(fields[0]))
    if key.kind == _SK_ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(fields[1])
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), fields[2])


def _verify(key: _Verifier, kind: str, message: bytes, signature: bytes) -> None:
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, message)
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA512())
    else:
        reader = WireReader(signature)
        numbers = reader.mpint(), reader.mpint()
        reader.end()
        algorithm = _CURVE_HASHES.get(kind, hashes.SHA256())
        key.verify(encode_dss_signature(*numbers), message, ec.ECDSA(algorithm))


def ssh_signature(kind: str, signed: bytes) -> bytes:
    """Write a signature in SSH's encoding."""
    return string(kind.encode()) + string(signed)
