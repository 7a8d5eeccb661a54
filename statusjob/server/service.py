"""
The server as a Twisted service: makes the parts, starts them in order, stops them in reverse.

Nothing is opened before C{startService}, because twistd becomes a daemon after
C{makeService}. If a part cannot start, the process ends with one line and exit
code 1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger

from statusjob.contract.jobs import webhook_payload
from statusjob.server.alarms import Alarm, follow
from statusjob.server.delivery.attempt import make_attempt
from statusjob.server.delivery.guard import Guard, GuardedEndpoints
from statusjob.server.delivery.poster import Poster
from statusjob.server.delivery.resolver import LookUp, LookupThreads, Resolver
from statusjob.server.delivery.worker import DeliveryWorker
from statusjob.server.feed import Feed
from statusjob.server.forecast.learner import Forecast
from statusjob.server.jobs.creation import Simulator
from statusjob.server.jobs.due import DueJobs, begin_demo
from statusjob.server.jobs.expiry import Expiry
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.jobs.listening import Listening
from statusjob.server.lanes import Lane, ThreadLane
from statusjob.server.limits import Limits
from statusjob.server.settings import Settings
from statusjob.server.site.careful import CannotListen, check_tls
from statusjob.server.site.fast_answers import FastAnswers
from statusjob.server.site.ports import Ports, describe
from statusjob.server.site.site import BoundedSite
from statusjob.server.store.interface import StoreUnusable, Tx
from statusjob.server.store.readiness import Readiness
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.store.sqlite_connection import Connect, connect
from statusjob.server.waiting.watchers import Watchers
from statusjob.server.web.access import Access
from statusjob.server.web.ready_answers import KEPT_BYTES, ReadyAnswers
from statusjob.server.web.root import Api, Root
from statusjob.server.webhooks.redelivery import Deliveries
from statusjob.server.webhooks.registry import Registrations, WebhookLimits

#: The name of the lane that is not the store's.
FORECAST_LANE = "statusjob-forecast"


class CannotStart(SystemExit, Exception):
    """
    The server cannot start; the message is one line that says why.

    As a C{SystemExit} it ends a process in the foreground with this line and exit code 1, without
    a traceback. It is an C{Exception} as well, because C{twistd} only then tells the process that
    started a daemon, and removes the file with its process id.
    """

    # What twistd tells is cut after 100 bytes, the name of the exception included.
    __module__ = "statusjob"

    def __init__(self, reason: str) -> None:
        """
        @param reason: one line.
        """
        super().__init__(f"statusjob: {reason}")


class Part(Protocol):
    """A part of the server. It has one life: it is started once, and then stopped once."""

    def start(self) -> None:
        """
        Begin to work.

        @raise StoreUnusable: if the part is the store, and the database cannot be opened.
        @raise CannotListen: if the part is the ports, and one of them cannot be had.
        """

    def stop(self, seconds: float, /) -> Awaitable[None]:
        """
        Finish what is in flight, then leave nothing on the reactor.

        @param seconds: how long may be waited for other hosts. What takes longer is aborted. A
            transaction is always waited for.
        """


@dataclass(frozen=True)
class _StorePart:
    """
    The store as a L{Part}.

    @ivar prepare: changes the database in the transaction that opens it.
    """

    store: SQLiteStore
    prepare: Callable[[Tx], None]

    def start(self) -> None:
        self.store.open(self.prepare)

    async def stop(self, seconds: float) -> None:
        await self.store.close()


class Server(Service):
    """
    All parts of one server, from the database to the ports.

    @ivar parts: the parts in the order in which they start. They stop in reverse: the ports first,
        the store last.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        *,
        now: Callable[[], float] | None = None,
        lanes: Callable[[str], Lane] | None = None,
        look_up: LookUp | None = None,
        connect: Connect = connect,
    ) -> None:
        """
        @param now: gives the present, in seconds since the epoch; the reactor's if not given.
        @param lanes: makes a lane, given its name; makes threads if not given.
        @param look_up: looks up the names of webhooks' hosts; asks the system if not given.
        @param connect: opens the database.
        """
        self._reactor = reactor
        self.settings = settings
        now = now or reactor.seconds
        lanes = lanes or (lambda name: ThreadLane(reactor, name))
        self.feed = Feed()
        self.store = SQLiteStore(
            settings.database,
            seconds=now,
            monotonic=reactor.seconds,
            lanes=lanes,
            committed=self.feed.committed,
            render=partial(webhook_payload, prefix=settings.prefix),
            connect=connect,
        )
        lookups = LookupThreads(reactor)
        guard = Guard(reactor, Resolver(look_up or lookups.look_up), settings.webhook_networks)
        simulator = Simulator(delay=settings.status_delay, error_rate=settings.error_rate)
        self._listening = Listening(reactor, now)
        limits = WebhookLimits(job=settings.max_job_webhooks, wide=settings.max_webhooks)
        self.lifecycle = Lifecycle(
            self.store,
            check_address=guard.check,
            simulator=simulator,
            limits=limits,
            unheard=self._listening.interrupt,
        )
        reached = Limits(reactor)
        self.watchers = Watchers(
            reactor,
            self.feed,
            limit=settings.max_watchers,
            topic_limit=settings.max_job_watchers,
            limits=reached,
        )
        self.forecast = Forecast(reactor, self.store, self.feed, lanes(FORECAST_LANE), now)
        access = Access(
            tokens=settings.token, private=settings.private, public_url=settings.public_url
        )
        self.ready = ReadyAnswers(
            reactor,
            self.feed,
            self.forecast.retry_after,
            now,
            prefix=settings.prefix,
            headers=access.headers_for_all,
            # Whoever asks a private server must be asked for a token.
            limit=0 if access.private else KEPT_BYTES,
        )
        self.api = Api(
            lifecycle=self.lifecycle,
            registrations=Registrations(self.store, check_address=guard.check, limits=limits),
            deliveries=Deliveries(self.store),
            store=self.store,
            readiness=Readiness(self.store, reactor.seconds),
            watchers=self.watchers,
            forecast=self.forecast,
            access=access,
            ready=self.ready,
            public_url=settings.public_url,
            prefix=settings.prefix,
        )
        self.fast = FastAnswers(self.ready, access, self.api.count)
        self.site = BoundedSite(Root(self.api), reactor, limits=reached, fast=self.fast)
        self._ports = Ports(
            reactor,
            self.site,
            settings,
            watchers=self.watchers,
            closed=self._answer_those_who_wait,
        )
        due_jobs = DueJobs(self.store, self._listening)
        alarms = Alarm(reactor, "jobs' alarms", due_jobs.handle, now=now)
        follow(self.feed, alarms)
        poster = Poster(reactor, GuardedEndpoints(reactor, guard).endpoint)
        expiry = Expiry(self.store, settings.retention, reactor.seconds)
        self.parts: Sequence[Part] = (
            _StorePart(self.store, partial(begin_demo, simulator=simulator)),
            Alarm(reactor, "retention", expiry.delete_batch, now=now),
            self._listening,
            alarms,
            self.forecast,
            lookups,
            poster,
            DeliveryWorker(
                reactor,
                self.store,
                self.feed,
                partial(make_attempt, poster=poster, now=now),
                schedule=settings.retry_schedule,
                now=now,
            ),
            self.watchers,
            self.ready,
            self._ports,
        )
        self._started: list[Part] = []

    @property
    def ports(self) -> Sequence[IListeningPort]:
        """The ports that are open."""
        return self._ports.listening

    def privilegedStartService(self) -> None:
        """
        Open the ports while the process may: C{twistd --uid} gives its privileges up after this.

        @raise CannotStart: if one of them cannot be had.
        """
        super().privilegedStartService()
        try:
            self._ports.open()
        except CannotListen as error:
            raise CannotStart(str(error)) from None

    def startService(self) -> None:
        """
        Start every part.

        @raise CannotStart: if a part cannot start. Those before it are stopped.
        """
        super().startService()
        for part in self.parts:
            try:
                part.start()
            except (StoreUnusable, CannotListen) as error:
                # Nothing is in flight yet, so this ends at once.
                self._started.append(self._ports)
                Deferred.fromCoroutine(self._stop_parts(0.0))
                raise CannotStart(str(error)) from None
            self._started.append(part)
        self._announce()

    def stopService(self) -> Deferred[None]:
        """
        Stop every part.

        @return: a Deferred that fires when all has ended, after the drain time or soon after it.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._started:
            if delay := self.settings.shutdown_delay:
                self.api.stopping = True
                self._log.info("going on for {seconds:g} s; /readyz answers 503", seconds=delay)
                await deferLater(self._reactor, delay)
            await self._stop_parts(self.settings.drain)
            self._log.info("stopped; every acknowledged change is on disk")

    async def _stop_parts(self, seconds: float) -> None:
        """
        Stop the parts that were started, the last one first.

        @param seconds: how long all of them together may wait for other hosts.
        """
        stop_at = self._reactor.seconds() + seconds
        while self._started:
            await self._started.pop().stop(max(0.0, stop_at - self._reactor.seconds()))

    def _answer_those_who_wait(self) -> None:
        """Answer long polls and end streams, now that the ports are closed."""
        self._listening.cease()
        self.api.draining = True
        self.watchers.end_waits()

    def reload(self) -> None:
        """Read the certificates of TLS endpoints again."""
        self._ports.renew_certificates()

    def _announce(self) -> None:
        try:
            check_tls()
        except CannotListen as error:
            self._log.warn("webhooks to https URLs will fail: {error}", error=error)
        for port in self.ports:
            self._log.info("listening on {where}", where=describe(port))
        self._log.info("{database}", database=self.store.description)
        if self.settings.token:
            self._log.info("clients need a token to change, register and list")
        else:
            self._log.info("not open to the network: set STATUSJOB_TOKEN to open it")
