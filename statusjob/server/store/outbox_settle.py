"""
Outcomes in SQL: what follows from an attempt for its delivery, its webhook and its origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from statusjob.jobs import TEST_EVENT, EventType
from statusjob.server.store import origins, webhooks
from statusjob.server.store.interface import Tx
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_write import delete_unused_bodies

#: Deliveries that are given up in one transaction.
EXPIRY_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of an attempt.

    @ivar kind: its class; C{ok} is success, C{http} an answer that is none.
    @ivar status: the status code of the answer, if there was one.
    @ivar detail: a few words, without URL or secret.
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
    def gone(self) -> bool:
        """Whether the receiver wants no more deliveries, ever."""
        return self.status == 410

    @property
    def blames_origin(self) -> bool:
        """Whether the whole origin fails, rather than this webhook."""
        return not self.ok and (self.status is None or self.status >= 500 or self.status == 429)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """
    What is to follow, should an attempt have failed.

    @ivar wait: seconds until the next attempt of this delivery, or of one in its place.
    @ivar exhausted: whether this one has no attempts left.
    @ivar lifetime: seconds after which a delivery that a paused origin holds up is dead.
    @ivar u: a random number from 0 to 1.
    """

    wait: float
    exhausted: bool
    lifetime: float
    u: float


def settle(tx: Tx, node: str, claim: Claim, outcome: Outcome, retry: Retry) -> str | None:
    """
    Write down what became of an attempt, and what follows for its webhook and its origin.

    @return: the delivery's state now; C{None} if it was not ours any more.
    """
    ours = tx.one(
        "SELECT d.begun_at FROM deliveries d JOIN origins o ON o.id = d.origin_id WHERE d.id = :id"
        " AND d.state = 'sending' AND d.attempts = :attempt AND o.lease = :node",
        id=claim.id,
        attempt=claim.attempt,
        node=node,
    )
    if ours is None:
        return None
    tx.execute(
        "INSERT INTO attempts (delivery_id, attempt, started_at, ended_at, class, status, detail)"
        " VALUES (:id, :attempt, :begun_at, :now, :kind, :status, :detail)",
        id=claim.id,
        attempt=claim.attempt,
        begun_at=ours["begun_at"],
        now=tx.now,
        kind=outcome.kind,
        status=outcome.status,
        detail=outcome.detail,
    )
    # First, while it counts as being sent: what follows for others does not concern it.
    _judge(tx, claim, outcome, retry)
    state, reason = _next_state(tx, claim, outcome, retry)
    if state == "pending":
        tx.execute(
            "UPDATE deliveries SET state = 'pending', due_at = :due_at WHERE id = :id",
            due_at=tx.now + retry.wait,
            id=claim.id,
        )
    else:
        tx.execute(
            "UPDATE deliveries SET state = :state, finished_at = :now, reason = :reason"
            " WHERE id = :id",
            state=state,
            now=tx.now,
            reason=reason,
            id=claim.id,
        )
        _prune(tx, claim)
    return state


def _next_state(tx: Tx, claim: Claim, outcome: Outcome, retry: Retry) -> tuple[str, str | None]:
    """The state of a delivery after an attempt, and why, if it is dead."""
    if outcome.ok:
        return "delivered", None
    if claim.type == TEST_EVENT:
        return "dead", "a test is attempted once"
    if claim.type == EventType.PROGRESS:
        # A newer update waits in the pending slot: it replaces this one, and a progress report
        # also carries on with this one's schedule, at the last step if that is exhausted.
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
                    attempts=claim.attempt - 1 if retry.exhausted else claim.attempt,
                    due_at=max(tx.now + retry.wait, newer["due_at"]),
                    id=newer["id"],
                )
            return "superseded", None
    if outcome.gone:
        return "dead", "the receiver is gone"
    if retry.exhausted:
        return "dead", "every attempt failed"
    # What was being sent when its webhook was disabled was not there to be stopped.
    disabled = webhooks.disabled(tx, claim.webhook_id)
    return ("pending", None) if disabled is None else ("dead", disabled)


def _judge(tx: Tx, claim: Claim, outcome: Outcome, retry: Retry) -> None:
    """What an attempt tells of the webhook and of the origin."""
    if outcome.blames_origin:
        down = origins.failed(tx, claim.origin_id, claim.round, retry.u, outcome.retry_after)
        if down:
            _expire(tx, claim.origin_id, retry.lifetime)
    else:
        origins.answered(tx, claim.origin_id)
    if outcome.gone:
        webhooks.disable(tx, claim.webhook_id, "it answered 410 Gone")
    elif claim.type != TEST_EVENT and webhooks.judge(tx, claim.webhook_id, delivered=outcome.ok):
        webhooks.disable(tx, claim.webhook_id, "every delivery failed for 5 days")


def _expire(tx: Tx, origin_id: int, lifetime: float) -> None:
    """
    Give up what an origin that is down has held up for longer than its attempts would have
    taken: not attempted, it would otherwise wait for ever. At most L{EXPIRY_BATCH}; the rest
    after the next attempt.
    """
    tx.execute(
        "UPDATE deliveries SET state = 'dead', finished_at = :now, reason = :reason"
        " WHERE id IN (SELECT id FROM deliveries WHERE origin_id = :origin_id"
        " AND state = 'pending' AND due_at < :overdue ORDER BY due_at LIMIT :limit)",
        origin_id=origin_id,
        now=tx.now,
        overdue=tx.now - lifetime,
        limit=EXPIRY_BATCH,
        reason="its origin was down for too long",
    )


def _prune(tx: Tx, claim: Claim) -> None:
    """Keep of progress, and of tests, only the newest that is over: jobs report without end."""
    if claim.type == TEST_EVENT:
        scope, kind = "job_id IS NULL", TEST_EVENT
    else:
        scope, kind = "job_id = :job_id", EventType.PROGRESS.value
    pruned = tx.execute(
        f"DELETE FROM deliveries WHERE webhook_id = :webhook_id AND {scope} AND type = :type"
        " AND state IN ('delivered', 'superseded', 'dead') AND id <> :id",
        webhook_id=claim.webhook_id,
        job_id=claim.job_id,
        type=kind,
        id=claim.id,
    )
    if pruned:
        delete_unused_bodies(tx, claim.job_id)
