"""
For those who wait: a client that knows the moment a job ends, for few requests.

C{StatusClient} asks C{{base}/status} and nothing else while it monitors, so it
works with every server of the original contract. A webhook, if it has one,
merely tells it sooner: when that fails, asking goes on. How one run goes is in
L{statusjob.client.watch.monitoring}.
"""

from __future__ import annotations

import math
import os
import random as _random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from statusjob.client.errors import (
    AlreadyMonitoring,
    BadAnswer,
    BadBaseURL,
    BadSetting,
    NoWebhook,
    StatusjobError,
)
from statusjob.client.http import answers
from statusjob.client.http.session import (
    JOB_LIMIT,
    MAX_RETRIES,
    REQUEST_TIMEOUT,
    Requester,
    Session,
    read_members,
)
from statusjob.client.models import CreatedJob, WebhookRegistration
from statusjob.client.watch.following import Following
from statusjob.client.watch.history import DurationMemory, shared_memory
from statusjob.client.watch.long_poll import Rules
from statusjob.client.watch.monitoring import Monitoring
from statusjob.client.watch.updates import Updates
from statusjob.contract import codec
from statusjob.contract.signing import BadSecret, check_secret
from statusjob.jobs import Job, Status
from statusjob.pace.bounds import MAX_INTERVAL, POLLING_INTERVAL, Pace


class StatusClient:
    """
    Watches one job: the one its base URL stands for.

    All methods that ask return Deferreds, which may be awaited and cancelled.
    """

    _log = Logger()

    def __init__(
        self,
        base_url: str | CreatedJob,
        *,
        polling_interval: float = POLLING_INTERVAL,
        max_interval: float = MAX_INTERVAL,
        max_retries: int = MAX_RETRIES,
        timeout: float | None = None,
        request_timeout: float = REQUEST_TIMEOUT,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        on_update: Callable[[Status], object] | None = None,
        kind: str | None = None,
        durations: DurationMemory | str | os.PathLike[str] | None = None,
        token: str | None = None,
        reactor: Any = None,
        treq: Requester | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """
        @param base_url: such as C{http://host/jobs/{id}}; C{http://host} for the demo job. Or a
            job that was just created: what is known of it is not asked for again.
        @param polling_interval: what a request is worth, in seconds; also the shortest wait
            between two requests, unless the answers are held.
        @param max_interval: the longest wait in seconds; only a server may ask for a longer one.
        @param max_retries: how many failures in a row are outlived.
        @param timeout: seconds for the whole monitoring; C{None} for no limit.
        @param request_timeout: seconds for one request, answer included; beside the time for which
            a server that can holds it, up to 50.
        @param webhook_url: where updates are to be delivered: to a L{WebhookReceiver} that knows
            this client.
        @param webhook_secret: C{whsec_...} to sign deliveries with; without it the server makes
            one, see L{registration}.
        @param on_update: called with the first status and with every other one; if it raises,
            monitoring fails with that.
        @param kind: the job's, so that it is told from other kinds of the same server when
            durations are learned.
        @param durations: what is known of past jobs, and learns of this one; a path for a
            L{DurationMemory} that is kept in that file; C{None} for the one that all clients of
            this reactor share.
        @param token: sent as a bearer token.
        @param reactor: C{None} for the global one.
        @param treq: what sends the requests, such as a C{treq.client.HTTPClient}; C{None} for
            our own, over connections that all clients of this reactor share.
        @param random: draws numbers from 0 to 1, for jitter.
        @raise BadSetting: if an argument makes no sense; L{BadBaseURL} for the base URL.
        """
        try:
            pace = Pace(polling_interval, max_interval)
            if webhook_secret is not None:
                check_secret(webhook_secret)
        except (ValueError, BadSecret) as error:
            raise BadSetting(str(error)) from None
        if timeout is not None and not timeout > 0:
            raise BadSetting(f"timeout must be above 0 s or None, not {timeout!r}")
        if max_retries < 0:
            raise BadSetting(f"max_retries must be 0 or more, not {max_retries!r}")
        self._created: CreatedJob | None = None
        if isinstance(base_url, CreatedJob):
            self._created, base_url = base_url, base_url.url
            kind = self._created.kind if kind is None else kind
        self._session = Session(
            base_url, token=token, request_timeout=request_timeout, reactor=reactor, treq=treq
        )
        if durations is None:
            durations = shared_memory(self._session.reactor)
        elif not isinstance(durations, DurationMemory):
            durations = DurationMemory(durations)
        self._durations = durations
        self._key = self._memory_key(kind)
        self._rules = Rules(
            pace=pace,
            learn=partial(durations.learn, self._key),
            max_retries=max_retries,
            timeout=timeout,
            on_update=on_update,
            random=random,
        )
        self._webhook_url = webhook_url
        self._webhook_secret = webhook_secret
        self._registration: WebhookRegistration | None = None
        self._may_be_registered = False
        self._monitoring: Monitoring | None = None
        self._stopped: list[Deferred[None]] | None = None

    @property
    def registration(self) -> WebhookRegistration | None:
        """What the server said when the webhook was last registered."""
        return self._registration

    def start_monitoring(self, *, age: float | None = None) -> Deferred[Status]:
        """
        Watch the job until it ends.

        The webhook, if there is one, is registered first; should that fail, it is logged. The job
        is asked about at once, unless it is known to be new. A server that can hold its answer
        until there is news is asked again whenever it has let go of one; any other when asking is
        worth it. How long the job took is remembered for the next time.

        @param age: how many seconds ago the job was created, if that is known: 0 for one that
            was created just now. Of a L{CreatedJob} it is.
        @return: fires with the terminal status, or after L{stop_monitoring} with the last one
            seen (C{PENDING} if there was none). Fails with L{JobNotFound}, L{NotAuthorized} or
            another L{Refused}, with L{RetriesExhausted}, L{MonitoringTimeout}, or what
            C{on_update} raised; with L{AlreadyMonitoring} if it runs already, with
            L{BadSetting} if C{age} makes no sense. Cancelling it stops everything.
        """
        if self._monitoring is not None:
            return fail(AlreadyMonitoring("monitoring runs already"))
        if age is not None and not 0 <= age < math.inf:
            return fail(BadSetting(f"an age must be 0 s or more, or None, not {age!r}"))
        known = None
        if self._created is not None:
            known = self._created.result
            if age is None:
                age = max(0.0, self._session.reactor.seconds() - self._created.created_here)
        self._monitoring = Monitoring(self._session, self._planned(), self._job_id(), age, known)
        return Deferred.fromCoroutine(self._monitor(self._monitoring))

    def stop_monitoring(self) -> Deferred[None]:
        """
        Stop watching, and unregister the webhook that monitoring registered.

        @return: fires when nothing is under way any more. That the webhook could not be
            unregistered is logged.
        """
        if self._monitoring is None:
            return Deferred.fromCoroutine(self._unregister_quietly())
        stopped: Deferred[None] = Deferred()
        self._stopped = [*(self._stopped or ()), stopped]
        self._monitoring.end(self._monitoring.status or Status.PENDING)
        return stopped

    def notify(self, event: answers.WebhookEvent) -> None:
        """
        Take what a webhook brought (a L{WebhookReceiver} calls this): a terminal result ends the
        monitoring at once, even with a request in flight. Anything else is ignored: other
        results, other jobs, and everything while no monitoring runs.
        """
        if self._monitoring is not None:
            self._monitoring.push(event)

    def get_status(self) -> Deferred[Status]:
        """
        Ask once.

        @return: fails with L{Unreachable}, L{BadAnswer} or L{Refused}; so do those below.
        """
        return Deferred.fromCoroutine(self._get_status())

    def get_job(self) -> Deferred[Job]:
        """Ask for the whole job: under a base C{/jobs/{id}}, on a server of ours."""
        return Deferred.fromCoroutine(self._get_job())

    def updates(self) -> Updates:
        """
        Follow the job with its progress, on a server of ours: an asynchronous iterator of L{Job}s.

        The first is the job as it is, the last the job as it ended; one who is slow is spared what
        is outdated by then. What is told comes by a stream, or as the server allows; how long the
        job took is remembered for the next time. It fails with what C{start_monitoring} fails
        with, and depends on nothing else that the client does.

        @raise BadBaseURL: if the base URL is not a job's.
        """
        job_id = self._job_id()
        if job_id is None:
            raise BadBaseURL("to follow a job, the base URL must end with /jobs/ and its id")

        async def follow(tell: Callable[[Job], object]) -> None:
            await Following(self._session, self._planned(), job_id, tell).run()

        return Updates(self._session.reactor, follow)

    def register_webhook(self) -> Deferred[WebhookRegistration]:
        """
        Register the webhook; again is no error.

        @return: also fails with L{NoWebhook} if there is none.
        """
        return Deferred.fromCoroutine(self._register())

    def unregister_webhook(self) -> Deferred[None]:
        """
        Unregister the webhook, registered or not.

        @return: also fails with L{NoWebhook} if there is none.
        """
        return Deferred.fromCoroutine(self._unregister())

    def _planned(self) -> Rules:
        """How to watch, with what is known by now."""
        pace = self._rules.pace
        plan = self._durations.plan(self._key, pace.request_cost)
        return replace(self._rules, pace=replace(pace, schedule=plan))

    def _job_id(self) -> str | None:
        """The job's id, if the base URL tells it."""
        path = self._session.base.path
        named = len(path) >= 2 and path[-2] == "jobs" and codec.is_job_id(path[-1])
        return path[-1] if named else None

    def _memory_key(self, kind: str | None) -> str:
        """What is remembered together: jobs of one server, and of one kind if that is told."""
        base = self._session.base
        jobs = base if self._job_id() is None else base.replace(path=base.path[:-1])
        return jobs.to_text() if kind is None else f"{jobs.to_text()} {kind}"

    async def _monitor(self, monitoring: Monitoring) -> Status:
        prepare = None if self._webhook_url is None else self._register_quietly
        try:
            async with self._session.in_use():
                try:
                    return await monitoring.run(prepare)
                finally:
                    if self._stopped is not None:
                        await self._unregister_quietly()
        finally:
            stopped, self._stopped = self._stopped, None
            self._monitoring = None
            for each in stopped or ():
                each.callback(None)

    async def _get_status(self) -> Status:
        answer = await self._session.ask("GET", "status")
        if answer.code != 200:
            raise self._session.refusal(answer)
        try:
            return answers.read_status(answer.body)
        except codec.BadInput as error:
            raise BadAnswer(str(error)) from error

    async def _get_job(self) -> Job:
        answer = await self._session.ask("GET", limit=JOB_LIMIT)
        if answer.code != 200:
            raise self._session.refusal(answer)
        try:
            return answers.read_job(answer.body)
        except codec.BadInput as error:
            raise BadAnswer(str(error)) from error

    async def _register(self) -> WebhookRegistration:
        body = {"url": self._webhook()}
        if self._webhook_secret is not None:
            body["secret"] = self._webhook_secret
        # From now on it may be, even if the answer is lost.
        self._may_be_registered = True
        answer = await self._session.ask("POST", "webhooks", "register", body=body)
        if answer.code not in (200, 201):
            self._may_be_registered = False
            raise self._session.refusal(answer)
        made = read_members(answer, _Registered)
        self._registration = WebhookRegistration(made.id, made.secret)
        return self._registration

    async def _unregister(self) -> None:
        body = {"url": self._webhook()}
        answer = await self._session.ask("DELETE", "webhooks", "unregister", body=body)
        if answer.code not in (200, 204):
            raise self._session.refusal(answer)
        self._may_be_registered = False

    async def _register_quietly(self) -> None:
        try:
            await self._register()
        except StatusjobError as problem:
            self._log.warn("no webhook, polling only: {problem}", problem=str(problem))

    async def _unregister_quietly(self) -> None:
        if not self._may_be_registered:
            return
        try:
            await self._unregister()
        except StatusjobError as problem:
            self._log.warn("the webhook stays registered: {problem}", problem=str(problem))

    def _webhook(self) -> str:
        if self._webhook_url is None:
            raise NoWebhook("no webhook_url was given")
        return self._webhook_url


def wait_for(
    job: str | CreatedJob,
    *,
    timeout: float | None = None,
    on_update: Callable[[Status], object] | None = None,
    token: str | None = None,
    reactor: Any = None,
) -> Deferred[Status]:
    """
    Wait until a job has ended: a L{StatusClient} for those who want no more of it than that.

    @param job: its URL, or what creating it returned; the URL of a server for its demo job.
    @param timeout: as in L{StatusClient}, and so are C{on_update}, C{token} and C{reactor}.
    @return: fires with C{COMPLETED} or C{ERROR}, on any server; fails and is cancelled as what
        L{StatusClient.start_monitoring} returns.
    """

    async def wait() -> Status:
        client = StatusClient(
            job, timeout=timeout, on_update=on_update, token=token, reactor=reactor
        )
        return await client.start_monitoring()

    return Deferred.fromCoroutine(wait())


class _Registered(Struct):
    id: str | None = None
    secret: str | None = None
