"""Passkeys (WebAuthn): a person's key in their phone, computer or security key, and what it signs.

Notes
-----
W3C Web Authentication, level 3. A passkey signs the authenticator's data and the hash of the browser's data;
in these stands a challenge, which here is the SHA-256 of what is signed. One signature has one form: what is
not written exactly as we write it is refused, so that no byte of a stored one can be changed unnoticed.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dosvotos.errors import PasskeyError
from dosvotos.hashing import canonical_json, raw_digest
from dosvotos.signing.keys import MIN_RSA_BITS, PublicKey, parse_public_key
from dosvotos.signing.relying_party import HOST_NAME, RelyingParty, is_origin_of

KIND: Final = "webauthn"
ALGORITHMS: Final = (-7, -257)
"""ES256 and RS256, COSE's numbers: every platform has one, and stock openssl verifies both."""
MAX_BYTES: Final = 8_192
"""Of a key's line or an assertion; one of RSA 4096 has 1,500."""
_COUNTER: Final = slice(33, 37)
_ECDSA_BITS: Final = 256
_RP_ID: Final = re.compile(HOST_NAME)


@dataclass(frozen=True)
class Passkey:
    """The public half of a passkey, and the site it is bound to."""

    rp_id: str
    """The site's host name."""
    credential: bytes
    """By which an authenticator finds it."""
    cose: bytes
    """The public key, in COSE's encoding, as the authenticator gave it."""

    @cached_property
    def line(self) -> str:
        """The key in one line of text."""
        return f"{KIND} {self.rp_id} {to_base64url(self.credential)} {to_base64url(self.cose)}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the public key (SubjectPublicKeyInfo), written as OpenSSH writes fingerprints."""
        digest = base64.b64encode(raw_digest(self._written(Encoding.DER), "sha256")).decode()
        return f"SHA256:{digest.rstrip('=')}"

    @property
    def pem(self) -> bytes:
        """The public key as openssl reads it."""
        return self._written(Encoding.PEM)

    def _written(self, encoding: Encoding) -> bytes:
        return self._public_key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def _public_key(self) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
        from webauthn.helpers.exceptions import WebAuthnException

        try:
            decoded = decode_credential_public_key(self.cose)
            key = decoded_public_key_to_cryptography(decoded)
        except (
            WebAuthnException,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            UnsupportedAlgorithm,
        ) as error:
            raise PasskeyError.of("passkey_cose", problem=error) from error
        if decoded.alg not in ALGORITHMS:
            raise PasskeyError.of("passkey_algorithm", found=int(decoded.alg))
        if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size == _ECDSA_BITS:
            return key
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
            return key
        raise PasskeyError.of("passkey_weak", minimum=MIN_RSA_BITS)


VoterKey = PublicKey | Passkey
"""What a person signs with."""


class Assertion(NamedTuple):
    """What an authenticator signed, and its signature."""

    credential: bytes
    authenticator_data: bytes
    """Hash of the site's name, flags, counter."""
    client_data: bytes
    """What the browser says of the request: JSON with type, challenge and origin."""
    signature: bytes

    @property
    def written(self) -> str:
        """The assertion as text, as it is stored."""
        return canonical_json({name: to_base64url(value) for name, value in self._asdict().items()})

    @property
    def counter(self) -> int:
        """How often the authenticator says it has signed; 0 of one that does not count."""
        return int.from_bytes(self.authenticator_data[_COUNTER], "big")

    @property
    def origin(self) -> str:
        """The site on which the browser asked for it."""
        return str(self._client_data().get("origin"))

    def verify(self, message: bytes, key: Passkey) -> None:
        """Accept an assertion that a passkey made over `message`, its owner verified by the authenticator.

        Neither counter nor the port of the origin is compared here: they count when a signature arrives.

        Raises
        ------
        SignatureError
            Naming what is not as it must be.
        """
        from webauthn import verify_authentication_response
        from webauthn.helpers.exceptions import WebAuthnException

        client = self._client_data()
        if self.credential != key.credential:
            raise PasskeyError.of(
                "passkey_other", found=to_base64url(self.credential)[:16], expected=key.fingerprint
            )
        if client.get("crossOrigin") or "topOrigin" in client or not is_origin_of(key.rp_id, self.origin):
            raise PasskeyError.of("passkey_site", found=self.origin[:80], host=key.rp_id)
        try:
            verify_authentication_response(
                credential=self._as_received(),
                expected_challenge=raw_digest(message, "sha256"),
                expected_rp_id=key.rp_id,
                expected_origin=self.origin,
                credential_public_key=key.cose,
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError) as error:
            raise PasskeyError.of("passkey_refused", fingerprint=key.fingerprint, problem=error) from error

    def _client_data(self) -> dict[str, Any]:
        try:
            found = json.loads(self.client_data)
        except ValueError as error:
            raise PasskeyError.of("passkey_json") from error
        if not isinstance(found, dict):
            raise PasskeyError.of("passkey_json_object")
        return found

    def _as_received(self) -> dict[str, Any]:
        named = to_base64url(self.credential)
        response = {
            "authenticatorData": to_base64url(self.authenticator_data),
            "clientDataJSON": to_base64url(self.client_data),
            "signature": to_base64url(self.signature),
        }
        return {"id": named, "rawId": named, "type": "public-key", "response": response}


def is_assertion(signature: str) -> bool:
    """Tell an assertion from an armored SSHSIG."""
    return signature.lstrip().startswith("{")


def parse_assertion(text: str) -> Assertion:
    """Read an assertion; nothing of it is verified yet.

    Raises
    ------
    SignatureError
        If it is not written exactly as `Assertion.written` writes it.
    """
    try:
        fields = json.loads(text) if len(text) <= MAX_BYTES else {}
        found = Assertion(**{name: from_base64url(value) for name, value in fields.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise PasskeyError.of(
            "assertion_form", fields=", ".join(Assertion._fields), maximum=MAX_BYTES
        ) from error
    if found.written != text:
        raise PasskeyError.of("assertion_written")
    return found


def parse_voter_key(line: str) -> VoterKey:
    """Read a person's key: a line of a ``.pub`` file, or a passkey's.

    Raises
    ------
    SignatureError
        If it is neither, or one whose signatures are not accepted.
    """
    return parse_passkey(line) if line.split(" ", 1)[0] == KIND else parse_public_key(line)


def parse_passkey(line: str) -> Passkey:
    """Read a passkey's line; raises SignatureError."""
    try:
        kind, rp_id, credential, cose = line[: MAX_BYTES + 1].split(" ")
        key = Passkey(rp_id, from_base64url(credential), from_base64url(cose))
    except ValueError as error:
        raise PasskeyError.of("passkey_line", kind=KIND, found=repr(line[:80])) from error
    if kind != KIND or not _RP_ID.fullmatch(rp_id) or not key.credential or key.line != line:
        raise PasskeyError.of("passkey_line", kind=KIND, found=repr(line[:80]))
    _ = key.fingerprint
    return key


def read_registration(
    response: Mapping[str, Any], challenge: bytes, origin: str, site: RelyingParty
) -> Passkey:
    """Take the passkey that an authenticator has made for a site.

    Parameters
    ----------
    response : mapping
        What ``navigator.credentials.create`` gave, as its ``toJSON`` writes it.
    challenge : bytes
        That it was asked with.
    origin : str
        That the request came from.
    site : RelyingParty

    Raises
    ------
    SignatureError
        If it is for another site or challenge, or its owner was not verified.
    """
    from webauthn import verify_registration_response
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.exceptions import WebAuthnException

    if not site.accepts(origin):
        raise PasskeyError.of("passkey_made_on", found=origin[:80], origin=site.origin)
    try:
        made = verify_registration_response(
            credential=dict(response),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=origin,
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(number) for number in ALGORITHMS],
        )
    except (WebAuthnException, ValueError, TypeError, KeyError) as error:
        raise PasskeyError.of("passkey_not_made", problem=error) from error
    return parse_passkey(Passkey(site.rp_id, made.credential_id, made.credential_public_key).line)


def to_base64url(content: bytes) -> str:
    """Write bytes as WebAuthn does: base64url without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """Read base64url without padding; raises ValueError for anything else."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if to_base64url(content) != text:
        raise ValueError("not base64url as it is written without padding")
    return content
