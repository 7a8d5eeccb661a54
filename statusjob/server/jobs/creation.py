"""
The creation of a job: its row, its webhook and, if it is simulated, how it will go.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

from statusjob.contract.jobs import NewJob, Simulation
from statusjob.jobs import Job, Status, new_job_id, simulated_progress
from statusjob.server.errors import KeyReused
from statusjob.server.store import jobs, webhook_secrets, webhooks
from statusjob.server.store.interface import Tx
from statusjob.server.webhooks.registry import DEFAULT_LIMITS, Registered, WebhookLimits, register


@dataclass(frozen=True, slots=True)
class Created:
    """
    The answer to a request to create a job.

    @ivar replayed: whether an earlier request with the same key had created the job.
    """

    job: Job
    webhook: Registered | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """
    Decides how a simulated job will go, once, when it is created.

    @ivar delay: seconds until a job ends, unless its creator asked for another delay.
    @ivar error_rate: probability from 0 to 1 that a job ends as C{error}, unless its creator
        asked for another one.
    @ivar random: draws a number from 0 to 1.
    """

    delay: float = 15.0
    error_rate: float = 0.2
    random: Callable[[], float] = SystemRandom().random

    def draw(self, asked: Simulation) -> tuple[float, Status]:
        """The age in seconds at which a job will end, and its result."""
        delay = self.delay if asked.delay is None else asked.delay
        rate = self.error_rate if asked.error_rate is None else asked.error_rate
        return delay, Status.ERROR if self.random() < rate else Status.COMPLETED


def create(
    tx: Tx,
    new: NewJob,
    simulator: Simulator,
    limits: WebhookLimits,
    *,
    key: str | None,
    key_hash: str | None,
) -> Created:
    """
    Create a job with its webhook, or find the job that C{key} created before.

    @param key_hash: a hash of the request's body.
    @raise KeyReused: if C{key} came with another body.
    @raise statusjob.server.errors.WebhookConflict: if the webhook cannot be registered.
    """
    simulated = None if new.simulate is None else simulator.draw(new.simulate)
    created = add(
        tx, new, kind=new.kind, simulated=simulated, limits=limits, key=key, key_hash=key_hash
    )
    if created is None:
        assert key is not None
        created = find_created(tx, new, key, key_hash)
        assert created is not None
    return created


def add(
    tx: Tx,
    new: NewJob,
    *,
    kind: str,
    simulated: tuple[float, Status] | None,
    limits: WebhookLimits = DEFAULT_LIMITS,
    key: str | None = None,
    key_hash: str | None = None,
) -> Created | None:
    """
    Write a new job with its webhook.

    @param kind: instead of the kind that C{new} names.
    @param simulated: what L{Simulator.draw} returned, for a simulated job.
    @return: C{None} if C{key} is taken; nothing is written then.
    """
    now = tx.now
    job = Job(
        id=new_job_id(now, secrets.randbits(74)),
        kind=kind,
        metadata=new.metadata,
        deadline=new.deadline,
        heartbeat=new.heartbeat,
        simulated=simulated is not None,
        created_at=now,
        updated_at=now,
    )
    step_at = None if simulated is None else now + simulated_progress(0, simulated[0])[1]
    update = jobs.add(tx, job, key=key, key_hash=key_hash, simulated=simulated, step_at=step_at)
    if update is None:
        return None
    webhook = None if new.webhook is None else register(tx, new.webhook, limits, job_id=job.id)
    jobs.record(tx, update)
    return Created(job, webhook)


def find_created(tx: Tx, new: NewJob, key: str, key_hash: str | None) -> Created | None:
    """
    Find what an earlier request with this key created.

    @return: C{None} if there was no such request.
    @raise KeyReused: if it had another body.
    """
    found = jobs.find_by_key(tx, key)
    if found is None:
        return None
    job, hash_then = found
    if hash_then != key_hash:
        raise KeyReused
    webhook = None
    if new.webhook is not None:
        # The first answer may never have arrived: a replay shows the secret again.
        known = webhooks.find_by_url(tx, new.webhook.url, job_id=job.id)
        if known is not None:
            webhook = Registered(known.id, webhook_secrets.valid(tx, known.id)[0])
    return Created(job, webhook, replayed=True)
