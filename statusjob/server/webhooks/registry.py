"""
The registry of webhooks: they are registered, listed, changed and removed.

Decides which URLs and secrets are acceptable, and registers each URL only once per scope. How
their deliveries are made is in L{statusjob.server.delivery}.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import UNSET
from twisted.internet.defer import Deferred

from statusjob.contract import signing
from statusjob.contract.codec import BadInput
from statusjob.contract.webhooks import NewScopedWebhook, NewWebhook, Webhook, WebhookChange
from statusjob.jobs import Job
from statusjob.server.errors import WebhookConflict
from statusjob.server.store import jobs, webhook_secrets, webhooks
from statusjob.server.store.interface import Store, Tx, Update
from statusjob.server.store.outbox_write import write_deliveries
from statusjob.server.webhooks.urls import origin_of

#: Most secrets of one webhook that may sign at the same time: the present one and older ones.
SECRETS_LIMIT = 4

T = TypeVar("T")

#: Looks up the address of a webhook's URL. The Deferred fails with L{BadInput} if webhooks may not
#: go there.
CheckAddress = Callable[[str], Deferred[None]]


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """
    How many webhooks may be registered.

    @ivar job: for one job.
    @ivar wide: for kinds and for all jobs together. The end of one job writes a delivery for each
        of them, so they are few.
    """

    job: int = 20
    wide: int = 100


DEFAULT_LIMITS = WebhookLimits()


@dataclass(frozen=True, slots=True)
class Registered:
    """
    The answer to a registration.

    @ivar id: the webhook's id.
    @ivar secret: the webhook's secret. It is shown only once: this is C{None} if the webhook was
        registered before.
    """

    id: str
    secret: str | None = field(default=None, repr=False)


def check(webhook: NewWebhook) -> None:
    """
    Check the URL and the secret of a webhook.

    @raise BadInput: if one of them is not acceptable.
    """
    origin_of(webhook.url)
    _check_secret(webhook.secret)


def register(
    tx: Tx,
    webhook: NewWebhook,
    limits: WebhookLimits,
    *,
    job_id: str | None = None,
    kind: str | None = None,
) -> Registered:
    """
    Register a webhook for one job, one kind or (with neither) all jobs. A URL that is registered
    already keeps its id.

    @param webhook: a webhook that L{check} accepted.
    @raise WebhookConflict: if the URL is registered with another secret or other events, or if
        there are too many webhooks.
    """
    found = webhooks.find_by_url(tx, webhook.url, job_id=job_id, kind=kind)
    events = webhook.event_types
    if found is not None:
        # After a rotation the old secret is as good as the new one, as long as it signs.
        if webhook.secret not in (None, *webhook_secrets.valid(tx, found.id)):
            raise WebhookConflict("this URL is registered with another secret")
        if webhook.events is not None and found.events != events:
            raise WebhookConflict("this URL is registered with other events")
        return Registered(found.id)
    origin = origin_of(webhook.url)
    limit, scope = (
        (limits.wide, "for kinds and for all jobs")
        if job_id is None
        else (limits.job, "for this job")
    )
    if webhooks.count(tx, job_id) >= limit:
        raise WebhookConflict(f"there are {limit} webhooks {scope} already, the most allowed")
    secret = webhook.secret or _new_secret()
    webhook_id = webhooks.add(
        tx,
        url=webhook.url,
        origin=origin,
        job_id=job_id,
        kind=kind,
        events=events,
        secret=secret,
        name=webhook.name,
    )
    return Registered(webhook_id, secret)


class Registrations:
    """All webhooks, registered by the original contract or by their id."""

    def __init__(
        self,
        store: Store,
        *,
        check_address: CheckAddress,
        limits: WebhookLimits = DEFAULT_LIMITS,
    ) -> None:
        """
        @param check_address: checks where a webhook's URL leads. It has no default, as one that
            accepts every address would be an easy mistake.
        """
        self._store = store
        self._check_address = check_address
        self._limits = limits

    def register(self, job_id: str | None, webhook: NewWebhook) -> Deferred[Registered]:
        """
        Register a webhook for one job. If the job is terminal already, the delivery that tells so
        is written at once.

        The Deferred fails with L{UnknownJob}, L{WebhookConflict}, or with L{BadInput} if L{check}
        refuses the webhook or its address is not allowed.

        @param job_id: C{None} for the demo job.
        """
        return Deferred.fromCoroutine(
            self._checked(
                webhook,
                lambda tx: webhooks.find_by_url(tx, webhook.url, job_id=jobs.get(tx, job_id).id),
                lambda tx: self._for_job(tx, jobs.get(tx, job_id), webhook),
            )
        )

    def unregister(self, job_id: str | None, url: str) -> Deferred[None]:
        """
        Send the webhook of a URL no more updates of a job. Deliveries that are already written are
        still made. A URL that is not registered is no error.

        The Deferred fails with L{UnknownJob}.

        @param job_id: C{None} for the demo job.
        """
        return self._store.write(
            lambda tx: webhooks.unregister(tx, url, job_id=jobs.get(tx, job_id).id)
        )

    def add(self, webhook: NewScopedWebhook) -> Deferred[tuple[Webhook, str | None]]:
        """
        Register a webhook for its scope. The Deferred fails as that of L{register} does.

        @return: fires with the webhook, and with its secret unless it was registered before.
        """

        def work(tx: Tx) -> tuple[Webhook, str | None]:
            if webhook.job is not None:
                registered = self._for_job(tx, jobs.get(tx, webhook.job), webhook)
            else:
                registered = register(tx, webhook, self._limits, kind=webhook.kind)
            return webhooks.get(tx, registered.id), registered.secret

        return Deferred.fromCoroutine(
            self._checked(
                webhook,
                lambda tx: webhooks.find_by_url(
                    tx, webhook.url, job_id=webhook.job, kind=webhook.kind
                ),
                work,
            )
        )

    def get(self, webhook_id: str) -> Deferred[Webhook]:
        """Read a webhook. The Deferred fails with L{UnknownWebhook}."""
        return self._store.read(lambda tx: webhooks.get(tx, webhook_id))

    def list(
        self, *, limit: int, before: tuple[float, str] | None
    ) -> Deferred[tuple[list[Webhook], bool]]:
        """
        List webhooks, the newest first.

        @param before: go on after this webhook: its C{created_at} and id.
        @return: fires with at most C{limit} webhooks, and whether there are older ones.
        """
        return self._store.read(lambda tx: webhooks.page(tx, limit=limit, before=before))

    def change(self, webhook_id: str, change: WebhookChange) -> Deferred[Webhook]:
        """
        Change a webhook. If it is disabled, it gets no more updates, and its pending deliveries
        are dead.

        The Deferred fails with L{UnknownWebhook}.

        @return: fires with the webhook after the change.
        """

        def work(tx: Tx) -> Webhook:
            webhooks.get(tx, webhook_id)
            if change.name is not UNSET:
                webhooks.rename(tx, webhook_id, change.name)
            if change.events is not UNSET:
                webhooks.set_events(tx, webhook_id, change.event_types)
            if change.enabled is True:
                webhooks.enable(tx, webhook_id)
            elif change.enabled is False:
                webhooks.disable(tx, webhook_id, "by request")
            return webhooks.get(tx, webhook_id)

        return self._store.write(work)

    def remove(self, webhook_id: str) -> Deferred[None]:
        """
        Delete a webhook with its pending deliveries. No attempt begins after the answer.

        The Deferred fails with L{UnknownWebhook}.
        """

        def work(tx: Tx) -> None:
            webhooks.get(tx, webhook_id)
            webhooks.delete(tx, webhook_id)

        return self._store.write(work)

    def rotate(self, webhook_id: str, secret: str | None) -> Deferred[Registered]:
        """
        Sign with another secret, and with the old one as well for L{webhook_secrets.OVERLAP}
        seconds.

        The Deferred fails with L{UnknownWebhook}, with L{BadInput} if C{secret} is invalid, or
        with L{WebhookConflict} if too many secrets sign already.

        @param secret: C{None} to have one made. The secret that signs already changes nothing.
        """

        def work(tx: Tx) -> Registered:
            _check_secret(secret)
            webhooks.get(tx, webhook_id)
            valid = webhook_secrets.valid(tx, webhook_id)
            if secret != valid[0]:
                if secret not in valid and len(valid) >= SECRETS_LIMIT:
                    raise WebhookConflict(
                        f"{SECRETS_LIMIT} secrets sign already: wait until the overlap of the"
                        " oldest is over"
                    )
                webhook_secrets.rotate(tx, webhook_id, secret or made)
            return Registered(webhook_id, secret or made)

        made = _new_secret()
        return self._store.write(work)

    async def _checked(
        self,
        webhook: NewWebhook,
        find: Callable[[Tx], Webhook | None],
        work: Callable[[Tx], T],
    ) -> T:
        """
        Check a webhook before it is registered.

        @param find: finds it if it is registered already. Then its address is not checked: to
            register it again must succeed whatever DNS says at the moment.
        @param work: registers it.
        """
        check(webhook)
        if await self._store.read(find) is None:
            await self._check_address(webhook.url)
        return await self._store.write(work)

    def _for_job(self, tx: Tx, job: Job, webhook: NewWebhook) -> Registered:
        registered = register(tx, webhook, self._limits, job_id=job.id)
        if job.result.terminal and registered.secret is not None:
            written = write_deliveries(tx, job, webhook_id=registered.id)
            tx.announce(Update(job=job, deliveries=written))
        return registered


def _new_secret() -> str:
    return signing.new_secret(secrets.token_bytes(signing.SECRET_BYTES))


def _check_secret(secret: str | None) -> None:
    if secret is not None:
        try:
            signing.check_secret(secret)
        except ValueError as error:
            raise BadInput(f"invalid webhook secret: {error}") from None
