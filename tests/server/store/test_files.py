"""The files of a database: who may read them, and what is refused and left alone."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from statusjob.contract.jobs import Report, webhook_payload
from statusjob.server.feed import Feed
from statusjob.server.jobs.creation import Simulator
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.lanes import ThreadLane
from statusjob.server.store.interface import StoreUnusable
from statusjob.server.store.sqlite import SQLiteStore
from tests.helpers.core import CoreTestCase, anywhere, jobs_of, new_job
from tests.helpers.databases import nothing, store_on
from tests.helpers.servers import directory
from tests.helpers.sockets import reactor


class FileTestCase(CoreTestCase):
    """Tests of what is left at, and beside, a path."""

    def refusal(self, path: str) -> str:
        """The one line that says why a path is refused. Nothing that lies there changes."""
        before = self.state(path)
        error = self.assertRaises(StoreUnusable, store_on(path).open, nothing)
        self.assertEqual(self.state(path), before)
        text = str(error)
        self.assertEqual(len(text.splitlines()), 1, text)
        self.assertTrue(text.startswith(f"cannot use the database {path}: "), text)
        return text

    def state(self, path: str) -> dict[str, object]:
        """Everything whose name begins like the file's: mode, owner, content."""
        found: dict[str, object] = {}
        for each in Path(path).parent.glob(Path(path).name + "*"):
            at = each.lstat()
            content = each.read_bytes() if stat.S_ISREG(at.st_mode) else b""
            found[each.name] = (at.st_mode, at.st_uid, at.st_size, content)
        return found

    def close(self, store: SQLiteStore) -> None:
        self.successResultOf(Deferred.fromCoroutine(store.close()))

    def opened(self, path: str) -> SQLiteStore:
        """An open store, which is closed at the end of the test."""
        store = store_on(path)
        store.open(nothing)
        self.addCleanup(self.close, store)
        return store

    def mode(self, path: str) -> int:
        return stat.S_IMODE(os.stat(path).st_mode)


class FileTests(FileTestCase):
    """What is written to the directory of a database, and who may read it."""

    def test_only_the_owner_may_read_the_files(self) -> None:
        path = self.mktemp()
        before = os.umask(0)
        try:
            core = self.core(path=path)
            self.create(core)
        finally:
            os.umask(before)
        files = sorted(self.state(path))
        # The database, the lock, the index of the write-ahead log, and this.
        self.assertEqual(
            [each.removeprefix(Path(path).name) for each in files], ["", "-shm", "-wal", ".lock"]
        )
        for each in files:
            self.assertEqual(self.mode(str(Path(path).parent / each)), 0o600, each)

    def test_a_database_that_everybody_may_read_becomes_private(self) -> None:
        for mode in (0o644, 0o604, 0o666):
            path = self.mktemp()
            self.close(self.opened(path))
            os.chmod(path, mode)
            self.close(self.opened(path))
            self.assertEqual(self.mode(path), 0o600)

    def test_a_database_that_an_operator_shares_with_a_group_stays_shared(self) -> None:
        for mode in (0o640, 0o660):
            path = self.mktemp()
            self.close(self.opened(path))
            os.chmod(path, mode)
            self.opened(path)
            for suffix in ("", "-wal", "-shm"):
                self.assertEqual(self.mode(path + suffix), mode)
            # This one needs only to be read.
            self.assertEqual(self.mode(f"{path}.lock") & ~0o022, mode & ~0o022)

    def test_nothing_but_the_database_is_left_after_closing(self) -> None:
        path = self.mktemp()
        self.close(self.opened(path))
        self.assertEqual(list(self.state(path)), [Path(path).name])

    def test_acknowledged_changes_are_there_after_closing(self) -> None:
        path = self.mktemp()
        core = self.core(path=path)
        job = self.create(core)
        end = self.report(core, job, b'{"result":"completed"}')
        self.close(core.store)
        self.assertEqual(self.get(self.core(path=path), job), end)

    def test_a_symbolic_link_leads_to_the_database(self) -> None:
        path, link = self.mktemp(), self.mktemp()
        os.symlink(os.path.abspath(path), link)
        self.opened(link)
        self.assertEqual(list(self.state(link)), [Path(link).name])
        self.assertIn("another statusjob is using it", self.refusal(path))

    def test_two_databases_in_memory_share_nothing(self) -> None:
        job = self.create(self.core())
        self.failureResultOf(self.core().lifecycle.get(job.id))


class DescriptionTests(FileTestCase):
    """What the log says of the database."""

    def test_it_says_whether_the_file_is_new_and_where_it_really_is(self) -> None:
        path = directory(self) / "jobs.sqlite"
        link = path.with_name("link.sqlite")
        link.symlink_to(path)
        for done in ("created", "opened"):
            store = self.opened(str(link))
            self.assertEqual(store.description, f"{done} the database {path}")
            self.successResultOf(store.close())

    def test_it_says_that_a_database_in_memory_does_not_last(self) -> None:
        self.assertIn("ends with the process", store_on(":memory:").description)


class RefusedTests(FileTestCase):
    """What is no database of statusjob is refused, and left as it is."""

    def test_a_directory_is_refused(self) -> None:
        path = self.mktemp()
        Path(path).mkdir()
        self.assertIn("it is a directory", self.refusal(path))

    def test_a_path_without_its_directory_is_refused(self) -> None:
        path = os.path.join(self.mktemp(), "statusjob.sqlite")
        self.assertIn("cannot open it for reading and writing: No such", self.refusal(path))

    def test_a_path_below_a_file_is_refused(self) -> None:
        path = self.mktemp()
        Path(path).touch()
        self.assertIn("Not a directory", self.refusal(os.path.join(path, "statusjob.sqlite")))

    def test_what_is_no_regular_file_is_refused_before_it_is_opened(self) -> None:
        # The name of a socket must be short.
        fifo, link, name = (str(directory(self) / "x") for _ in range(3))
        os.mkfifo(fifo, 0o644)
        os.symlink("/dev/null", link)
        with closing(socket.socket(socket.AF_UNIX)) as listening:
            listening.bind(name)
            for path in (fifo, link, name, "/dev/null", "/dev/zero"):
                self.assertIn("it is not a regular file", self.refusal(path))

    def test_a_device_keeps_its_mode(self) -> None:
        before = os.stat("/dev/null").st_mode
        self.refusal("/dev/null")
        self.assertEqual(os.stat("/dev/null").st_mode, before)

    def test_a_file_that_is_not_a_database_is_refused(self) -> None:
        for text in ("Dear diary, " * 1000, "x", "SQLite format 3"):
            path = self.mktemp()
            Path(path).write_text(text)
            os.chmod(path, 0o644)
            self.assertIn("not a database", self.refusal(path))

    def test_the_database_of_another_program_is_refused(self) -> None:
        for journal in ("DELETE", "WAL"):
            for table in ("birds (name)", "schema_version (installed_rank, version)"):
                path = self.mktemp()
                with closing(sqlite3.connect(path)) as connection:
                    connection.execute(f"PRAGMA journal_mode = {journal}")
                    connection.execute(f"CREATE TABLE {table}")
                os.chmod(path, 0o644)
                self.assertIn("something other than statusjob's tables", self.refusal(path))

    def test_the_database_that_another_program_has_open_is_refused(self) -> None:
        path = self.mktemp()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE birds (name)")
            before = self.state(path)
            error = self.assertRaises(StoreUnusable, store_on(path).open, nothing)
            self.assertIn("something other", str(error))
            self.assertEqual(self.state(path).keys(), before.keys())
            connection.execute("INSERT INTO birds VALUES ('wren')")

    def test_a_lock_file_of_another_program_is_left_alone(self) -> None:
        path = self.mktemp()
        Path(path).write_text("Dear diary, " * 1000)
        Path(f"{path}.lock").write_text("4711")
        self.refusal(path)

    def test_a_start_that_fails_leaves_no_new_file(self) -> None:
        path = self.mktemp()

        def fail(tx: object) -> None:
            raise sqlite3.OperationalError("broken")

        self.assertRaises(StoreUnusable, store_on(path).open, fail)
        self.assertEqual(self.state(path), {})
        self.opened(path)

    def test_a_start_that_fails_leaves_a_database_that_was_there(self) -> None:
        path = self.mktemp()
        self.close(self.opened(path))

        def fail(tx: object) -> None:
            raise sqlite3.OperationalError("broken")

        self.assertRaises(StoreUnusable, store_on(path).open, fail)
        self.assertEqual(list(self.state(path)), [Path(path).name])
        self.opened(path)


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
