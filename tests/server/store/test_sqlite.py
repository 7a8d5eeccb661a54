"""The store on SQLite: batches, announcements, isolation, the clock, and a full disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from statusjob.jobs import Job
from statusjob.server.store.batches import BATCH_LIMIT, QUEUE_LIMIT
from statusjob.server.store.interface import StoreBusy, StoreFull, StoreUnavailable, Tx, Update
from statusjob.server.store.sqlite import BATCH_SECONDS, CLOCK_STEP, NOTE_INTERVAL
from tests.helpers.core import Core, CoreTestCase, a_report, jobs_of, new_job
from tests.helpers.lanes import HeldLane
from tests.helpers.servers import EPOCH


def noted(name: str) -> Update:
    """An update of a job with this id."""
    return Update(job=Job(id=name, created_at=0, updated_at=0))


def note(name: str, tx: Tx) -> str:
    """Insert a row and announce it."""
    tx.execute("INSERT INTO origins (origin) VALUES (:name)", name=name)
    tx.announce(noted(name))
    return name


def refuse(tx: Tx) -> NoReturn:
    """Insert a row, announce it, and fail."""
    note("refused", tx)
    raise ValueError("refused")


class StoreTestCase(CoreTestCase):
    """A store that commits when the test lets it."""

    def setUp(self) -> None:
        self.lane = HeldLane()
        self.held = self.core(lane=self.lane)
        self.store = self.held.store

    def tearDown(self) -> None:
        while self.lane.held:
            self.lane.step()

    def names(self, core: Core | None = None) -> list[str]:
        """The names in the rows that are committed."""
        reading = (core or self.held).store.read(
            lambda tx: [row["origin"] for row in tx.all("SELECT origin FROM origins ORDER BY id")]
        )
        while self.lane.held:
            self.lane.step()
        return self.successResultOf(reading)

    @property
    def told(self) -> list[str]:
        """The ids of the jobs that the feed heard of."""
        return [job.id for job in jobs_of(self.held.heard)]

    def note(self, name: str) -> Deferred[str]:
        return self.store.write(partial(note, name))


class GroupCommitTests(StoreTestCase):
    """Writers share transactions, and do not disturb each other."""

    def test_nothing_is_answered_or_announced_before_its_commit(self) -> None:
        answer = self.note("a")
        self.assertNoResult(answer)
        self.assertEqual(self.told, [])
        self.lane.step()
        self.assertEqual((self.successResultOf(answer), self.told), ("a", ["a"]))

    def test_writes_that_arrive_during_a_commit_share_the_next_one(self) -> None:
        commits: list[int] = []
        self.held.feed.subscribe(lambda updates: commits.append(len(updates)))
        for i in range(1 + BATCH_LIMIT + 3):
            self.note(str(i))
        for _ in range(3):
            self.lane.step()
        self.assertEqual(commits, [1, BATCH_LIMIT, 3])

    def test_the_feed_hears_updates_in_commit_order_before_their_writers_are_answered(
        self,
    ) -> None:
        happened: list[str] = []
        self.held.feed.subscribe(
            lambda updates: happened.extend(f"told {each.id}" for each in jobs_of(updates))
        )
        for name in "abc":
            self.note(name).addCallback(lambda name: happened.append(f"answered {name}"))
        self.lane.step()
        self.lane.step()
        self.assertEqual(
            happened,
            ["told a", "answered a", "told b", "told c", "answered b", "answered c"],
        )

    def test_a_call_that_raises_is_undone_alone_and_announces_nothing(self) -> None:
        self.note("a")
        before, failing, after = self.note("b"), self.store.write(refuse), self.note("c")
        self.lane.step()
        self.lane.step()
        self.failureResultOf(failing, ValueError)
        self.assertEqual([self.successResultOf(each) for each in (before, after)], ["b", "c"])
        self.assertEqual(self.told, ["a", "b", "c"])
        self.assertEqual(self.names(), ["a", "b", "c"])

    def runs_beside(self, failing: Callable[[Tx], NoReturn]) -> list[str]:
        """What runs of a batch of three calls, of which the one in the middle fails."""
        runs: list[str] = []

        def run(name: str, tx: Tx) -> str:
            runs.append(name)
            return note(name, tx)

        # The batch forms while another is in flight.
        self.note("earlier")
        first, refused, last = (
            self.store.write(partial(run, "a")),
            self.store.write(failing),
            self.store.write(partial(run, "b")),
        )
        self.lane.step()
        self.lane.step()
        self.failureResultOf(refused, ValueError)
        self.assertEqual([self.successResultOf(each) for each in (first, last)], ["a", "b"])
        self.assertEqual(self.names(), ["earlier", "a", "b"])
        self.assertEqual(self.told, ["earlier", "a", "b"])
        return runs

    def test_a_call_that_fails_after_a_change_makes_its_batch_run_again(self) -> None:
        self.assertEqual(self.runs_beside(refuse), ["a", "a", "b"])

    def test_a_call_that_fails_without_a_change_costs_the_others_nothing(self) -> None:
        def only_refuse(tx: Tx) -> NoReturn:
            tx.announce(noted("refused"))
            raise ValueError("refused")

        self.assertEqual(self.runs_beside(only_refuse), ["a", "b"])

    def test_a_statement_that_fails_makes_only_its_own_call_fail(self) -> None:
        self.note("a")
        again, other = self.note("a"), self.note("b")
        self.lane.step()
        self.lane.step()
        failure = self.failureResultOf(again)
        self.assertIn("UNIQUE", str(failure.value))
        self.assertEqual(self.successResultOf(other), "b")

    def test_a_call_sees_the_changes_of_earlier_calls_in_its_batch(self) -> None:
        self.note("a")
        self.note("b")
        counting = self.store.write(lambda tx: tx.one("SELECT COUNT(*) AS n FROM origins"))
        self.lane.step()
        self.lane.step()
        row = self.successResultOf(counting)
        assert row is not None
        self.assertEqual(row["n"], 2)

    def test_a_report_counts_even_if_its_worker_hangs_up_at_once(self) -> None:
        creating = self.held.lifecycle.create(new_job())
        self.lane.step()
        job = self.successResultOf(creating).job
        for wait in (0, 1):
            # The report is on its way to the disk, or waits for the next commit.
            for _ in range(wait):
                self.note("earlier")
            body = b'{"progress":0.5}' if wait == 0 else b'{"result":"completed"}'
            report = self.held.lifecycle.report(job.id, a_report(body))
            report.cancel()
            self.failureResultOf(report, CancelledError)
            while self.lane.held:
                self.lane.step()
        self.assertEqual(
            [j.version for j in jobs_of(self.held.heard) if j.id == job.id], [1, 2, 3]
        )
        reading = self.held.lifecycle.get(job.id)
        self.lane.step()
        self.assertTrue(self.successResultOf(reading).result.terminal)

    def test_a_listener_that_raises_harms_neither_writers_nor_other_listeners(self) -> None:
        def broken(_: object) -> NoReturn:
            raise ValueError("broken")

        self.held.feed.subscribe(broken)
        late: list[Update] = []
        self.held.feed.subscribe(late.extend)
        answer = self.note("a")
        self.lane.step()
        self.assertEqual(self.successResultOf(answer), "a")
        self.assertEqual((self.told, len(late)), (["a"], 1))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_write_is_refused_when_the_queue_is_full(self) -> None:
        answers = [self.store.write(lambda tx: None) for _ in range(1 + QUEUE_LIMIT)]
        self.failureResultOf(self.store.write(lambda tx: None), StoreBusy)
        while self.lane.held:
            self.lane.step()
        for answer in answers:
            self.successResultOf(answer)

    def test_closing_finishes_queued_writes_and_refuses_later_calls(self) -> None:
        answers = [self.note("a"), self.note("b")]
        closing = Deferred.fromCoroutine(self.store.close())
        while self.lane.held:
            self.lane.step()
        self.successResultOf(closing)
        self.assertEqual([self.successResultOf(each) for each in answers], ["a", "b"])
        self.failureResultOf(self.store.write(lambda tx: None), StoreUnavailable)
        self.failureResultOf(self.store.read(lambda tx: None), StoreUnavailable)

    def test_the_present_is_in_whole_milliseconds(self) -> None:
        self.held.clock.advance(0.12345)
        reading = self.store.read(lambda tx: tx.now)
        writing = self.store.write(lambda tx: tx.now)
        while self.lane.held:
            self.lane.step()
        self.assertEqual(self.successResultOf(reading), EPOCH + 0.123)
        self.assertEqual(self.successResultOf(writing), EPOCH + 0.123)

    def test_a_batch_ends_when_its_time_is_up_and_the_others_are_answered_later(self) -> None:
        def slowly(tx: Tx) -> str:
            self.held.clock.rightNow += 0.6 * BATCH_SECONDS
            return "slow"

        for name in ("read", "write"):
            self.setUp()
            run = getattr(self.store, name)
            first = run(lambda tx: None)
            answers = [run(slowly) for _ in range(3)]
            self.lane.step()
            self.successResultOf(first)
            self.lane.step()
            self.assertEqual([each.called for each in answers], [True, True, False])
            self.lane.step()
            self.assertEqual(self.successResultOf(answers[2]), "slow")


class ReadTests(StoreTestCase):
    """Reads see committed changes only, and change nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.filed = self.core(path=self.mktemp())

    def test_a_read_never_sees_uncommitted_changes(self) -> None:
        store = self.filed.store
        seen: list[int] = []

        def look(tx: Tx) -> None:
            note("a", tx)
            # On the other connection, in the middle of a write.
            seen.extend(self.column(self.filed, "SELECT COUNT(*) FROM origins"))

        self.successResultOf(store.write(look))
        self.assertEqual(seen, [0])
        self.assertEqual(self.names(self.filed), ["a"])

    def test_a_read_cannot_change_anything(self) -> None:
        for core in (self.filed, self.held):
            writing = core.store.read(partial(note, "a"))
            while self.lane.held:
                self.lane.step()
            writing.addErrback(lambda _: None)
            self.assertEqual(self.names(core), [])
            self.assertEqual(core.heard, [])

    def test_a_read_that_raises_fails_alone(self) -> None:
        self.store.read(lambda tx: None)
        bad = self.store.read(lambda tx: tx.one("SELECT nonsense"))
        good = self.store.read(lambda tx: tx.one("SELECT 1 AS one"))
        while self.lane.held:
            self.lane.step()
        self.assertIn("nonsense", str(self.failureResultOf(bad).value))
        row = self.successResultOf(good)
        assert row is not None
        self.assertEqual(row["one"], 1)


class ClockTests(StoreTestCase):
    """The machine's clock is set while the store is open."""

    def setUp(self) -> None:
        super().setUp()
        self.inline = self.core()
        self.execute(self.inline, "INSERT INTO origins (origin) VALUES ('a')")
        self.execute(self.inline, "UPDATE origins SET paused_until = :time", time=EPOCH + 100)

    def paused_until(self) -> float:
        """When the origin's pause ends, in seconds since the start."""
        (time,) = self.column(self.inline, "SELECT paused_until FROM origins")
        return float(time) - EPOCH

    def test_the_next_write_moves_the_waits_and_later_writes_do_not(self) -> None:
        for step, after in ((3600, 3700), (-7200, -3500)):
            self.inline.ahead += step
            for _ in range(2):
                self.write(self.inline, lambda tx: None)
                self.assertEqual(self.paused_until(), after)

    def test_a_restart_soon_after_a_step_moves_nothing_a_second_time(self) -> None:
        path = self.mktemp()
        self.inline = self.core(path=path)
        self.execute(self.inline, "INSERT INTO origins (origin) VALUES ('a')")
        self.execute(self.inline, "UPDATE origins SET paused_until = :time", time=EPOCH + 100)
        self.inline.ahead -= NOTE_INTERVAL - 1
        self.write(self.inline, lambda tx: None)
        self.successResultOf(Deferred.fromCoroutine(self.inline.store.close()))
        clock = Clock()
        clock.rightNow = self.inline.now()
        self.inline = self.core(path=path, clock=clock)
        self.assertEqual(self.paused_until(), 100 - (NOTE_INTERVAL - 1))

    def test_a_small_step_moves_nothing(self) -> None:
        self.inline.ahead += CLOCK_STEP
        self.write(self.inline, lambda tx: None)
        self.assertEqual(self.paused_until(), 100)

    def test_time_that_passes_moves_nothing(self) -> None:
        self.inline.clock.advance(3600)
        self.write(self.inline, lambda tx: None)
        self.assertEqual(self.paused_until(), 100)


class FullTests(StoreTestCase):
    """There is no room left for the database."""

    def setUp(self) -> None:
        super().setUp()
        self.filed = self.core(path=self.mktemp(), lane=self.lane)

    def step(self) -> None:
        while self.lane.held:
            self.lane.step()

    def limit(self, spare: int) -> None:
        """Let the database grow by this many pages at most."""

        def work(tx: Tx) -> None:
            row = tx.one("PRAGMA page_count")
            assert row is not None
            tx.one(f"PRAGMA max_page_count = {row['page_count'] + spare}")

        limiting = self.filed.store.write(work)
        self.step()
        self.successResultOf(limiting)

    def test_every_writer_of_the_batch_fails_and_none_of_its_changes_is_kept(self) -> None:
        self.limit(0)
        first = self.filed.store.write(lambda tx: None)
        names = ("a", "x" * 100_000, "b")
        answers = [self.filed.store.write(partial(note, name)) for name in names]
        self.step()
        self.successResultOf(first)
        for answer in answers:
            self.failureResultOf(answer, StoreFull)
        self.assertEqual((self.names(self.filed), self.filed.heard), ([], []))

    def test_reads_work_and_so_do_writes_once_there_is_room(self) -> None:
        creating = self.filed.lifecycle.create(new_job())
        self.step()
        job = self.successResultOf(creating).job
        self.limit(0)
        body = b'{"result":"completed","output":"%b"}' % (b"x" * 100_000)
        with capturedLogs() as logs:
            for _ in range(3):
                report = self.filed.lifecycle.report(job.id, a_report(body))
                self.step()
                self.failureResultOf(report, StoreFull)
                reading = self.filed.lifecycle.get(job.id)
                self.step()
                self.assertEqual(self.successResultOf(reading), job)
        told = [formatEvent(event) for event in logs]
        self.assertEqual(told, ["writing to the database fails: the database is full"])
        self.limit(1000)
        report = self.filed.lifecycle.report(job.id, a_report(body))
        self.step()
        self.assertEqual(self.successResultOf(report).version, 2)

    def test_a_step_of_the_clock_is_not_lost_with_the_commit_that_notices_it(self) -> None:
        self.filed.store.write(lambda tx: tx.execute("INSERT INTO origins (origin) VALUES ('a')"))
        self.step()
        self.limit(0)
        self.filed.ahead += 3600
        failing = self.filed.store.write(partial(note, "x" * 100_000))
        self.step()
        self.failureResultOf(failing, StoreFull)
        self.limit(1000)
        reading = self.filed.store.read(lambda tx: tx.one("SELECT paused_until FROM origins"))
        self.step()
        row = self.successResultOf(reading)
        assert row is not None
        self.assertEqual(row["paused_until"], 3600)
