"""The settings of connections, and what is said when a database cannot be opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from operator import methodcaller
from pathlib import Path
from typing import Any

from statusjob.server.store.interface import StoreUnusable
from statusjob.server.store.sqlite_connection import LOG_LIMIT, connect
from tests.helpers.core import CoreTestCase
from tests.helpers.databases import nothing, store_on


class SettingsTests(CoreTestCase):
    """What holds for every database."""

    def settings(self, **given: Any) -> dict[str, object]:
        """The settings of the connections for writes and for reads."""
        core = self.core(**given)
        found: dict[str, object] = {}
        for connection, run in (("write", core.store.write), ("read", core.store.read)):
            for name in ("temp_store", "journal_size_limit", "auto_vacuum", "synchronous"):
                row = self.successResultOf(run(methodcaller("one", f"PRAGMA {name}")))
                found[f"{connection} {name}"] = next(iter(row))
        return found

    def test_no_statement_needs_a_temporary_file(self) -> None:
        memory = 2
        for given in ({}, {"path": self.mktemp()}):
            settings = self.settings(**given)
            self.assertEqual(settings["write temp_store"], memory)
            if given:
                self.assertEqual(settings["read temp_store"], memory)

    def test_the_write_ahead_log_is_cut_after_it_has_grown(self) -> None:
        settings = self.settings(path=self.mktemp())
        self.assertEqual(settings["write journal_size_limit"], LOG_LIMIT)

    def test_a_new_file_can_give_pages_back(self) -> None:
        incremental = 2
        self.assertEqual(self.settings(path=self.mktemp())["write auto_vacuum"], incremental)

    def test_a_change_is_on_disk_before_it_is_acknowledged(self) -> None:
        full = 2
        self.assertEqual(self.settings(path=self.mktemp())["write synchronous"], full)


class Refusing:
    """A connection on which one statement fails, or has another result."""

    def __init__(self, inner: sqlite3.Connection, statement: str, outcome: object) -> None:
        self._inner = inner
        self._statement = statement
        self._outcome = outcome

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql.startswith(self._statement):
            if isinstance(self._outcome, Exception):
                raise self._outcome
            return self._inner.execute("SELECT ?", (self._outcome,))
        return self._inner.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def failing(code: int) -> sqlite3.OperationalError:
    """An error of SQLite with this code."""
    error = sqlite3.OperationalError("something failed")
    error.sqlite_errorcode = code
    return error


class ExplanationTests(CoreTestCase):
    """The line that says why a database cannot be opened says what helps."""

    def refusal(self, path: str, connect: Callable[[str], Any] = connect) -> str:
        store = store_on(path, connect=connect)
        return str(self.assertRaises(StoreUnusable, store.open, nothing))

    def refusal_by(self, statement: str, outcome: object) -> str:
        """Why a new database is refused if a statement has this outcome."""
        path = self.mktemp()
        text = self.refusal(path, lambda path: Refusing(connect(path), statement, outcome))
        self.assertFalse(os.path.exists(path))
        return text

    def test_a_file_system_without_shared_memory_is_named(self) -> None:
        for code in (sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN):
            self.assertIn("use a local disk", self.refusal_by("BEGIN", failing(code)))

    def test_a_file_that_cannot_have_a_write_ahead_log_is_refused(self) -> None:
        text = self.refusal_by("PRAGMA journal_mode", "delete")
        self.assertIn("cannot share memory between programs (mmap)", text)

    def test_a_directory_in_which_nothing_can_be_created_is_named(self) -> None:
        for code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY_DIRECTORY):
            text = self.refusal_by("PRAGMA table_info", failing(code))
            self.assertIn("to create files beside it", text)

    def test_another_program_that_holds_the_database_is_named(self) -> None:
        text = self.refusal_by("BEGIN", failing(sqlite3.SQLITE_BUSY))
        self.assertIn("another program is using it", text)

    def test_other_errors_are_shown_as_they_are(self) -> None:
        text = self.refusal_by("BEGIN", failing(sqlite3.SQLITE_IOERR_READ))
        self.assertTrue(text.endswith(": something failed"), text)


class RestoreTests(CoreTestCase):
    """A copy is put in the place of a database whose server was killed."""

    def setUp(self) -> None:
        """There is a copy, and what a killed server leaves: a database with a write-ahead log."""
        self.path, running = self.mktemp(), self.mktemp()
        core = self.core(path=running)
        self.copied = self.create(core)
        self.copy = self.mktemp()
        with closing(sqlite3.connect(running)) as reading:
            reading.execute("VACUUM INTO ?", (self.copy,))
        for _ in range(20):
            self.create(core, b'{"metadata":{"text":"' + b"x" * 4000 + b'"}}')
        for suffix in ("", "-wal", "-shm"):
            Path(self.path + suffix).write_bytes(Path(running + suffix).read_bytes())

    def refusal(self) -> str:
        store = store_on(self.path)
        return str(self.assertRaises(StoreUnusable, store.open, nothing))

    def test_it_has_what_was_copied_if_the_write_ahead_log_is_removed_first(self) -> None:
        for suffix in ("-wal", "-shm"):
            os.unlink(self.path + suffix)
        Path(self.path).write_bytes(Path(self.copy).read_bytes())
        core = self.core(path=self.path)
        self.assertEqual(self.column(core, "SELECT id FROM jobs"), [self.copied.id])

    def test_it_is_refused_with_what_helps_if_the_write_ahead_log_was_left(self) -> None:
        # SQLite would open it, and find jobs of both, or rows that are in no order.
        Path(self.path).write_bytes(Path(self.copy).read_bytes())
        before = Path(f"{self.path}-wal").read_bytes()
        text = self.refusal()
        self.assertIn("temp-wal is not its own, as if it was restored from a copy", text)
        self.assertEqual(Path(self.path).read_bytes(), Path(self.copy).read_bytes())
        self.assertEqual(Path(f"{self.path}-wal").read_bytes(), before)

    def test_an_empty_log_does_no_harm_to_a_copy(self) -> None:
        Path(self.path).write_bytes(Path(self.copy).read_bytes())
        os.truncate(f"{self.path}-wal", 0)
        core = self.core(path=self.path)
        self.assertEqual(self.column(core, "SELECT id FROM jobs"), [self.copied.id])

    def test_a_killed_server_goes_on_with_its_own_log(self) -> None:
        core = self.core(path=self.path)
        self.assertEqual(self.column(core, "SELECT COUNT(*) FROM jobs"), [21])

    def test_a_damaged_database_beside_an_old_log_is_refused_with_what_helps(self) -> None:
        Path(self.path).write_bytes(b"SQLite format 3\0" + b"\2" * 8176)
        os.truncate(f"{self.path}-wal", 32)
        text = self.refusal()
        self.assertIn(f"to restore a copy, remove {self.path}-wal and {self.path}-shm", text)
