"""
Ids of webhooks and deliveries. They begin with the time, as those of jobs do, so that indexes grow
at their end: ids without order would change some pages of the database more for every row.
"""

from __future__ import annotations

import secrets


def new_id(prefix: str, now: float) -> str:
    """
    A new id, which cannot be guessed.

    @param prefix: what kind of id it is.
    @param now: the present, in seconds since the epoch.
    """
    return f"{prefix}_{round(now * 1000):012x}{secrets.token_hex(10)}"
