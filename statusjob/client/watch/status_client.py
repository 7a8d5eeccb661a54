"""
C{StatusClient}, for those who wait: it learns when a job ends, with few requests.

While it monitors, C{StatusClient} requests nothing but C{{base}/status}, so it
works with every server of the original contract. A webhook, if there is one,
tells it sooner; if that fails, polling goes on. How a job is watched is in
L{statusjob.client.watch.run}.
"""

from __future__ import annotations

import math
import os
import random as _random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.logger import Logger

from statusjob.client.errors import AlreadyMonitoring, BadBaseURL, BadSetting, StatusjobError
from statusjob.client.http import answers
from statusjob.client.http.base_url import locate
from statusjob.client.http.session import (
    JOB_LIMIT,
    MAX_RETRIES,
    REQUEST_TIMEOUT,
    KeepsConnections,
    Requester,
    Session,
    is_positive,
)
from statusjob.client.models import (
    CreatedJob,
    JobEnd,
    LocatedJob,
    WebhookEvent,
    WebhookRegistration,
)
from statusjob.client.watch.history import DurationMemory, shared_memory
from statusjob.client.watch.requests import WatchOptions
from statusjob.client.watch.run import Run
from statusjob.client.watch.updates import Updates
from statusjob.client.watch.watched import WatchedJob, WatchedStatus
from statusjob.client.watch.webhook import ClientWebhook
from statusjob.contract import codec
from statusjob.contract.signing import BadSecret, check_secret
from statusjob.jobs import Job, Status
from statusjob.pace.bounds import MAX_INTERVAL, POLLING_INTERVAL, Pace


class StatusClient(KeepsConnections):
    """
    Watches one job: the one that its base URL names.

    Methods that make requests return Deferreds, which may be awaited and cancelled. Connections
    are kept open while the job is watched, and inside C{async with client:}; a single call closes
    its own.
    """

    _log = Logger()

    def __init__(
        self,
        base_url: str | Job,
        *,
        server: str | None = None,
        polling_interval: float = POLLING_INTERVAL,
        max_interval: float | None = None,
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
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param base_url: the job's URL, such as C{http://host/jobs/{id}}; C{http://host} for the
            demo job. A job that a client returned will do, too: what it tells is not asked for
            again. So will a job's id, or any other L{Job}, together with C{server}.
        @param server: the URL of the job's server, such as C{http://host}.
        @param polling_interval: what a request costs, in seconds of delay. It is also the shortest
            wait between two requests, unless the server holds its answers.
        @param max_interval: the longest wait in seconds, by default 30, or C{polling_interval} if
            that is longer. Only a server may ask for a longer one.
        @param max_retries: how many failures in a row are tolerated.
        @param timeout: seconds for the whole monitoring; C{None} for no limit.
        @param request_timeout: seconds for one request and its answer, in addition to the time
            for which the server holds the answer, which is at most 45 s.
        @param webhook_url: where the server delivers updates: the URL of a L{WebhookReceiver}
            that knows this client.
        @param webhook_secret: C{whsec_...}, signs the deliveries. Without it the server makes one:
            see L{registration}.
        @param on_update: called with the first status and with each change. If it returns a
            Deferred, or is C{async def}, that is awaited before the next request. If it fails,
            monitoring fails with its error.
        @param kind: the job's kind. Durations are then learned for this kind alone.
        @param durations: durations of past jobs; this job's is added to them. A path for a
            L{DurationMemory} that is kept in that file; C{None} for the one that all clients of
            this reactor share.
        @param token: sent as a bearer token.
        @param reactor: C{None} for the global one.
        @param treq: sends the requests, as a C{treq.client.HTTPClient} does; C{None} for
            connections that all clients of this reactor share.
        @param random: returns random numbers from 0 to 1, for jitter.
        @param now: returns the seconds since the epoch, for dates that servers tell.
        @raise BadSetting: if an argument makes no sense; L{BadBaseURL} if it is the base URL.
        """
        try:
            if max_interval is None:
                max_interval = max(MAX_INTERVAL, polling_interval)
            pace = Pace(polling_interval, max_interval)
            if webhook_secret is not None:
                check_secret(webhook_secret)
        except TypeError:
            raise BadSetting("polling_interval and max_interval must be numbers") from None
        except (ValueError, BadSecret) as error:
            raise BadSetting(str(error)) from None
        if timeout is not None and not is_positive(timeout):
            raise BadSetting(f"timeout must be a number above 0 s, or None, not {timeout!r}")
        if not isinstance(max_retries, int) or max_retries < 0:
            raise BadSetting(f"max_retries must be a whole number from 0, not {max_retries!r}")
        self._given = base_url if isinstance(base_url, Job) else None
        self._created = base_url if isinstance(base_url, CreatedJob) else None
        if kind is None and self._given is not None:
            kind = self._given.kind
        self._session = Session(
            locate(base_url, server),
            token=token,
            request_timeout=request_timeout,
            reactor=reactor,
            treq=treq,
            now=now,
        )
        if durations is None:
            durations = shared_memory(self._session.reactor)
        elif not isinstance(durations, DurationMemory):
            durations = DurationMemory(durations)
        self._durations = durations
        self._durations_key = self._make_durations_key(kind)
        self._learn = partial(durations.learn, self._durations_key)
        self._on_update = on_update
        self._options = WatchOptions(
            pace=pace, max_retries=max_retries, timeout=timeout, draw=random
        )
        self._webhook = ClientWebhook(self._session, webhook_url, webhook_secret)
        self._run: Run[WatchedStatus] | None = None
        self._stopping: list[Deferred[None]] = []

    @property
    def registration(self) -> WebhookRegistration | None:
        """What the server answered when the webhook was last registered."""
        return self._webhook.registration

    def start_monitoring(self, *, age: float | None = None) -> Deferred[Status]:
        """
        Watch the job until it ends.

        The webhook, if there is one, is registered first, and unregistered at the end, which may
        delay it by 3 s. If that fails, it is logged. The first request is made at once, unless the
        job is known to be new. A server that can hold its answer until there is news is
        long-polled; any other is polled when that is worth a request. How long the job took is
        remembered for the next one.

        @param age: the seconds since the job was created, if known: 0 for a new job. It need not
            be given for a L{CreatedJob}.
        @return: fires with the terminal status, or after L{stop_monitoring} with the last one
            seen (C{PENDING} if there was none). Fails with L{JobNotFound}, L{NotAuthorized} or
            another L{Refused}, with L{RetriesExhausted} or L{MonitoringTimeout}, or with what
            C{on_update} raised; with L{AlreadyMonitoring} if the job is being monitored already,
            with L{BadSetting} if C{age} makes no sense. Cancelling it stops everything at
            once; only L{stop_monitoring} then unregisters the webhook.
        """
        return Deferred.fromCoroutine(self._result(age))

    def wait_for_end(self) -> Deferred[JobEnd]:
        """
        Monitor the job, and tell how it ended.

        @return: fires with the result, the output and the error. What the monitoring did not tell
            is asked for once: this delays the end by one C{request_timeout} at most, and does not
            fail it. After L{stop_monitoring}, it fires with the last result seen. Otherwise it
            fails as L{start_monitoring} does. Cancelling it stops everything.
        """
        return Deferred.fromCoroutine(self._wait_for_end())

    def stop_monitoring(self) -> Deferred[None]:
        """
        Stop watching, and unregister the webhook that monitoring registered.

        @return: fires when nothing is under way any more. If the webhook cannot be unregistered,
            that is logged. It may be awaited inside C{on_update}: a call of it that is under way
            is neither waited for nor cancelled, and if it fails afterwards, that is logged.
        """
        if self._run is None:
            return Deferred.fromCoroutine(self._webhook.try_to_unregister())
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        self._run.end()
        return stopped

    def notify(self, event: WebhookEvent) -> None:
        """
        Take what a webhook brought. A L{WebhookReceiver} calls this.

        A terminal result ends the monitoring at once, even while a request is under way. Anything
        else is ignored: other results, other jobs, and everything while no monitoring runs.
        """
        run = self._run
        if run is not None and not run.ended:
            run.update(run.watched.read_event(event))

    def get_status(self) -> Deferred[Status]:
        """
        Ask once for the status.

        @return: fails with L{Unreachable}, L{BadAnswer} or L{Refused}.
        """
        return Deferred.fromCoroutine(self._get_status())

    def get_job(self) -> Deferred[LocatedJob]:
        """
        Ask once for the whole job. The base URL must be a job's, on a statusjob server.

        @return: fails as L{get_status} does.
        """
        return Deferred.fromCoroutine(self._get_job())

    def updates(self) -> Updates:
        """
        Follow the job with its progress, on a statusjob server.

        Updates come by a stream, by long polls or by polling, as the server allows. How long the
        job took is remembered for the next one. This is independent of monitoring.

        @return: an asynchronous iterator of L{LocatedJob}s. The first is the job as it is, the
            last the job as it ended. A consumer that is slow skips what is outdated by then. It
            raises what C{start_monitoring} fails with.
        @raise BadBaseURL: if the base URL is not a job's.
        """
        job_id = self._job_id()
        if job_id is None:
            raise BadBaseURL("to follow a job, the base URL must end with /jobs/ and its id")

        async def follow(on_update: Callable[[LocatedJob], object]) -> None:
            job = WatchedJob(self._session, job_id=job_id, learn=self._learn, on_update=on_update)
            async with self._session.in_use():
                await Run(self._session, self._current_options(), job).run()

        return Updates(self._session.reactor, follow)

    def register_webhook(self) -> Deferred[WebhookRegistration]:
        """
        Register the webhook. It is no error if it is registered already.

        @return: fails as L{get_status} does, and with L{NoWebhook} if no C{webhook_url} was given.
        """
        return Deferred.fromCoroutine(self._webhook.register())

    def unregister_webhook(self) -> Deferred[None]:
        """
        Unregister the webhook. It is no error if it is not registered.

        @return: fails as L{register_webhook} does.
        """
        return Deferred.fromCoroutine(self._webhook.unregister())

    def _current_options(self) -> WatchOptions:
        """Return how to watch, with a polling schedule from the durations known by now."""
        pace = self._options.pace
        schedule = self._durations.plan(self._durations_key, pace.request_cost)
        return replace(self._options, pace=replace(pace, schedule=schedule))

    def _job_id(self) -> str | None:
        """Return the id in the base URL, or C{None} if there is none."""
        path = self._session.base.path
        has_id = len(path) >= 2 and path[-2] == "jobs" and codec.is_job_id(path[-1])
        return path[-1] if has_id else None

    def _make_durations_key(self, kind: str | None) -> str:
        """Return a key for durations: one per server, and per kind if that is given."""
        base = self._session.base
        jobs = base if self._job_id() is None else base.replace(path=base.path[:-1])
        return jobs.to_text() if kind is None else f"{jobs.to_text()} {kind}"

    def _make_run(self, age: float | None) -> Run[WatchedStatus]:
        """
        Prepare to monitor the job.

        @raise AlreadyMonitoring: if it is being monitored already.
        @raise BadSetting: if C{age} makes no sense.
        """
        if self._run is not None:
            raise AlreadyMonitoring("the job is being monitored already")
        if age is not None and not 0 <= age < math.inf:
            raise BadSetting(f"age must be 0 s or more, or None, not {age!r}")
        result = None
        if self._given is not None and self._given.result.terminal:
            result = self._given.result
        if self._created is not None:
            result = self._created.result
            if age is None:
                age = max(0.0, self._session.reactor.seconds() - self._created.created_here)
        watched = WatchedStatus(
            self._session,
            job_id=self._job_id(),
            age=age,
            result=result,
            learn=self._learn,
            on_update=self._on_update,
        )
        # A server that creates jobs is one of ours, which holds its answers.
        long_polls = self._created is not None
        return Run(self._session, self._current_options(), watched, long_polls=long_polls)

    async def _monitor(self, age: float | None = None) -> WatchedStatus:
        """Monitor the job until it ends, and return what is known of it."""
        run = self._run = self._make_run(age)
        try:
            async with self._session.in_use():
                try:
                    await run.run(prepare=self._webhook.try_to_register)
                except CancelledError:
                    # Nothing more may be requested.
                    raise
                except Exception:
                    await self._webhook.try_to_unregister()
                    raise
                await self._webhook.try_to_unregister()
                return run.watched
        finally:
            stopping, self._stopping = self._stopping, []
            self._run = None
            for each in stopping:
                each.callback(None)

    async def _result(self, age: float | None) -> Status:
        return (await self._monitor(age)).result or Status.PENDING

    async def _wait_for_end(self) -> JobEnd:
        async with self._session.in_use():
            watched = await self._monitor()
            result = watched.result or Status.PENDING
            return JobEnd(result, await self._find_ended(watched) if result.terminal else None)

    async def _find_ended(self, watched: WatchedStatus) -> Job | None:
        """Return the job as it ended, if it can be found in the time of one request."""
        if watched.ended_job is not None:
            return watched.ended_job
        if self._given is not None and self._given.result.terminal:
            return self._given
        if self._job_id() is not None:
            path: tuple[str, ...] = ()
        elif watched.job_id is not None:
            path = ("jobs", watched.job_id)
        else:
            return None
        asking = Deferred.fromCoroutine(self._session.ask("GET", *path, limit=JOB_LIMIT))
        try:
            answer = await asking.addTimeout(self._session.timeout, self._session.reactor)
            job = self._session.read_job(answer)
        except (StatusjobError, TimeoutError) as problem:
            self._log.info("only the result is known: {problem}", problem=str(problem))
            return None
        return job if job.result is watched.result else None

    async def _get_status(self) -> Status:
        answer = await self._session.ask("GET", "status")
        return self._session.read(answer, answers.read_status)

    async def _get_job(self) -> LocatedJob:
        return self._session.read_job(await self._session.ask("GET", limit=JOB_LIMIT))
