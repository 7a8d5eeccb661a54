"""The server without HTTP: store, feed, lifecycle and alarms, on a clock that tests move."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract.codec import decode
from statusjob.contract.jobs import NewJob, Report, webhook_payload
from statusjob.contract.webhooks import NewWebhook
from statusjob.jobs import EventType, Job
from statusjob.server.alarms import Alarm, follow
from statusjob.server.feed import Feed
from statusjob.server.jobs.creation import Simulator
from statusjob.server.jobs.due import DueJobs, begin_demo
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.jobs.listening import Listening
from statusjob.server.lanes import Lane
from statusjob.server.store.interface import Row, Tx, Update
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.store.sqlite_connection import MEMORY
from statusjob.server.webhooks.registry import Registrations
from tests.helpers.databases import connect_migrated
from tests.helpers.lanes import InlineLane
from tests.helpers.secrets import SECRET
from tests.helpers.servers import EPOCH

T = TypeVar("T")

#: Where webhooks go unless a test says otherwise.
URL = "https://receiver.example/hook"
#: The shortest report that ends a job.
COMPLETED = b'{"result":"completed"}'


def anywhere(url: str) -> Deferred[None]:
    """Allow every address."""
    return succeed(None)


class Attentive(Listening):
    """Has always listened, however far a test moves the clock at once."""

    def seconds(self) -> float:
        return 1e9


class RepeatingStore(SQLiteStore):
    """Runs each write twice, and keeps only what the second run has done."""

    def write(self, work: Callable[[Tx], T]) -> Deferred[T]:
        def run_twice(tx: Tx) -> T:
            tx.execute("SAVEPOINT twice")
            with suppress(Exception):
                # If it fails, it does so again.
                work(tx)
            tx.execute("ROLLBACK TO twice")
            tx.execute("RELEASE twice")
            cast(Any, tx).updates.clear()
            return work(tx)

        return super().write(run_twice)


class Core:
    """
    A core in memory, or on a file.

    @ivar heard: every update that the feed has announced, in order.
    @ivar listening: tells the alarms for how long the server has listened: always, unless a test
        puts another one here.
    @ivar connections: those that the store has opened to its database.
    @ivar ahead: how many seconds the machine's clock was set forward. This moves no timer.
    """

    def __init__(
        self,
        *,
        path: str = MEMORY,
        lane: Lane | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = lambda: 0.5,
        store: type[SQLiteStore] = SQLiteStore,
    ) -> None:
        """
        @param path: the file of the database; in memory by default.
        @param lane: the lane for both reads and writes; inline by default.
        @param store: makes the store.
        """
        if clock is None:
            clock = Clock()
            clock.rightNow = EPOCH
        self.clock = clock
        self.ahead = 0.0
        self.connections: list[sqlite3.Connection] = []
        self.feed = Feed()
        self.heard: list[Update] = []
        self.feed.subscribe(self.heard.extend)
        self.store = store(
            path,
            seconds=self.now,
            monotonic=self.clock.seconds,
            lanes=lambda name: InlineLane() if lane is None else lane,
            committed=self.feed.committed,
            render=webhook_payload,
            connect=self._open,
        )
        self.listening: Listening = Attentive(self.time, self.now)
        self.simulator = Simulator(random=random)
        self.lifecycle = Lifecycle(
            self.store,
            check_address=anywhere,
            simulator=self.simulator,
            unheard=lambda: self.listening.interrupt(),
        )
        self.registrations = Registrations(self.store, check_address=anywhere)
        self.store.open(lambda tx: None)

    def _open(self, path: str) -> sqlite3.Connection:
        connection = connect_migrated(path)
        self.connections.append(connection)
        return connection

    def now(self) -> float:
        """The present, in seconds since the epoch."""
        return self.clock.seconds() + self.ahead

    @property
    def time(self) -> IReactorTime:
        """The clock, typed as the parts of the server want it."""
        return cast(IReactorTime, self.clock)

    def begin_demo(self, tx: Tx) -> None:
        """Begin a new demo job."""
        begin_demo(tx, self.simulator)

    def start_alarms(self) -> Alarm:
        """Handle jobs' alarms when they are due, as the server does."""
        due_jobs = DueJobs(self.store, self.listening)
        alarm = Alarm(self.time, "alarms", due_jobs.handle, now=self.now)
        follow(self.feed, alarm)
        alarm.start()
        self.clock.advance(0)
        return alarm


def new_job(body: bytes = b"{}") -> NewJob:
    """Read the body of a request that creates a job."""
    return decode(body, NewJob)


def a_report(body: bytes = b"{}") -> Report:
    """Read the body of a worker's report."""
    return decode(body, Report)


def hook(url: str = URL, **members: Any) -> NewWebhook:
    """Make a webhook that can be registered for a job."""
    return NewWebhook(url=url, **members)


def a_claim(url: str = URL, *secrets: str, **members: Any) -> Claim:
    """Make a delivery to attempt. L{SECRET} signs it unless other secrets are given."""
    made: dict[str, Any] = {
        "id": "msg_1",
        "attempt": 1,
        "webhook_id": "wh_1",
        "origin_id": 1,
        "round": 0,
        "job_id": None,
        "type": EventType.COMPLETED,
        "url": url,
        "normal_url": url,
        "was_paused": False,
        "probe": False,
        "secrets": secrets or (SECRET,),
        "body": b'{"result":"completed"}',
        **members,
    }
    return Claim(**made)


def version_of(claim: Claim) -> int:
    """The version of the job that a delivery carries."""
    return int(json.loads(claim.body)["job"]["version"])


def jobs_of(updates: Iterable[Update]) -> list[Job]:
    """Pick the jobs that updates tell of."""
    return [update.job for update in updates if update.job is not None]


def fired(answer: Deferred[T]) -> T:
    """Return the value of a Deferred, which must have fired, or raise its exception."""
    outcomes: list[T | Failure] = []
    answer.addBoth(outcomes.append)
    (outcome,) = outcomes
    if isinstance(outcome, Failure):
        outcome.raiseException()
    return outcome


class CoreTestCase(SynchronousTestCase):
    """Tests of a L{Core} whose lane is inline, so that all work is done at once."""

    def core(self, **given: Any) -> Core:
        """Make a core, which is closed at the end of the test."""
        core = Core(**given)
        self.addCleanup(lambda: Deferred.fromCoroutine(core.store.close()))
        return core

    def create(self, core: Core, body: bytes = b"{}") -> Job:
        """Create a job."""
        return self.successResultOf(core.lifecycle.create(new_job(body))).job

    def report(self, core: Core, job: Job, body: bytes = b"{}") -> Job:
        """Report on a job, and return it as it is then."""
        return self.successResultOf(core.lifecycle.report(job.id, a_report(body)))

    def get(self, core: Core, job: Job) -> Job:
        """Look a job up."""
        return self.successResultOf(core.lifecycle.get(job.id))

    def rows(self, core: Core, sql: str, **values: object) -> list[Row]:
        """Return all rows that an SQL statement gives."""
        return self.successResultOf(core.store.read(lambda tx: tx.all(sql, **values)))

    def column(self, core: Core, sql: str, **values: object) -> list[Any]:
        """Return the values of the only column that an SQL statement gives."""
        return [next(iter(cast(Any, row))) for row in self.rows(core, sql, **values)]

    def execute(self, core: Core, sql: str, **values: object) -> int:
        """Execute an SQL statement, and return how many rows it changed."""
        return self.write(core, lambda tx: tx.execute(sql, **values))

    def write(self, core: Core, work: Callable[[Tx], T]) -> T:
        """Run work in a transaction, and return its value."""
        return self.successResultOf(core.store.write(work))
