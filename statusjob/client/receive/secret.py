"""Makes secrets for webhooks."""

from __future__ import annotations

import secrets

from statusjob.contract import signing


def new_secret(entropy: bytes | None = None) -> str:
    """
    Make a secret, with which a server signs the deliveries of a webhook.

    @param entropy: 24 to 64 random bytes; C{None} to draw them.
    @return: C{whsec_} and the base64 of these bytes.
    @raise BadSecret: if there are fewer or more bytes.
    """
    return signing.new_secret(
        secrets.token_bytes(signing.SECRET_BYTES) if entropy is None else entropy
    )
