"""
The server: its parts put together, in the order in which they start and stop.

Nothing is opened before C{startService}, because twistd becomes a daemon after
C{makeService}; from then on what cannot start is one line and exit code 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from statusjob.server.alarms import Alarm, follow
from statusjob.server.delivery.attempt import Sender
from statusjob.server.delivery.guard import Guard, GuardedEndpoints
from statusjob.server.delivery.poster import Poster
from statusjob.server.delivery.resolver import LookUp, LookupThreads, Resolver
from statusjob.server.delivery.worker import Delivery
from statusjob.server.feed import Feed
from statusjob.server.forecast.learner import Forecast
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.lanes import Lane, ThreadLane
from statusjob.server.settings import Settings
from statusjob.server.site.channels import CONNECTION_LIMIT, FrontSite
from statusjob.server.site.ports import CannotListen, allow_files, describe, listen
from statusjob.server.store import outbox_claim
from statusjob.server.store.interface import StoreUnusable, Tx
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.waiting.watchers import Watchers
from statusjob.server.web.access import Access
from statusjob.server.web.root import Api, Door
from statusjob.server.webhooks.redelivery import Deliveries
from statusjob.server.webhooks.registry import Registrations

#: Seconds between two batches of old jobs, so that writers hardly notice.
EXPIRY_PAUSE = 0.1


#: The lane that is not the store's.
FORECAST_LANE = "statusjob-forecast"


#: Files that are needed beside one a connection: deliveries, the database, the log.
OTHER_FILES = 1_000


class Server(Service):
    """Everything, from the database to the ports, in the order in which it starts and stops."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        *,
        now: Callable[[], float] | None = None,
        lanes: Callable[[str], Lane] | None = None,
        look_up: LookUp | None = None,
    ) -> None:
        """
        @param now: the present, in seconds since the epoch; by the reactor if not given.
        @param lanes: makes a lane, given its name; threads if not given.
        @param look_up: how the names of webhooks' hosts are looked up; by the system if not given.
        """
        self._reactor = reactor
        self.settings = settings
        now = now or reactor.seconds
        lanes = lanes or (lambda name: ThreadLane(reactor, name))
        self.feed = Feed()
        self.store = SQLiteStore(
            settings.database,
            seconds=now,
            lanes=lanes,
            committed=self.feed.committed,
        )
        self._lookups = LookupThreads(reactor)
        resolver = Resolver(look_up or self._lookups.look_up)
        guard = Guard(reactor, resolver, settings.webhook_networks)
        self.lifecycle = Lifecycle(
            self.store,
            delay=settings.status_delay,
            error_rate=settings.error_rate,
            prefix=settings.prefix,
            check_address=guard.check,
        )
        self.watchers = Watchers(
            reactor,
            limit=settings.max_watchers,
            topic_limit=settings.max_job_watchers,
        )
        self.forecast = Forecast(reactor, self.store, lanes(FORECAST_LANE), now)
        self.api = Api(
            lifecycle=self.lifecycle,
            registrations=Registrations(
                self.store, prefix=settings.prefix, check_address=guard.check
            ),
            deliveries=Deliveries(self.store),
            store=self.store,
            watchers=self.watchers,
            forecast=self.forecast,
            access=Access(
                tokens=settings.token,
                private=settings.private,
                public_url=settings.public_url,
            ),
            public_url=settings.public_url,
            prefix=settings.prefix,
        )
        self.site = FrontSite(Door(self.api), reactor)
        self._alarm = Alarm(
            reactor, "jobs' alarms", lambda: self.store.write(self.lifecycle.ring), now=now
        )
        self._retention = Alarm(
            reactor, "retention", lambda: self.store.write(self._expire), now=now
        )
        self._poster = Poster(reactor, GuardedEndpoints(reactor, guard).endpoint)
        self._delivery = Delivery(
            reactor,
            self.store,
            Sender(now, self._poster),
            schedule=settings.retry_schedule,
            now=now,
        )
        self._unsubscribe: list[Callable[[], None]] = []
        self.ports: list[IListeningPort] = []

    def startService(self) -> None:
        """
        Open the database, then the ports.

        @raise SystemExit: with one line, if it cannot.
        """
        super().startService()
        try:
            self.store.open(self._prepare)
        except StoreUnusable as error:
            _stop_at_once(str(error))
        allow_files(CONNECTION_LIMIT + OTHER_FILES)
        try:
            self.ports = listen(self._reactor, self.site, self.settings)
        except CannotListen as error:
            self.store.abandon()
            _stop_at_once(str(error))
        self._unsubscribe = [
            follow(self.feed, self._alarm),
            self.feed.subscribe(self.watchers.heard),
        ]
        self._alarm.start()
        self._retention.start()
        self._delivery.start(self.feed)
        self.forecast.start(self.feed)
        self._announce()

    def stopService(self) -> Deferred[None]:
        """Stop in good order, within the drain time."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if not self._unsubscribe:
            return
        self.api.draining = True
        stop_at = self._reactor.seconds() + self.settings.drain
        for port in self.ports:
            await maybeDeferred(port.stopListening)
        self.watchers.stop()
        aborted = await self.site.drain(self.settings.drain)
        if aborted:
            self._log.warn("aborted {aborted} connections", aborted=aborted)
        await self._delivery.stop(max(0.0, stop_at - self._reactor.seconds()))
        await self._poster.close()
        self._lookups.stop()
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self.watchers.close()
        await self._alarm.stop()
        await self._retention.stop()
        await self.forecast.stop()
        await self.store.close()
        self._log.info("stopped; all that was acknowledged is on disk")

    def _prepare(self, tx: Tx) -> None:
        outbox_claim.release(tx)
        self.lifecycle.begin_demo(tx)

    def _expire(self, tx: Tx) -> float | None:
        more = self.lifecycle.expire(tx, self.settings.retention)
        return tx.now + EXPIRY_PAUSE if more else None

    def _announce(self) -> None:
        for port in self.ports:
            self._log.info("listening on {where}", where=describe(port))
        self._log.info("the database is {database}", database=self.settings.database)
        if self.settings.token:
            self._log.info("a token is needed to change, register and list")
        else:
            self._log.info("not open to the network: set STATUSJOB_TOKEN to open it")


def _stop_at_once(reason: str) -> NoReturn:
    """
    Say in one line why the server cannot start.

    @raise SystemExit: always.
    """
    raise SystemExit(f"statusjob: {reason}")
