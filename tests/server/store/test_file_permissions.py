"""Databases and directories of other users: what is not permitted is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from statusjob.server.store.interface import StoreUnusable
from tests.helpers.databases import nothing, store_on
from tests.helpers.servers import directory

#: A user, and a group, who own nothing.
NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Have no more rights than a user who owns nothing."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class OtherOwnerTests(SynchronousTestCase):
    """A server that runs as another user than the one who owns its files."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("becoming another user needs root")
        self.directory = directory(self)
        self.path = str(self.directory / "jobs.sqlite")
        self.open_and_close()

    def open_and_close(self) -> None:
        store = store_on(self.path)
        store.open(nothing)
        store.abandon()

    def allow(self, path: Path | str, mode: int) -> None:
        """Let a file or directory belong to nobody's group, with this mode."""
        os.chown(path, 0, NOBODY)
        os.chmod(path, mode)

    def open_as_nobody(self) -> list[str]:
        """
        Open and close the database.

        @return: what was warned of.
        """
        with capturedLogs() as events, as_nobody():
            self.open_and_close()
        return [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]

    def refusal(self) -> str:
        """The line that says why nobody may not open it."""
        with as_nobody():
            return str(self.assertRaises(StoreUnusable, store_on(self.path).open, nothing))

    def test_a_database_that_its_owner_shares_with_our_group_is_used_as_it_is(self) -> None:
        self.allow(self.directory, 0o770)
        self.allow(self.path, 0o660)
        self.assertEqual(self.open_as_nobody(), [])
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o660)

    def test_a_lock_file_of_its_owner_does_not_keep_the_group_out(self) -> None:
        self.allow(self.directory, 0o2770)
        self.allow(self.path, 0o660)
        killed = store_on(self.path)
        killed.open(nothing)
        lock = f"{self.path}.lock"
        self.assertEqual(os.stat(lock).st_mode & 0o440, 0o440)
        os.link(lock, f"{lock}.left")
        killed.abandon()
        os.rename(f"{lock}.left", lock)
        self.assertEqual(self.open_as_nobody(), [])

    def test_a_database_that_everybody_can_use_is_warned_of_if_it_is_not_ours(self) -> None:
        self.allow(self.directory, 0o777)
        self.allow(self.path, 0o666)
        (warning,) = self.open_as_nobody()
        self.assertIn(f"every user of this machine can read or write {self.path}", warning)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o666)

    def test_a_database_that_we_may_only_read_is_refused(self) -> None:
        self.allow(self.directory, 0o770)
        self.allow(self.path, 0o640)
        self.assertIn("cannot open it for reading and writing: Permission denied", self.refusal())

    def test_a_directory_that_we_may_not_enter_is_refused(self) -> None:
        self.allow(self.directory, 0o700)
        self.assertIn("cannot look at it: Permission denied", self.refusal())

    def test_a_directory_in_which_we_may_not_create_files_is_refused(self) -> None:
        self.allow(self.directory, 0o750)
        self.allow(self.path, 0o660)
        self.assertIn("SQLite must be able to write it, and to create files", self.refusal())
        os.unlink(self.path)
        self.assertIn("cannot open it for reading and writing: Permission", self.refusal())

    def test_a_lock_file_that_we_may_not_open_is_named(self) -> None:
        self.allow(self.directory, 0o770)
        self.allow(self.path, 0o660)
        Path(f"{self.path}.lock").touch(0o600)
        self.assertIn(f"cannot open {self.path}.lock: Permission denied", self.refusal())
