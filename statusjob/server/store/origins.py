"""
Origins in SQL: how many attempts each may have under way, and when each is paused.

With each success an origin gets one more slot for attempts, up to a bound; with a failure it keeps
half of its slots (as TCP does with its window: RFC 5681). After several failures in a row it is
paused, for longer each time; after each pause a single attempt probes it. What receivers ask for
pauses their URLs (L{statusjob.server.store.url_pauses}).
"""

from __future__ import annotations

from typing import NamedTuple

from statusjob.server.store.interface import Tx

#: Most attempts that may be under way to one origin at the same time.
MAX_SLOTS = 16
#: An origin is paused after this many failures in a row.
PAUSE_AFTER = 5
#: The first and the longest pause, in seconds. In between, each is twice as long as the last one.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
#: Each pause is lengthened by a random part of itself, up to this one.
PAUSE_JITTER = 0.25


class ReadyOrigin(NamedTuple):
    """
    An origin at which a delivery may be due.

    @ivar slots: how many attempts it may have under way.
    @ivar busy: how many attempts it has under way.
    @ivar round: see L{note_failure}.
    @ivar paused: whether it is paused, so that only a delivery that probes it may be made.
    """

    id: int
    slots: int
    busy: int
    round: int
    paused: bool


def ready(tx: Tx, node: str, limit: int) -> list[ReadyOrigin]:
    """
    Origins at which a delivery may be due, and that C{node} may serve, at most C{limit}. The one
    that has been ready for longest comes first.

    They are found by C{ready_at}: before that time no pending delivery is due there. Whoever lets
    one be due calls L{wake}; only L{note_served} lets the time be later.
    """
    rows = tx.all(
        "SELECT id, slots, (SELECT COUNT(*) FROM deliveries WHERE origin_id = origins.id"
        " AND state = 'sending') AS busy, round, paused_until > :now AS paused FROM origins"
        " WHERE ready_at <= :now AND (leased_until <= :now OR lease = :node)"
        " ORDER BY ready_at, id LIMIT :limit",
        now=tx.now,
        node=node,
        limit=limit,
    )
    return [ReadyOrigin(*row) for row in rows]


def wake(tx: Tx, origin_id: int, at: float) -> None:
    """
    Look at an origin no later than C{at}, in seconds since the epoch, because a delivery is due
    there then; if it is paused, at the end of its pause.
    """
    tx.execute(
        "UPDATE origins SET ready_at = CASE WHEN paused_until > :at THEN paused_until ELSE :at END"
        " WHERE id = :id AND (ready_at IS NULL OR (ready_at > :at AND ready_at > paused_until))",
        id=origin_id,
        at=at,
    )


def wake_for(tx: Tx, webhook_id: str) -> None:
    """
    Look at the origin of a webhook now, even if it is paused, because a delivery is due there that
    may probe it.
    """
    tx.execute(
        "UPDATE origins SET ready_at = :now"
        " WHERE id = (SELECT origin_id FROM webhooks WHERE id = :id)",
        id=webhook_id,
        now=tx.now,
    )


def note_served(tx: Tx, origin_id: int) -> None:
    """
    Look at an origin again when its next delivery is due, but not before its pause is over, unless
    a delivery is to probe it. If one is due now, the origin waits behind all that are ready.

    Whatever else may keep a due delivery from being claimed either is counted here, or ends with
    the end of an attempt.
    """
    tx.execute(
        "UPDATE origins SET ready_at = (SELECT CASE"
        " WHEN paused_until > :now AND paused_until > due_at AND NOT EXISTS (SELECT 1 FROM"
        " deliveries WHERE origin_id = :id AND state = 'pending' AND probe = 1) THEN paused_until"
        " WHEN due_at < :now THEN :now ELSE due_at END"
        " FROM deliveries WHERE origin_id = :id AND state = 'pending'"
        " ORDER BY due_at LIMIT 1) WHERE id = :id",
        id=origin_id,
        now=tx.now,
    )


def with_expired_leases(tx: Tx, node: str) -> list[int]:
    """
    Ids of origins whose lease ended while a node other than C{node} was sending deliveries there.
    """
    rows = tx.all(
        "SELECT DISTINCT o.id FROM deliveries d JOIN origins o ON o.id = d.origin_id"
        " WHERE d.state = 'sending' AND o.lease <> :node AND o.leased_until <= :now",
        now=tx.now,
        node=node,
    )
    return [row["id"] for row in rows]


def lease(tx: Tx, origin_id: int, node: str, seconds: float) -> bool:
    """
    Let only C{node} serve an origin, for so many seconds from now.

    @return: whether C{node} has the lease now; it has not if another node was faster.
    """
    return (
        tx.execute(
            "UPDATE origins SET lease = :node, leased_until = :until"
            " WHERE id = :id AND (leased_until <= :now OR lease = :node)",
            id=origin_id,
            node=node,
            until=tx.now + seconds,
            now=tx.now,
        )
        > 0
    )


def next_ready(tx: Tx) -> float | None:
    """
    When the next of the origins that are not ready now will be, in seconds since the epoch;
    C{None} if nothing waits there.
    """
    row = tx.one("SELECT MIN(ready_at) AS ready_at FROM origins WHERE ready_at > :now", now=tx.now)
    return None if row is None else row["ready_at"]


def note_answer(tx: Tx, origin_id: int) -> None:
    """
    Note that an origin works, and let it have one more slot.

    If it was paused, the deliveries that failed since its first failure are due now. Those that
    had failed before then go on waiting: otherwise an origin that works only now and then would
    soon use up all their attempts.
    """
    row = tx.one(
        "SELECT failures, down_since FROM origins"
        " WHERE id = :id AND (failures > 0 OR slots < :most)",
        id=origin_id,
        most=MAX_SLOTS,
    )
    if row is None:
        return
    tx.execute(
        "UPDATE origins SET failures = 0, down_since = NULL,"
        " slots = CASE WHEN slots < :most THEN slots + 1 ELSE slots END WHERE id = :id",
        id=origin_id,
        most=MAX_SLOTS,
    )
    if row["failures"] >= PAUSE_AFTER:
        wake(tx, origin_id, tx.now)
        tx.execute(
            "UPDATE deliveries SET due_at = :now WHERE origin_id = :id AND state = 'pending'"
            " AND attempts > 0 AND due_at > :now AND NOT EXISTS (SELECT 1 FROM attempts a"
            " WHERE a.delivery_id = deliveries.id AND a.ended_at < :since)",
            id=origin_id,
            now=tx.now,
            since=row["down_since"],
        )


def note_rate_limit(tx: Tx, origin_id: int, round_: int) -> None:
    """
    Note that an origin works, but wants fewer requests: it keeps half of its slots.

    @param round_: see L{note_failure}.
    """
    note_answer(tx, origin_id)
    tx.execute(
        "UPDATE origins SET slots = CASE WHEN slots > 1 THEN slots / 2 ELSE 1 END,"
        " round = round + 1 WHERE id = :id AND round = :round",
        id=origin_id,
        round=round_,
    )


def note_failure(tx: Tx, origin_id: int, round_: int, draw: float) -> bool:
    """
    Note that an origin does not work, let it keep half of its slots, and pause it after several
    failures in a row.

    @param round_: the origin's round in which the attempt began. A failure ends the round, so that
        of all attempts that were under way together only the first failure counts.
    @param draw: a random number from 0 to 1.
    @return: whether there were enough failures in a row to pause the origin.
    """
    row = tx.one("SELECT slots, failures, round FROM origins WHERE id = :id", id=origin_id)
    if row is None:
        return False
    failures = int(row["failures"])
    if round_ == row["round"]:
        failures += 1
        tx.execute(
            "UPDATE origins SET slots = :slots, failures = :failures, round = round + 1,"
            " down_since = COALESCE(down_since, :now) WHERE id = :id",
            id=origin_id,
            slots=max(1, row["slots"] // 2),
            failures=failures,
            now=tx.now,
        )
        if failures >= PAUSE_AFTER:
            doubled = FIRST_PAUSE * 2.0 ** min(failures - PAUSE_AFTER, 16)
            seconds = min(doubled, LONGEST_PAUSE) * (1 + PAUSE_JITTER * draw)
            pause(tx, origin_id, tx.now + seconds)
    return failures >= PAUSE_AFTER


def pause(tx: Tx, origin_id: int, until: float) -> None:
    """
    Pause an origin. No pause becomes shorter.

    @param until: the end of the pause, in seconds since the epoch.
    """
    tx.execute(
        "UPDATE origins SET paused_until = :until WHERE id = :id AND paused_until < :until",
        id=origin_id,
        until=until,
    )


def end_pause(tx: Tx, origin_id: int) -> None:
    """End the pause of an origin."""
    tx.execute(
        "UPDATE origins SET paused_until = :now, ready_at = :now"
        " WHERE id = :id AND paused_until > :now",
        id=origin_id,
        now=tx.now,
    )
