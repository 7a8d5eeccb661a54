"""
Registrations: who is to be told of a job by webhook.

Decides what URL and secret are acceptable and that the same URL is registered
once a scope; the outbox brings the updates over.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import hyperlink
from twisted.internet.defer import Deferred, succeed

from statusjob import signing
from statusjob.jobs import Job
from statusjob.server.store import Store, Tx, Update, ledger, outbox
from statusjob.wire import URL_LIMIT, BadInput, NewWebhook

#: Most webhooks registered for one job, at one origin, in all.
JOB_LIMIT = 20
ORIGIN_LIMIT = 1_000
TOTAL_LIMIT = 10_000

_DEFAULT_PORTS = {"http": 80, "https": 443}

#: Fires if a webhook's URL leads where webhooks may go; fails with L{BadInput} otherwise.
CheckAddress = Callable[[str], Deferred[None]]


class UnknownJob(Exception):
    """There is no job of that id."""


class WebhookConflict(Exception):
    """The registration cannot stand beside those there are; the message says why."""


@dataclass(frozen=True, slots=True)
class Registered:
    """
    A registration's id, and its secret (C{None} if it was there already: a secret is shown once).
    """

    id: str
    secret: str | None = None

    def __repr__(self) -> str:
        return f"<Registered {self.id}>"


def parse_url(url: str) -> hyperlink.URL:
    """
    A webhook's URL as it goes over the wire, in ASCII.

    @raise BadInput: if it is no URL.
    """
    if len(url) > URL_LIMIT or any(c <= " " or c == "\x7f" for c in url):
        raise BadInput("invalid webhook URL")
    try:
        parsed = hyperlink.DecodedURL.from_text(url).encoded_url
        if ":" in parsed.host:
            # An address, not a name that could be encoded.
            return parsed.replace(host="").to_uri().replace(host=parsed.host)
        return parsed.to_uri()
    except (ValueError, TypeError):
        raise BadInput("invalid webhook URL") from None


def origin_of(url: str) -> str:
    """
    The origin of a webhook's URL: C{scheme://host:port}.

    @raise BadInput: if it is not an absolute http or https URL.
    """
    parsed = parse_url(url)
    scheme = parsed.scheme.lower()
    port = _DEFAULT_PORTS.get(scheme, 0) if parsed.port is None else parsed.port
    if scheme not in _DEFAULT_PORTS or not parsed.host or not 0 < port < 65536:
        raise BadInput("invalid webhook URL")
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host.lower()
    return f"{scheme}://{host}:{port}"


def check(webhook: NewWebhook) -> None:
    """
    Refuse a webhook that can be refused without looking at others.

    @raise BadInput: for its sender.
    """
    origin_of(webhook.url)
    if webhook.secret is not None:
        try:
            signing.check_secret(webhook.secret)
        except ValueError as error:
            raise BadInput(f"invalid webhook secret: {error}") from None


def anywhere(url: str) -> Deferred[None]:
    """A L{CheckAddress} that refuses nothing."""
    return succeed(None)


def register(tx: Tx, job: Job, webhook: NewWebhook) -> Registered:
    """
    Register a webhook (that passed L{check}) for one job; again is the same registration.

    @raise WebhookConflict: if it is registered with another secret or other events, or if
        there are too many.
    """
    found = outbox.find_webhook(tx, webhook.url, job_id=job.id)
    events = webhook.event_types
    if found is not None:
        if webhook.secret is not None and webhook.secret != found["secret"]:
            raise WebhookConflict("this URL is registered with another secret")
        if webhook.events is not None and found["events"] != " ".join(events):
            raise WebhookConflict("this URL is registered with other events")
        return Registered(found["id"])
    origin = origin_of(webhook.url)
    of_job, of_origin, total = outbox.count_webhooks(tx, job_id=job.id, origin=origin)
    for count, limit, where in (
        (of_job, JOB_LIMIT, "for this job"),
        (of_origin, ORIGIN_LIMIT, "at this origin"),
        (total, TOTAL_LIMIT, "in all"),
    ):
        if count >= limit:
            raise WebhookConflict(f"there are {limit} webhooks {where} already, the most allowed")
    secret = webhook.secret or signing.new_secret(secrets.token_bytes(signing.SECRET_BYTES))
    webhook_id = outbox.add_webhook(
        tx,
        url=webhook.url,
        origin=origin,
        job_id=job.id,
        events=events,
        secret=secret,
        name=webhook.name,
    )
    return Registered(webhook_id, secret)


class Registrations:
    """Registrations of the original contract: made and removed under a job's base."""

    def __init__(
        self, store: Store, *, prefix: str = "", check_address: CheckAddress = anywhere
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._check_address = check_address

    def register(self, job_id: str | None, webhook: NewWebhook) -> Deferred[Registered]:
        """
        Register a webhook for a job; if that is terminal already, its delivery is written at
        once.

        @param job_id: C{None} for the demo job.
        @raise BadInput: from L{check}.

        The Deferred fails with L{UnknownJob}, L{WebhookConflict}, or L{BadInput} if the webhook
        may not be reached.
        """
        check(webhook)

        def work(tx: Tx) -> Registered:
            job = find(tx, job_id)
            registered = register(tx, job, webhook)
            if job.result.terminal and registered.secret is not None:
                written = outbox.fan_out(tx, job, self._prefix, webhook_id=registered.id)
                tx.announce(Update(job=job, deliveries=written))
            return registered

        return self._check_address(webhook.url).addCallback(lambda _: self._store.write(work))

    def unregister(self, job_id: str | None, url: str) -> Deferred[None]:
        """
        Tell a webhook no later updates of a job; what is written for it already still goes.

        The Deferred fails with L{UnknownJob}; a URL that is not registered is no error.
        """
        return self._store.write(
            lambda tx: outbox.remove_webhook(tx, url, job_id=find(tx, job_id).id)
        )


def find(tx: Tx, job_id: str | None) -> Job:
    """
    A job by its id, or the demo job for C{None}.

    @raise UnknownJob: if there is none.
    """
    wanted = ledger.demo_id(tx) if job_id is None else job_id
    job = None if wanted is None else ledger.find(tx, wanted)
    if job is None:
        raise UnknownJob
    return job
