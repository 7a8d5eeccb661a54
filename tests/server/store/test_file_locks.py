"""One database has one process, by whatever name it is opened, as long as it lies at its path."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest

from statusjob.server.store import inodes
from statusjob.server.store.inodes import is_mount_point
from statusjob.server.store.interface import StoreUnavailable, StoreUnusable
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.store.sqlite_connection import connect
from statusjob.server.store.sqlite_file import LOCK_PAUSE, LOCK_WAIT
from tests.helpers.core import CoreTestCase
from tests.helpers.databases import nothing, store_on
from tests.helpers.servers import directory

#: Opens the database that is named by the last argument, in a process of its own.
OPEN = """
import sys
from tests.helpers.databases import nothing, store_on
store = store_on(sys.argv[1])
store.open(nothing)
store.abandon()
"""


class SharedTestCase(CoreTestCase):
    """A store that is open, and others that come to its file."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.clock = Clock()
        self.first = store_on(self.path, clock=self.clock)
        self.first.open(nothing)
        # Some tests do this earlier; a second time does nothing.
        self.addCleanup(self.first.abandon)

    def assert_taken(self, path: str) -> None:
        """Check that a second store is refused, and that it leaves the first one alone."""
        error = self.assertRaises(StoreUnusable, store_on(path).open, nothing)
        self.assertEqual(
            str(error), f"cannot use the database {path}: another statusjob is using it"
        )

    def write_to(self, store: SQLiteStore) -> None:
        """Write what does not change anything."""
        self.successResultOf(store.write(lambda tx: tx.execute("UPDATE clock SET seen_at = 1")))


class SecondProcessTests(SharedTestCase):
    """A database that another process uses."""

    def test_it_is_refused_until_the_first_is_closed(self) -> None:
        self.assert_taken(self.path)
        self.first.abandon()
        second = store_on(self.path)
        second.open(nothing)
        second.abandon()

    def test_a_refused_store_can_be_opened_later(self) -> None:
        second = store_on(self.path)
        self.assertRaises(StoreUnusable, second.open, nothing)
        self.first.abandon()
        second.open(nothing)
        second.abandon()

    def test_a_start_waits_some_seconds_for_a_process_that_ends(self) -> None:
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                self.first.abandon()

        second = store_on(self.path, pause=pause)
        second.open(nothing)
        second.abandon()
        self.assertEqual(pauses, [LOCK_PAUSE] * 3)

    def test_a_start_does_not_wait_for_longer_than_that(self) -> None:
        pauses: list[float] = []
        second = store_on(self.path, pause=pauses.append)
        self.assertRaises(StoreUnusable, second.open, nothing)
        self.assertAlmostEqual(sum(pauses), LOCK_WAIT)


class InodeLockTests(SharedTestCase):
    """The database is locked, whatever name it has."""

    def setUp(self) -> None:
        if not sys.platform.startswith("linux"):
            raise SkipTest("there are no such locks")
        super().setUp()

    def test_a_hard_link_is_the_same_database(self) -> None:
        link = str(Path(self.mktemp()).parent / "link")
        os.link(self.path, link)
        self.assert_taken(link)
        self.assertEqual(list(Path(link).parent.iterdir()), [Path(link)])

    def test_the_lock_file_may_be_removed_without_letting_anybody_in(self) -> None:
        os.unlink(f"{self.path}.lock")
        self.assert_taken(self.path)
        self.write_to(self.first)

    def test_another_process_is_refused_by_a_bind_mount_of_the_file(self) -> None:
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            raise SkipTest("mounting needs root, and unshare")
        other = directory(self) / "other"
        other.touch()
        mount = f'mount --bind {os.path.abspath(self.path)} {other} && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mount, "sh"]
        opening = [sys.executable, "-W", "error", "-c", OPEN, str(other)]
        done = subprocess.run([*command, *opening], capture_output=True, timeout=60)
        self.assertIn(b"mount its directory", done.stderr)
        self.assertEqual(list(other.parent.iterdir()), [other])

    def test_the_connections_of_the_first_keep_their_own_locks(self) -> None:
        # In this process, closing the second's descriptor would end them; so it is another one.
        opening = [sys.executable, "-W", "error", "-c", OPEN, self.path]
        done = subprocess.run(opening, capture_output=True, timeout=60)
        self.assertIn(b"another statusjob is using it", done.stderr)
        inode = os.stat(self.path).st_ino
        held = [
            line.split()
            for line in Path("/proc/locks").read_text().splitlines()
            if line.split()[5].endswith(f":{inode}")
        ]
        self.assertEqual({line[1] for line in held}, {"POSIX", "OFDLCK"})


class WithoutInodeLockTests(SecondProcessTests):
    """The same where the system has no lock for the inode: the side file is what counts."""

    def setUp(self) -> None:
        self.patch(inodes, "_SET_LOCK", None)
        super().setUp()

    def test_a_process_whose_lock_file_was_removed_must_not_write_any_more(self) -> None:
        os.unlink(f"{self.path}.lock")
        second = store_on(self.path)
        second.open(nothing)
        self.failureResultOf(self.first.write(nothing), StoreUnavailable)
        self.write_to(second)
        second.abandon()

    def test_a_system_that_refuses_such_a_lock_does_not_refuse_the_start(self) -> None:
        self.patch(inodes, "_SET_LOCK", -1)
        other = store_on(self.mktemp())
        other.open(nothing)
        self.write_to(other)
        other.abandon()


class MovedTests(SharedTestCase):
    """Nothing is acknowledged that a later start would not find."""

    def assert_refuses_writes(self) -> None:
        self.failureResultOf(self.first.write(nothing), StoreUnavailable)

    def test_writes_are_refused_while_the_database_is_not_at_its_path(self) -> None:
        os.rename(self.path, f"{self.path}.aside")
        self.assert_refuses_writes()
        os.rename(f"{self.path}.aside", self.path)
        self.write_to(self.first)

    def test_writes_are_refused_once_another_file_has_taken_its_place(self) -> None:
        shutil.copy(self.path, f"{self.path}.copy")
        os.rename(f"{self.path}.copy", self.path)
        self.assert_refuses_writes()

    def test_a_start_on_a_file_that_replaced_a_used_one_is_refused(self) -> None:
        # It would take the other one's write-ahead log for its own.
        shutil.copy(self.path, f"{self.path}.copy")
        os.rename(f"{self.path}.copy", self.path)
        self.assert_taken(self.path)
        self.assertTrue(os.path.exists(f"{self.path}-wal"))

    def test_writes_are_refused_at_once_if_the_log_or_its_index_is_removed(self) -> None:
        for suffix in ("-wal", "-shm"):
            os.rename(self.path + suffix, f"{self.path}.aside")
            for _ in range(2):
                self.assert_refuses_writes()
            os.rename(f"{self.path}.aside", self.path + suffix)
            self.write_to(self.first)

    def test_writes_are_refused_once_the_database_is_emptied(self) -> None:
        before = Path(self.path).read_bytes()
        os.truncate(self.path, 0)
        self.assert_refuses_writes()
        Path(self.path).write_bytes(before)

    def test_writes_are_refused_once_a_symbolic_link_leads_elsewhere(self) -> None:
        path, link = os.path.abspath(self.mktemp()), self.mktemp()
        os.symlink(path, link)
        store = store_on(link)
        store.open(nothing)
        os.unlink(link)
        os.symlink(os.path.abspath(self.path), link)
        self.failureResultOf(store.write(nothing), StoreUnavailable)
        store.abandon()

    def test_a_lock_file_that_was_left_by_a_killed_process_is_used_again(self) -> None:
        path = self.mktemp()
        Path(f"{path}.lock").touch()
        store = store_on(path)
        store.open(nothing)
        self.assert_taken(path)
        store.abandon()
        self.assertFalse(os.path.exists(f"{path}.lock"))

    def test_a_lock_file_that_its_holder_removes_meanwhile_is_made_anew(self) -> None:
        side = f"{self.path}.lock"
        # Its holder ends while a start waits, and the start after that must not get in, too.
        second = store_on(self.path, pause=lambda seconds: self.first.abandon())
        second.open(nothing)
        self.assertTrue(os.path.exists(side))
        self.assert_taken(self.path)
        second.abandon()


class RaceTests(CoreTestCase):
    """Several processes start at the same time."""

    def test_of_two_that_connect_to_a_new_file_the_first_to_lock_its_side_file_keeps_it(
        self,
    ) -> None:
        path = self.mktemp()

        def connect_late(real_path: str) -> sqlite3.Connection:
            side = os.open(f"{path}.lock", os.O_RDONLY | os.O_CREAT, 0o600)
            self.addCleanup(os.close, side)
            fcntl.flock(side, fcntl.LOCK_EX)
            return connect(real_path)

        store = store_on(path, connect=connect_late)
        error = self.assertRaises(StoreUnusable, store.open, nothing)
        self.assertIn("another statusjob is using it", str(error))
        # They are the other one's.
        for each in (path, f"{path}.lock"):
            self.assertTrue(os.path.exists(each))

    def test_a_lock_file_that_is_removed_while_it_is_being_locked_does_not_count(self) -> None:
        path = self.mktemp()
        side = Path(f"{path}.lock")
        side.touch()
        removed = side.with_name("removed")
        flock = fcntl.flock

        def remove_and_lock(file: int, operation: int) -> None:
            if not removed.exists():
                side.rename(removed)
            flock(file, operation)

        self.patch(fcntl, "flock", remove_and_lock)
        store = store_on(path)
        store.open(nothing)
        self.assertTrue(side.exists())
        store.abandon()
        self.assertFalse(side.exists())

    def test_a_file_that_another_process_creates_first_is_opened(self) -> None:
        path = self.mktemp()
        really_open = os.open

        def create_before(file: str, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_EXCL:
                Path(file).touch(0o600)
            return really_open(file, flags, mode)

        self.patch(os, "open", create_before)
        store = store_on(path)
        store.open(nothing)
        store.abandon()


class MountTests(CoreTestCase):
    """Which paths are mounted, by the kernel's table."""

    def test_a_file_that_is_mounted_is_found_by_its_whole_path(self) -> None:
        table = Path(self.mktemp())
        table.write_text(
            "22 1 0:21 / / rw - ext4 /dev/root rw\n"
            "36 22 98:0 /jobs.sqlite /data/jobs.sqlite rw,noatime master:1 - ext4 /dev/sda rw\n"
            "37 22 98:0 /b /with\\040blank\\134.sqlite rw - ext4 /dev/sda rw\n"
        )
        for path, mounted in (
            ("/data/jobs.sqlite", True),
            ("/with blank\\.sqlite", True),
            ("/data/jobs", False),
            ("/data", False),
            ("/jobs.sqlite", False),
        ):
            self.assertEqual(is_mount_point(path, str(table)), mounted, path)

    def test_nothing_is_known_to_be_mounted_without_the_table(self) -> None:
        self.assertFalse(is_mount_point("/", self.mktemp()))
