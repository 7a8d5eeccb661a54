"""In whatever order updates, reads and new watchers come, no watcher misses an update."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

from statusjob.contract.jobs import NewJob, Report
from statusjob.jobs import Status
from tests import THOROUGH
from tests.helpers.connections import Connection, Following
from tests.helpers.messages import Reply
from tests.helpers.servers import ServerTestCase

T = TypeVar("T")

ROUNDS = 1_000 if THOROUGH else 200
STEPS = 30


class LateLane:
    """
    A lane that behaves as several threads do. Work runs in any order, and its outcome is told in
    a step of its own.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Callable[[], object] | None, Deferred[Any], Deferred[Any]]] = []

    @property
    def held(self) -> int:
        """The number of pieces of work that have not run, or whose outcome is not told yet."""
        return len(self._held)

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        told: Deferred[T] = Deferred()
        self._held.append((work, told, told))
        return told

    def step(self, which: int = 0) -> None:
        """Run one piece of work or, if it has run already, tell its outcome."""
        work, outcome, told = self._held.pop(which)
        if work is None:
            outcome.chainDeferred(told)
        else:
            self._held.insert(which, (None, maybeDeferred(work), told))

    def close(self) -> None:
        """Do nothing: nothing is left to close."""


class Round:
    """
    One job with its updates and its watchers, in a random order.

    @ivar polls: the long polls for the job, each with the version that it knows.
    @ivar statuses: the long polls for its status.
    @ivar streams: the streams of the job.
    @ivar wide: the streams of many jobs that include it.
    """

    def __init__(self, case: InterleavingTests, random: Random) -> None:
        self._case = case
        self._random = random
        self._fake = case.fake
        creating = self._fake.server.lifecycle.create(NewJob(kind=f"k{random.getrandbits(40)}"))
        case.settle()
        self.job = case.successResultOf(creating).job
        self.reported = 0
        self.polls: list[tuple[int, Connection]] = []
        self.statuses: list[Connection] = []
        self.streams: list[Following] = []
        self.wide: list[Following] = []

    def play(self) -> None:
        """Do random things, most of which are steps of what has begun."""
        deeds = [self.report, self.end, self.poll, self.status, self.follow, self.follow_many]
        weights = [4, 1, 3, 1, 2, 2]
        for _ in range(STEPS):
            if self._random.random() < 0.7:
                self._case.step(self._random)
            else:
                self._random.choices(deeds, weights)[0]()
        self._case.settle()

    def report(self) -> None:
        self.reported += 1
        report = Report(message=str(self.reported))
        self._fake.server.lifecycle.report(self.job.id, report).addErrback(lambda _: None)

    def end(self) -> None:
        report = Report(result=Status.COMPLETED)
        self._fake.server.lifecycle.report(self.job.id, report).addErrback(lambda _: None)

    def poll(self) -> None:
        known = self._random.randint(0, self.reported + 1)
        connection = Connection(self._fake.server.site)
        connection.ask(f"GET /jobs/{self.job.id}", "Prefer: wait=45", f'If-None-Match: "{known}"')
        self.polls.append((known, connection))

    def status(self) -> None:
        connection = Connection(self._fake.server.site)
        connection.ask(f"GET /jobs/{self.job.id}/status", "Prefer: wait=45")
        self.statuses.append(connection)

    def follow(self) -> None:
        path = f"/jobs/{self.job.id}/events"
        self.streams.append(Following(self._fake.server.site, path))

    def follow_many(self) -> None:
        query = self._random.choice([f"?job={self.job.id}", f"?kind={self.job.kind}"])
        self.wide.append(Following(self._fake.server.site, f"/events{query}"))

    def hang_up(self) -> None:
        connections = [each for _, each in self.polls] + self.statuses
        connections += [each.connection for each in self.streams + self.wide]
        for connection in connections:
            connection.hang_up()


class InterleavingTests(ServerTestCase):
    """Random rounds on one server whose reads and commits are held."""

    timeout = 120

    def setUp(self) -> None:
        self.lane = LateLane()
        self.fake = self.serve(self.lane, STATUS_DELAY="1000000")
        self.settle()

    def step(self, random: Random) -> None:
        """Take a random step of a read or of a commit, or an iteration of the reactor."""
        which = random.randint(0, self.lane.held)
        if which < self.lane.held:
            self.lane.step(which)
        else:
            self.fake.clock.advance(0)

    def settle(self) -> None:
        """Take steps until nothing is under way any more. No time passes."""
        self.fake.clock.advance(0)
        while self.lane.held:
            self.lane.step()
            self.fake.clock.advance(0)

    def test_every_watcher_learns_of_every_update(self) -> None:
        for seed in range(ROUNDS):
            played = Round(self, Random(seed))
            played.play()
            getting = self.fake.server.lifecycle.get(played.job.id)
            self.settle()
            final = self.successResultOf(getting)
            for known, connection in played.polls:
                answer = self.answer(connection)
                if final.version <= known and not final.result.terminal:
                    self.assertIsNone(answer, seed)
                    continue
                assert answer is not None, (seed, known, final.version)
                if answer.code == 304:
                    # There will be nothing else.
                    self.assertEqual((known, final.result), (final.version, "completed"), seed)
                else:
                    later = answer.json["version"] > known
                    self.assertTrue(later or answer.json["result"] == "completed", seed)
            for connection in played.statuses:
                answer = self.answer(connection)
                self.assertEqual(answer is not None, final.result.terminal, seed)
            for followed in played.streams:
                versions = followed.versions()
                self.assertEqual(versions, sorted(set(versions)), seed)
                self.assertEqual(versions[-1], final.version, seed)
                self.assertEqual(followed.ended, final.result.terminal, seed)
            for followed in played.wide:
                versions = followed.versions()
                self.assertEqual((versions[-1], versions), (final.version, sorted(versions)), seed)
            played.hang_up()
            self.assertEqual(len(self.fake.server.watchers), 0, seed)

    @staticmethod
    def answer(connection: Connection) -> Reply | None:
        """Return the answer, if there is one."""
        answers = connection.answers()
        return answers[0] if answers else None
