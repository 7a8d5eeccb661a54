"""
Origins in SQL: how many attempts each may have under way, and when it is left alone.

An origin that answers gets more at the same time, up to a bound, one that fails
gets half as many (as TCP does with its window: RFC 5681). One that fails again
and again is paused, for longer each time; then a single attempt probes it. What
its receivers ask for by C{Retry-After} pauses it as well.
"""

from __future__ import annotations

from typing import NamedTuple

from statusjob.server.store.interface import Tx

#: Attempts under way to one origin at the same time, at most.
CONCURRENCY = 16
#: Failures in a row after which an origin is paused, and for how many seconds: the first time, and
#: at most; doubling in between, each lengthened by at most this part of it.
OPEN_AFTER = 5
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
JITTER = 0.25
#: The longest pause (seconds) that a receiver can ask for.
LONGEST_RETRY_AFTER = 3600.0

#: Origins for which something is pending. The recursion hops from one to the next in the index:
#: ten thousand deliveries to one that is down cost no more than one.
_WAITING = (
    "WITH RECURSIVE waiting (id) AS ("
    " SELECT MIN(origin_id) FROM deliveries WHERE state = 'pending'"
    " UNION ALL SELECT (SELECT MIN(origin_id) FROM deliveries"
    " WHERE state = 'pending' AND origin_id > waiting.id)"
    " FROM waiting WHERE waiting.id IS NOT NULL)"
)


class ReadyOrigin(NamedTuple):
    """
    An origin that may be served now.

    @ivar slots: how many attempts it may have under way.
    @ivar busy: how many attempts it has under way.
    @ivar round: see L{failed}.
    """

    id: int
    slots: int
    busy: int
    round: int


def ready(tx: Tx, node: str) -> list[ReadyOrigin]:
    """
    Origins to which something is due and that C{node} may serve. Those that were not served for
    longest come first.
    """
    rows = tx.all(
        f"{_WAITING} SELECT o.id, o.slots, (SELECT COUNT(*) FROM deliveries"
        " WHERE origin_id = o.id AND state = 'sending') AS busy, o.round"
        " FROM waiting JOIN origins o ON o.id = waiting.id"
        " WHERE o.paused_until <= :now AND (o.leased_until <= :now OR o.lease = :node)"
        " AND EXISTS (SELECT 1 FROM deliveries d WHERE d.origin_id = o.id"
        " AND d.state = 'pending' AND d.due_at <= :now) ORDER BY o.served_at, o.id",
        now=tx.now,
        node=node,
    )
    return [ReadyOrigin(*row) for row in rows]


def lapsed(tx: Tx, node: str) -> list[int]:
    """Origins at which a node other than C{node} was sending something when its lease ended."""
    rows = tx.all(
        "SELECT DISTINCT o.id FROM deliveries d JOIN origins o ON o.id = d.origin_id"
        " WHERE d.state = 'sending' AND o.lease <> :node AND o.leased_until <= :now",
        now=tx.now,
        node=node,
    )
    return [row["id"] for row in rows]


def lease(tx: Tx, origin_id: int, node: str, seconds: float) -> bool:
    """
    Only C{node} may serve this origin for so many seconds from now.

    @return: whether that is so; not if another node was faster.
    """
    return (
        tx.execute(
            "UPDATE origins SET lease = :node, leased_until = :until, served_at = :now"
            " WHERE id = :id AND (leased_until <= :now OR lease = :node)",
            id=origin_id,
            node=node,
            until=tx.now + seconds,
            now=tx.now,
        )
        > 0
    )


def next_unpaused(tx: Tx) -> float | None:
    """When the next pause ends."""
    row = tx.one(
        "SELECT MIN(paused_until) AS paused_until FROM origins WHERE paused_until > :now",
        now=tx.now,
    )
    return None if row is None else row["paused_until"]


def answered(tx: Tx, origin_id: int) -> None:
    """
    It works: let it have one more at a time. If it was paused, what failed since it began to fail
    is due now. What had failed before goes on waiting: an origin that works for a moment now and
    then would soon use up all attempts.
    """
    row = tx.one(
        "SELECT failures, down_since FROM origins"
        " WHERE id = :id AND (failures > 0 OR slots < :most)",
        id=origin_id,
        most=CONCURRENCY,
    )
    if row is None:
        return
    tx.execute(
        "UPDATE origins SET failures = 0, down_since = NULL,"
        " slots = CASE WHEN slots < :most THEN slots + 1 ELSE slots END WHERE id = :id",
        id=origin_id,
        most=CONCURRENCY,
    )
    if row["failures"] >= OPEN_AFTER:
        tx.execute(
            "UPDATE deliveries SET due_at = :now WHERE origin_id = :id AND state = 'pending'"
            " AND attempts > 0 AND due_at > :now AND NOT EXISTS (SELECT 1 FROM attempts a"
            " WHERE a.delivery_id = deliveries.id AND a.ended_at < :since)",
            id=origin_id,
            now=tx.now,
            since=row["down_since"],
        )


def failed(tx: Tx, origin_id: int, round_: int, u: float, asked: float | None) -> bool:
    """
    It does not work: let it have half as many, and pause it if that goes on.

    @param round_: to which the attempt belongs. Of each round only the first failure counts; of
        the others only what they ask for is heeded.
    @param u: a random number from 0 to 1.
    @param asked: seconds of pause that the receiver asked for, if it did.
    @return: whether it is failing for so long that it is paused.
    """
    row = tx.one(
        "SELECT slots, failures, round, paused_until FROM origins WHERE id = :id", id=origin_id
    )
    if row is None:
        return False
    failures = row["failures"]
    pause = 0.0 if asked is None else min(max(0.0, asked), LONGEST_RETRY_AFTER)
    if round_ == row["round"]:
        failures += 1
        if failures >= OPEN_AFTER:
            doubled = FIRST_PAUSE * 2.0 ** min(failures - OPEN_AFTER, 16)
            pause = max(pause, min(doubled, LONGEST_PAUSE) * (1 + JITTER * u))
        tx.execute(
            "UPDATE origins SET slots = :slots, failures = :failures, round = round + 1,"
            " down_since = COALESCE(down_since, :now) WHERE id = :id",
            id=origin_id,
            slots=max(1, row["slots"] // 2),
            failures=failures,
            now=tx.now,
        )
    if pause and tx.now + pause > row["paused_until"]:
        tx.execute(
            "UPDATE origins SET paused_until = :until WHERE id = :id",
            id=origin_id,
            until=tx.now + pause,
        )
    return bool(failures >= OPEN_AFTER)
