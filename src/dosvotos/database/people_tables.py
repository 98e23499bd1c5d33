"""Tables of invitations, passkeys and sign-ins; who may decide follows from the log alone, not from these."""

import sqlalchemy as sa

from dosvotos.database.columns import UTCDateTime, metadata

invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("code_hash", sa.String(64), nullable=False),
    sa.Column("invited_by", sa.String(255), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.UniqueConstraint("code_hash"),
)
"""Links by which a person may make a passkey, once. Neither this nor an enrolment lets anybody decide."""

enrolments = sa.Table(
    "enrolments",
    metadata,
    sa.Column(
        "invitation_id", sa.Integer, sa.ForeignKey("invitations.id"), primary_key=True, autoincrement=False
    ),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)
"""Passkeys that were made, one an invitation; they count once an admin has signed ADD_REVIEWER over them."""

sign_ins = sa.Table(
    "sign_ins",
    metadata,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("text_hash", sa.String(64), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime),
    sa.UniqueConstraint("text_hash"),
)
"""Who signed in when, with which passkey; `text_hash` is of what it signed, which counts once."""

passkey_counters = sa.Table(
    "passkey_counters",
    metadata,
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("used_at", UTCDateTime, nullable=False),
)
"""How often each passkey's authenticator had signed when it was last used here."""
