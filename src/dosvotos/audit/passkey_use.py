"""What counts when a passkey's signature arrives, besides what is signed: its site and its counter."""

from datetime import datetime

from sqlalchemy import Connection

from dosvotos.database.connection import upsert
from dosvotos.database.people_tables import passkey_counters
from dosvotos.errors import SignatureError
from dosvotos.signing.passkeys import Passkey, VoterKey, parse_assertion
from dosvotos.signing.relying_party import relying_party


def accept_use(connection: Connection, key: VoterKey, signature: str, now: datetime) -> None:
    """Refuse a passkey's assertion made on another site, or with a counter that does not rise.

    An SSH key's signature has neither. What is stored is never asked this again: the site may have moved.

    Raises
    ------
    SignatureError
        Naming what was found and what counts.
    """
    if not isinstance(key, Passkey):
        return
    assertion, site = parse_assertion(signature), relying_party()
    if key.rp_id != site.rp_id or not site.accepts(assertion.origin):
        raise SignatureError.of(
            "other_site", signed_on=assertion.origin[:80], host=key.rp_id, origin=site.origin
        )
    t, counter = passkey_counters, assertion.counter
    made = upsert(connection, t).values(fingerprint=key.fingerprint, counter=counter, used_at=now)
    risen = (t.c.counter < made.excluded.counter) | ((t.c.counter == 0) & (made.excluded.counter == 0))
    kept = made.on_conflict_do_update(
        index_elements=["fingerprint"], set_={"counter": counter, "used_at": now}, where=risen
    )
    if connection.execute(kept.returning(t.c.counter)).first() is None:
        raise SignatureError.of("counter_fell", fingerprint=key.fingerprint, counter=counter)
