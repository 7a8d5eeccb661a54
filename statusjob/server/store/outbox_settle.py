"""
The outbox in SQL: settling attempts, with what follows for the delivery, its webhook and its
origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from statusjob.jobs import TEST_EVENT, EventType
from statusjob.server.store import origins, url_pauses, webhooks
from statusjob.server.store.interface import Tx
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_write import delete_unused_bodies
from statusjob.server.store.webhooks import GIVEN_UP, GONE

#: Overdue deliveries that are given up in one transaction.
OVERDUE_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How an attempt ended.

    @ivar kind: C{ok}, C{http} (an answer that is no success), or the kind of failure.
    @ivar status: the status code of the answer, if there was one.
    @ivar detail: a few words about a failure, without URL or secret.
    @ivar retry_after: seconds for which the receiver asked to be left alone, if it did.
    """

    kind: str
    status: int | None = None
    detail: str | None = None
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the delivery is made."""
        return self.kind == "ok"

    @property
    def refuses_all(self) -> bool:
        """Whether the receiver wants no more deliveries: it answered 410 Gone."""
        return self.status == 410

    @property
    def limits_rate(self) -> bool:
        """Whether the receiver limits the rate of requests, and names no time: a 429."""
        return self.status == 429 and not self.asks

    @property
    def asks(self) -> bool:
        """Whether the receiver asks to be left alone for some time."""
        return self.retry_after is not None and self.retry_after > 0

    @property
    def blames_origin(self) -> bool:
        """Whether the whole origin fails, rather than this webhook alone."""
        return not self.ok and (self.status is None or (self.status >= 500 and not self.asks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """
    What follows if an attempt failed.

    @ivar wait: seconds until the next attempt of this delivery, or of the one that replaces it.
    @ivar exhausted: whether this delivery has no attempts left.
    @ivar longest: seconds after its first attempt in which a delivery is given up if its receiver
        still limits the rate of requests.
    @ivar lifetime: seconds for which a failing origin may hold up a delivery before it is given
        up.
    @ivar draw: a random number from 0 to 1.
    """

    wait: float
    exhausted: bool
    longest: float
    lifetime: float
    draw: float


@dataclass(frozen=True, slots=True)
class Settled:
    """
    What became of a delivery after an attempt.

    @ivar state: its new state; C{None} if the claim was not the node's any more, and then nothing
        was written.
    @ivar disabled: the ids of webhooks that the server disabled because of it, with the reasons.
    """

    state: str | None
    disabled: dict[str, str] = field(default_factory=dict)


def settle(tx: Tx, node: str, claim: Claim, outcome: Outcome, retry: Retry) -> Settled:
    """
    Write down an attempt, with what follows for its delivery, its webhook and its origin.

    @param node: who made the attempt.
    """
    row = tx.one(
        "SELECT d.begun_at, d.first_begun_at FROM deliveries d"
        " JOIN origins o ON o.id = d.origin_id WHERE d.id = :id"
        " AND d.state = 'sending' AND d.attempts = :attempt AND o.lease = :node",
        id=claim.id,
        attempt=claim.attempt,
        node=node,
    )
    if row is None:
        return Settled(None)
    tx.execute(
        "INSERT INTO attempts (delivery_id, attempt, started_at, ended_at, class, status, detail)"
        " VALUES (:id, :attempt, :begun_at, :now, :kind, :status, :detail)",
        id=claim.id,
        attempt=claim.attempt,
        begun_at=row["begun_at"],
        now=tx.now,
        kind=outcome.kind,
        status=outcome.status,
        detail=outcome.detail,
    )
    # This comes first, while the delivery counts as being sent: what happens to the pending
    # deliveries of its webhook and its origin must not happen to this one.
    _settle_webhook(tx, claim, outcome)
    bereft: set[str] = set()
    if outcome.blames_origin:
        if origins.note_failure(tx, claim.origin_id, claim.round, retry.draw):
            bereft = _give_up_overdue(tx, claim.origin_id, retry.lifetime)
    else:
        until = _settle_answer(tx, claim, outcome)
        if until is not None:
            expired = tx.now - row["first_begun_at"] > retry.longest
            retry = replace(retry, wait=until - tx.now, exhausted=expired)
    state, reason = _next_state(tx, claim, outcome, retry)
    if state == "dead" and claim.type != TEST_EVENT:
        bereft.add(claim.webhook_id)
    disabled = {each: GIVEN_UP for each in bereft if webhooks.give_up_if_failing(tx, each)}
    if outcome.refuses_all:
        disabled[claim.webhook_id] = GONE
    if state == "pending":
        due_at = tx.now + retry.wait
        tx.execute(
            "UPDATE deliveries SET state = 'pending', due_at = :due_at,"
            " attempts = attempts - :free WHERE id = :id",
            due_at=due_at,
            free=int(outcome.limits_rate),
            id=claim.id,
        )
        origins.wake(tx, claim.origin_id, due_at)
    else:
        tx.execute(
            "UPDATE deliveries SET state = :state, finished_at = :now, reason = :reason"
            " WHERE id = :id",
            state=state,
            now=tx.now,
            reason=reason,
            id=claim.id,
        )
        _delete_older(tx, claim)
    return Settled(state, disabled)


def _next_state(tx: Tx, claim: Claim, outcome: Outcome, retry: Retry) -> tuple[str, str | None]:
    """The state of a delivery after an attempt, and the reason if it is dead."""
    if outcome.ok:
        return "delivered", None
    if claim.type == TEST_EVENT:
        return "dead", "a test is attempted once"
    if claim.type == EventType.PROGRESS:
        # A newer update that is pending replaces this one. If it is progress, too, it goes on with
        # this one's schedule, at the last step if that is exhausted.
        newer = tx.one(
            "SELECT id, type, due_at FROM deliveries"
            " WHERE webhook_id = :webhook_id AND job_id = :job_id AND state = 'pending'",
            webhook_id=claim.webhook_id,
            job_id=claim.job_id,
        )
        if newer is not None:
            if newer["type"] == EventType.PROGRESS:
                tx.execute(
                    "UPDATE deliveries SET attempts = :attempts, due_at = :due_at WHERE id = :id",
                    attempts=claim.attempt - int(retry.exhausted or outcome.limits_rate),
                    due_at=max(tx.now + retry.wait, newer["due_at"]),
                    id=newer["id"],
                )
            return "superseded", None
    if outcome.refuses_all:
        return "dead", "the receiver is gone"
    if retry.exhausted:
        return "dead", (
            "its receiver limited the rate of requests for too long"
            if outcome.limits_rate
            else "every attempt failed"
        )
    # A webhook that is disabled while a delivery is being sent cannot stop that attempt.
    disabled = webhooks.disabled_reason(tx, claim.webhook_id)
    return ("pending", None) if disabled is None else ("dead", disabled)


def _settle_answer(tx: Tx, claim: Claim, outcome: Outcome) -> float | None:
    """
    Note what an answer tells about an origin that works, and about the URL.

    @return: the end of the URL's pause, in seconds since the epoch, if the receiver limits the
        rate of requests; C{None} otherwise.
    """
    origin_id, url = claim.origin_id, claim.normal_url
    if outcome.retry_after is not None and outcome.asks:
        origins.note_rate_limit(tx, origin_id, claim.round)
        url_pauses.ask(tx, origin_id, url, outcome.retry_after)
    elif outcome.limits_rate:
        origins.note_rate_limit(tx, origin_id, claim.round)
        return url_pauses.limit_rate(tx, origin_id, url)
    else:
        origins.note_answer(tx, origin_id)
        if claim.probe:
            origins.end_pause(tx, origin_id)
            url_pauses.end(tx, origin_id, url)
        if claim.was_paused:
            url_pauses.forget(tx, url)
    return None


def _settle_webhook(tx: Tx, claim: Claim, outcome: Outcome) -> None:
    if outcome.refuses_all:
        webhooks.disable(tx, claim.webhook_id, GONE)
    elif outcome.ok:
        webhooks.note_success(tx, claim.webhook_id)
    elif claim.type != TEST_EVENT:
        webhooks.note_failure(tx, claim.webhook_id)


def _give_up_overdue(tx: Tx, origin_id: int, lifetime: float) -> set[str]:
    """
    Give up deliveries that a failing origin has held up for longer than all their attempts would
    have taken: without an attempt they would wait for ever. At most L{OVERDUE_BATCH} are given up;
    the others are after the next failure.

    @return: the ids of their webhooks.
    """
    dead = tx.all(
        "UPDATE deliveries SET state = 'dead', finished_at = :now, reason = :reason"
        " WHERE id IN (SELECT id FROM deliveries WHERE origin_id = :origin_id"
        " AND state = 'pending' AND due_at < :overdue ORDER BY due_at LIMIT :limit)"
        " RETURNING webhook_id",
        origin_id=origin_id,
        now=tx.now,
        overdue=tx.now - lifetime,
        limit=OVERDUE_BATCH,
        reason="its origin was down for too long",
    )
    return {row["webhook_id"] for row in dead}


def _delete_older(tx: Tx, claim: Claim) -> None:
    """
    Keep only the newest finished delivery of progress, and of tests: a job may report without end.
    """
    if claim.type == TEST_EVENT:
        scope, kind = "job_id IS NULL", TEST_EVENT
    else:
        scope, kind = "job_id = :job_id", EventType.PROGRESS.value
    deleted = tx.execute(
        f"DELETE FROM deliveries WHERE webhook_id = :webhook_id AND {scope} AND type = :type"
        " AND state IN ('delivered', 'superseded', 'dead') AND id <> :id",
        webhook_id=claim.webhook_id,
        job_id=claim.job_id,
        type=kind,
        id=claim.id,
    )
    if deleted:
        delete_unused_bodies(tx, claim.job_id)
