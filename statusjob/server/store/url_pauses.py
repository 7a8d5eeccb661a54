"""
Pauses of URLs in SQL: receivers that ask to be left alone, or that limit the rate of requests.

A receiver that answers 429 or 503 with C{Retry-After} pauses its URL, in all spellings, for that
long; while two URLs of an origin ask for that, the whole origin is paused. A 429 that names no
time pauses the URL for longer each time.
"""

from __future__ import annotations

from statusjob.server.store import origins
from statusjob.server.store.interface import Tx

#: The longest pause that a receiver can ask for, in seconds.
LONGEST_RETRY_AFTER = 3600.0
#: The first and the longest pause after a 429 that names no time, in seconds. In between, each is
#: twice as long as the last one.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
#: A pause is forgotten so many seconds after its end, if there was no other answer before.
FORGOTTEN_AFTER = 3600.0


def ask(tx: Tx, origin_id: int, normal_url: str, seconds: float) -> None:
    """
    Pause a URL because its receiver asks for it, and its origin if another URL asks as well. No
    pause becomes shorter.

    @param seconds: for how long; positive.
    """
    _pause(tx, origin_id, normal_url, min(seconds, LONGEST_RETRY_AFTER), asked=1, streak=0)
    second = tx.one(
        "SELECT until FROM url_pauses WHERE origin_id = :origin_id AND asked = 1"
        " AND until > :now ORDER BY until DESC LIMIT 1 OFFSET 1",
        origin_id=origin_id,
        now=tx.now,
    )
    if second is not None:
        origins.pause(tx, origin_id, second["until"])


def limit_rate(tx: Tx, origin_id: int, normal_url: str) -> float:
    """
    Pause a URL because its receiver answers 429 without a time, unless it is paused already: then
    the attempt began before it was.

    @return: when the pause ends, in seconds since the epoch.
    """
    row = tx.one("SELECT until, streak FROM url_pauses WHERE normal_url = :url", url=normal_url)
    if row is not None and row["until"] > tx.now:
        return float(row["until"])
    streak = 0 if row is None else row["streak"]
    seconds = min(FIRST_PAUSE * 2.0 ** min(streak, 16), LONGEST_PAUSE)
    _pause(tx, origin_id, normal_url, seconds, asked=0, streak=1)
    return tx.now + seconds


def _pause(
    tx: Tx, origin_id: int, normal_url: str, seconds: float, *, asked: int, streak: int
) -> None:
    tx.execute(
        "INSERT INTO url_pauses (normal_url, origin_id, until, asked, streak)"
        " VALUES (:url, :origin_id, :until, :asked, :streak)"
        " ON CONFLICT (normal_url) DO UPDATE SET asked = excluded.asked,"
        " streak = url_pauses.streak + excluded.streak, until = CASE"
        " WHEN url_pauses.until > excluded.until THEN url_pauses.until ELSE excluded.until END",
        url=normal_url,
        origin_id=origin_id,
        until=tx.now + seconds,
        asked=asked,
        streak=streak,
    )


def end(tx: Tx, origin_id: int, normal_url: str) -> None:
    """End the pause of a URL. Deliveries that were put off until its end are due now."""
    row = tx.one(
        "DELETE FROM url_pauses WHERE normal_url = :url AND until > :now RETURNING until",
        url=normal_url,
        now=tx.now,
    )
    if row is not None:
        origins.wake(tx, origin_id, tx.now)
        tx.execute(
            "UPDATE deliveries SET due_at = :now"
            " WHERE origin_id = :origin_id AND state = 'pending' AND due_at = :until",
            origin_id=origin_id,
            now=tx.now,
            until=row["until"],
        )


def forget(tx: Tx, normal_url: str) -> None:
    """Forget the pause of a URL if it is over: the next one is the first again."""
    tx.execute(
        "DELETE FROM url_pauses WHERE normal_url = :url AND until <= :now",
        url=normal_url,
        now=tx.now,
    )


def forget_old(tx: Tx) -> None:
    """Forget pauses that ended long ago."""
    tx.execute("DELETE FROM url_pauses WHERE until <= :then", then=tx.now - FORGOTTEN_AFTER)
