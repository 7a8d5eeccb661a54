"""
The store on SQLite: one file for one process.

Writers share transactions, with a savepoint each: calls that arrive during one commit go with the
next. The write-ahead log is used with C{synchronous=FULL}: an answer means that the change
survives a loss of power. Reads have a connection and a lane of their own, and never wait for a
writer.

The process has the file to itself: its start ends all leases, and when the machine's clock is set,
the waits in the database are moved along (L{statusjob.server.store.single_process}).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from statusjob.jobs import Job
from statusjob.server.lanes import Lane
from statusjob.server.store.batches import Batches, CallResult
from statusjob.server.store.interface import (
    Row,
    StoreFull,
    StoreUnavailable,
    StoreUnusable,
    Tx,
    UnreadableRow,
    Update,
)
from statusjob.server.store.outage import Outage
from statusjob.server.store.schema import SQLITE, migrate
from statusjob.server.store.single_process import move_waits, note_time, resume
from statusjob.server.store.sqlite_connection import (
    MEMORY,
    Connect,
    connect,
    connect_reader,
    explain,
    is_ours,
    set_up_writer,
)
from statusjob.server.store.sqlite_file import DatabaseFile
from statusjob.server.store.sqlite_upkeep import Upkeep

T = TypeVar("T")

#: The machine's clock counts as set if it differs by more than this many seconds from a clock that
#: nobody sets.
CLOCK_STEP = 2.0
#: A batch ends with the call that has lasted until so many seconds after its begin. The calls
#: that are left make up the next batch.
BATCH_SECONDS = 0.02
#: Seconds after which a batch notes the time, for the case that the clock is set back while the
#: server does not run.
NOTE_INTERVAL = 10.0

#: The oldest SQLite that has everything that is used here (C{IS DISTINCT FROM}).
OLDEST = (3, 39, 0)

#: Primary codes of errors that concern the whole database rather than one statement.
_DATABASE_ERRORS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
    }
)


class _Transaction:
    """A L{Tx} on a connection."""

    __slots__ = ("_connection", "now", "render", "updates")

    def __init__(
        self, connection: sqlite3.Connection, now: float, render: Callable[[Job], bytes]
    ) -> None:
        self._connection = connection
        self.now = now
        self.render = render
        self.updates: list[Update] = []

    def all(self, sql: str, /, **values: object) -> list[Row]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            # SQLite itself found no fault, so it was Python that could not read the text. Its
            # message, which shows the text, is left out.
            if hasattr(error, "sqlite_errorcode"):
                raise
            raise UnreadableRow("a row holds text that is not UTF-8") from None

    def one(self, sql: str, /, **values: object) -> Row | None:
        rows = self.all(sql, **values)
        return rows[0] if rows else None

    def execute(self, sql: str, /, **values: object) -> int:
        return self._connection.execute(sql, values).rowcount

    def announce(self, update: Update) -> None:
        self.updates.append(update)


class SQLiteStore:
    """
    A L{statusjob.server.store.interface.Store} in one SQLite file.

    @ivar committed: receives the updates of each commit, in order, before its writers are
        answered.
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        *,
        seconds: Callable[[], float],
        monotonic: Callable[[], float],
        lanes: Callable[[str], Lane],
        committed: Callable[[Sequence[Update]], None],
        render: Callable[[Job], bytes],
        connect: Connect = connect,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        The database is opened by L{open}.

        @param path: of the file, or C{:memory:}.
        @param seconds: gives the present, in seconds since the epoch; called in lanes.
        @param monotonic: gives the seconds of a clock that nobody sets; called in lanes.
        @param lanes: makes a lane of the name that it receives.
        @param render: makes the body that brings a job's state to webhooks; called in lanes.
        @param connect: opens the database at C{path}.
        @param pause: waits for so many seconds, before a start looks again whether another
            process has released the database.
        """
        self._path = path
        self._file = None if path == MEMORY else DatabaseFile(path, pause)
        self._connect = connect
        self._seconds = seconds
        self._monotonic = monotonic
        self._make_lane = lanes
        self.committed = committed
        self._render = render
        self._upkeep: Upkeep | None = None

    def open(self, prepare: Callable[[Tx], None]) -> None:
        """
        Lock, open and migrate the database and end all leases, at once and on this thread.

        @param prepare: runs at the end of the same transaction. What it announces reaches nobody:
            nobody listens yet.
        @raise StoreUnusable: if any of it cannot be done.
        """
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreUnusable(f"SQLite {sqlite3.sqlite_version} is too old: 3.39 is needed")
        try:
            self._connect_and_prepare(prepare)
        except (OSError, sqlite3.Error, StoreUnusable, UnreadableRow) as error:
            reason = str(error)
            if isinstance(error, sqlite3.Error):
                reason = explain(error, self._path, self._file is not None and self._file.had_log)
            self._release(discard=True)
            raise StoreUnusable(f"cannot use the database {self._path}: {reason}") from error
        self._ahead = self._now() - self._monotonic()
        self._write_lane = self._make_lane("statusjob-write")
        self._read_lane = (
            self._write_lane if self._path == MEMORY else self._make_lane("statusjob-read")
        )
        self._writes = Batches(
            self._write_lane,
            self._run_writes,
            self._announce,
            Outage("writing to the database", self._monotonic),
        )
        self._reads = Batches(
            self._read_lane,
            self._run_reads,
            _nothing_more,
            Outage("reading the database", self._monotonic),
            drop_cancelled=True,
        )

    def _connect_and_prepare(self, prepare: Callable[[Tx], None]) -> None:
        path = self._path
        if self._file is not None:
            self._file.lock()
            path = self._file.real_path
        self._writer = self._connect(path)
        # Nothing may be changed in another program's file.
        if not is_ours(self._writer):
            raise StoreUnusable("it holds something other than statusjob's tables")
        if self._file is not None:
            self._file.adopt()
        set_up_writer(self._writer, path)
        self._writer.execute("BEGIN IMMEDIATE")
        transaction = _Transaction(self._writer, self._now(), self._render)
        migrate(transaction, SQLITE)
        resume(transaction)
        prepare(transaction)
        self._writer.execute("COMMIT")
        self._noted_at = transaction.now
        self._reader = self._writer
        if self._file is not None:
            self._reader = connect_reader(self._connect, path)
            self._file.remember()
            self._upkeep = Upkeep(self._writer, self._file, self._monotonic)

    @property
    def description(self) -> str:
        """Which database is open, in words for people, and whether it was there before."""
        if self._file is None:
            return "the database is in memory: it ends with the process"
        done = "created" if self._file.created else "opened"
        return f"{done} the database {self._file.real_path}"

    def write(self, work: Callable[[Tx], T]) -> Deferred[T]:
        return self._writes.add(work)

    def read(self, work: Callable[[Tx], T]) -> Deferred[T]:
        return self._reads.add(work)

    async def close(self) -> None:
        """Finish the calls that wait, then close the file."""
        await self._writes.close()
        await self._reads.close()
        self._write_lane.close()
        if self._read_lane is not self._write_lane:
            self._read_lane.close()
        self._release()

    def abandon(self) -> None:
        """Close the file at once. No call may have been made before."""
        self._write_lane.close()
        self._read_lane.close()
        self._release()

    def _release(self, *, discard: bool = False) -> None:
        for name in ("_reader", "_writer"):
            connection = getattr(self, name, None)
            if connection is not None:
                connection.close()
        if self._file is not None:
            self._file.release(discard=discard)

    def _now(self) -> float:
        return round(self._seconds(), 3)

    def _announce(self, updates: list[Update]) -> None:
        if updates:
            self.committed(updates)

    def _run_writes(
        self, batch: Sequence[Callable[[Any], Any]]
    ) -> tuple[list[CallResult[Any]], list[Update]]:
        """Run a batch in one transaction. Runs in the write lane."""
        if self._file is not None:
            self._file.check()
        try:
            results = self._run_calls(batch, savepoints=False)
            if results is None:
                self._writer.execute("ROLLBACK")
                results = self._run_calls(batch, savepoints=True)
                assert results is not None
            if self._upkeep is not None:
                self._upkeep.step()
            self._writer.execute("COMMIT")
        except BaseException as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise _unavailable(error) from error
            raise
        if abs(self._step) > CLOCK_STEP:
            self._ahead += self._step
            self._log.info("the clock was set by {step:+.0f} s", step=self._step)
        return results

    def _run_calls(
        self, batch: Sequence[Callable[[Any], Any]], *, savepoints: bool
    ) -> tuple[list[CallResult[Any]], list[Update]] | None:
        """
        Begin a transaction and run calls in it, until there are none left or their time is up.

        @param savepoints: whether each call has a savepoint. They cost a tenth of a report, and
            are hardly ever needed.
        @return: C{None} if a call without a savepoint failed after it had changed something:
            the batch must be rolled back and run again, with savepoints.
        """
        execute = self._writer.execute
        end = self._monotonic() + BATCH_SECONDS
        results: list[CallResult[Any]] = []
        updates: list[Update] = []
        now = self._begin()
        for work in batch:
            transaction = _Transaction(self._writer, now, self._render)
            changes = self._writer.total_changes
            if savepoints:
                execute("SAVEPOINT call")
            try:
                results.append(CallResult(work(transaction)))
                updates += transaction.updates
            except Exception as error:
                if _concerns_database(error) or not self._writer.in_transaction:
                    raise
                if savepoints:
                    execute("ROLLBACK TO call")
                elif self._writer.total_changes != changes:
                    return None
                results.append(CallResult(error=error))
            if savepoints:
                execute("RELEASE call")
            if self._monotonic() > end:
                break
        return results, updates

    def _begin(self) -> float:
        """
        Begin a transaction that may change things, and look at the clock in it.

        @return: the present, in seconds since the epoch.
        """
        self._writer.execute("BEGIN IMMEDIATE")
        now = self._now()
        self._step = now - self._monotonic() - self._ahead
        if abs(self._step) > CLOCK_STEP:
            move_waits(_Transaction(self._writer, now, self._render), self._step)
        if abs(now - self._noted_at) > NOTE_INTERVAL:
            note_time(_Transaction(self._writer, now, self._render))
            self._noted_at = now
        return now

    def _run_reads(
        self, batch: Sequence[Callable[[Any], Any]]
    ) -> tuple[list[CallResult[Any]], None]:
        """Run a batch on one snapshot. Runs in the read lane."""
        end = self._monotonic() + BATCH_SECONDS
        results: list[CallResult[Any]] = []
        transaction = _Transaction(self._reader, self._now(), self._render)
        try:
            self._reader.execute("BEGIN")
            for work in batch:
                try:
                    results.append(CallResult(work(transaction)))
                except Exception as error:
                    if _concerns_database(error):
                        raise
                    results.append(CallResult(error=error))
                if self._monotonic() > end:
                    break
        except sqlite3.Error as error:
            raise _unavailable(error) from error
        finally:
            if self._reader.in_transaction:
                self._reader.execute("ROLLBACK")
        return results, None


def _nothing_more(_: None) -> None:
    """Reads announce nothing."""


def _concerns_database(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DATABASE_ERRORS


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return StoreFull("the database is full")
    hint = ""
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        hint = "; if a copy was restored: stop, remove the -wal and -shm files, copy again, start"
    return StoreUnavailable(f"the database is unavailable: {error}{hint}")
