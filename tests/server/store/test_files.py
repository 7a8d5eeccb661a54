"""The store's file: who may open and read it, and which files are refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from statusjob.contract.jobs import Report, webhook_payload
from statusjob.server.feed import Feed, jobs_of
from statusjob.server.jobs.creation import Simulator
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.lanes import ThreadLane
from statusjob.server.store.interface import StoreUnusable
from statusjob.server.store.sqlite import SQLiteStore
from tests.helpers.core import CoreTestCase, anywhere, new_job
from tests.helpers.lanes import InlineLane
from tests.helpers.sockets import reactor


def store_on(path: str) -> SQLiteStore:
    """A store that is not open yet."""
    return SQLiteStore(
        path,
        seconds=Clock().seconds,
        monotonic=Clock().seconds,
        lanes=lambda name: InlineLane(),
        committed=Feed().committed,
        render=webhook_payload,
    )


class FileTests(CoreTestCase):
    """One file has one process and one owner."""

    def refusal(self, path: str) -> str:
        """The one line that says why a path is refused."""
        error = self.assertRaises(StoreUnusable, store_on(path).open, lambda tx: None)
        text = str(error)
        self.assertEqual(len(text.splitlines()), 1, text)
        self.assertIn(path, text)
        return text

    def close(self, store: SQLiteStore) -> None:
        self.successResultOf(Deferred.fromCoroutine(store.close()))

    def test_only_the_owner_may_read_the_files(self) -> None:
        path = self.mktemp()
        before = os.umask(0)
        try:
            core = self.core(path=path)
            self.create(core)
        finally:
            os.umask(before)
        files = sorted(Path(path).parent.glob(Path(path).name + "*"))
        # The database, its write-ahead log with an index, and the lock.
        self.assertEqual(len(files), 4)
        for each in files:
            self.assertEqual(stat.S_IMODE(each.stat().st_mode), 0o600, each)

    def test_a_second_store_is_refused_until_the_first_is_closed(self) -> None:
        path = self.mktemp()
        first, second = store_on(path), store_on(path)
        first.open(lambda tx: None)
        self.assertEqual(
            self.refusal(path), f"cannot use the database {path}: another statusjob is using it"
        )
        self.close(first)
        second.open(lambda tx: None)
        self.close(second)

    def test_a_refused_store_can_be_opened_later(self) -> None:
        path = self.mktemp()
        first, second = store_on(path), store_on(path)
        first.open(lambda tx: None)
        self.assertRaises(StoreUnusable, second.open, lambda tx: None)
        self.close(first)
        second.open(lambda tx: None)
        self.close(second)

    def test_an_abandoned_file_can_be_opened_again(self) -> None:
        path = self.mktemp()
        first = store_on(path)
        first.open(lambda tx: None)
        first.abandon()
        second = store_on(path)
        second.open(lambda tx: None)
        self.close(second)

    def test_acknowledged_changes_are_there_after_closing(self) -> None:
        path = self.mktemp()
        core = self.core(path=path)
        job = self.create(core)
        end = self.report(core, job, b'{"result":"completed"}')
        self.close(core.store)
        self.assertEqual(self.get(self.core(path=path), job), end)

    def test_two_databases_in_memory_share_nothing(self) -> None:
        job = self.create(self.core())
        self.failureResultOf(self.core().lifecycle.get(job.id))

    def test_a_directory_is_refused(self) -> None:
        path = self.mktemp()
        Path(path).mkdir()
        self.assertIn("directory", self.refusal(path))

    def test_a_path_without_its_directory_is_refused(self) -> None:
        path = os.path.join(self.mktemp(), "statusjob.sqlite")
        self.assertIn("No such file or directory", self.refusal(path))

    def test_a_path_below_a_file_is_refused(self) -> None:
        path = self.mktemp()
        Path(path).touch()
        self.assertIn("Not a directory", self.refusal(os.path.join(path, "statusjob.sqlite")))

    def test_a_file_that_is_not_a_database_is_refused_and_not_changed(self) -> None:
        path = self.mktemp()
        Path(path).write_text("Dear diary, " * 1000)
        self.assertIn("not a database", self.refusal(path))
        self.assertEqual(Path(path).read_text(), "Dear diary, " * 1000)

    def test_the_database_of_another_program_is_refused_and_not_changed(self) -> None:
        path = self.mktemp()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE birds (name TEXT)")
        connection.commit()
        connection.close()
        before = Path(path).read_bytes()
        self.assertIn("something other", self.refusal(path))
        self.assertEqual(Path(path).read_bytes(), before)

    def test_any_failure_to_open_closes_the_file(self) -> None:
        path = self.mktemp()

        def fail(tx: object) -> None:
            raise sqlite3.OperationalError("broken")

        self.assertRaises(StoreUnusable, store_on(path).open, fail)
        store = store_on(path)
        store.open(lambda tx: None)
        self.close(store)


class ThreadTests(TestCase):
    """The store with its lanes in threads, as the server runs it."""

    timeout = 60

    def store(self, feed: Feed) -> SQLiteStore:
        """A store with threads for lanes, closed at the end."""
        store = SQLiteStore(
            self.mktemp(),
            seconds=reactor.seconds,
            monotonic=reactor.seconds,
            lanes=lambda name: ThreadLane(reactor, name),
            committed=feed.committed,
            render=webhook_payload,
        )
        store.open(lambda tx: None)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        return store

    async def test_many_workers_report_at_once_and_nothing_is_lost(self) -> None:
        feed = Feed()
        versions: list[int] = []
        feed.subscribe(lambda updates: versions.extend(each.version for each in jobs_of(updates)))
        lifecycle = Lifecycle(self.store(feed), check_address=anywhere, simulator=Simulator())
        job = (await lifecycle.create(new_job())).job
        reports = [lifecycle.report(job.id, Report(message=str(i))) for i in range(300)]
        await gatherResults(reports)
        self.assertEqual(versions, list(range(1, 302)))
        self.assertEqual((await lifecycle.get(job.id)).version, 301)

    async def test_reads_are_answered_during_a_slow_write(self) -> None:
        store = self.store(Feed())
        lifecycle = Lifecycle(store, check_address=anywhere, simulator=Simulator())
        job = (await lifecycle.create(new_job())).job
        go_on = threading.Event()
        writing = store.write(lambda tx: go_on.wait(10))
        self.assertEqual(await lifecycle.get(job.id), job)
        self.assertNoResult(writing)
        go_on.set()
        self.assertTrue(await writing)
