"""
The interface of the store: what a transaction can do, and what a store promises.

Work is a function of a transaction. L{Store.write} runs it and answers after its change is on
disk; L{Store.read} runs it on a snapshot. What a transaction announces reaches the feed after its
commit, in commit order, before its writer is answered. A writer may be cancelled while it waits
for its answer: what must happen is announced, and does not stand after C{await store.write(...)}.

SQL is plain, with C{:name} parameters, and meant to be the same for every engine. What belongs to
one engine only is named as such: spellings in L{statusjob.server.store.schema}, and in
L{statusjob.server.store.single_process} what is right only where one process has the database to
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred

from statusjob.jobs import Job

T = TypeVar("T")


class StoreUnusable(Exception):
    """The database cannot be opened. The message is one line that says which one, and why."""


class StoreUnavailable(Exception):
    """The database cannot do this now; the same call may succeed later."""


class StoreFull(StoreUnavailable):
    """There is no room on the disk for a write."""


class StoreBusy(StoreUnavailable):
    """Too many calls wait for the store already."""


class UnreadableRow(Exception):
    """
    A row holds text that is not UTF-8, or not the JSON that it should be: somebody has changed it
    by hand, or the disk is failing. Whoever reads many rows goes on without this one.
    """


class Update(Struct, frozen=True, kw_only=True):
    """
    One accepted change, as the feed brings it.

    A report that only renews the heartbeat is announced too, with a version that listeners know
    already.

    @ivar job: the job's full state; C{None} if only deliveries were written, or if a job was
        deleted.
    @ivar changed: whether the job's version is new.
    @ivar due_at: when the job's next alarm is due, in seconds since the epoch; C{None} without
        an alarm.
    @ivar deliveries: how many deliveries the change wrote.
    @ivar deleted: the id of a job that was deleted; C{None} if none was.
    """

    job: Job | None = None
    changed: bool = False
    due_at: float | None = None
    deliveries: int = 0
    deleted: str | None = None


class Row(Protocol):
    """A row of a result: a value by the name of its column, or all values in order."""

    def __getitem__(self, column: str, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Tx(Protocol):
    """A transaction in progress. It is usable only inside the function that received it."""

    @property
    def now(self) -> float:
        """The present, in seconds since the epoch, in whole milliseconds: SQL's only clock."""

    def all(self, sql: str, /, **values: object) -> list[Row]:
        """
        Run a statement, and return all rows of its result.

        @raise UnreadableRow: if one of them cannot be read.
        """

    def one(self, sql: str, /, **values: object) -> Row | None:
        """
        Run a statement, and return the first row of its result, or C{None}.

        @raise UnreadableRow: if it cannot be read.
        """

    def execute(self, sql: str, /, **values: object) -> int:
        """Run a statement that has no result, and return how many rows it changed."""

    def render(self, job: Job) -> bytes:
        """
        The body that brings this state of a job to webhooks, by the function that the store was
        given for it.
        """

    def announce(self, update: Update) -> None:
        """Hand C{update} to the feed once this transaction is on disk; not if it fails."""


class Store(Protocol):
    """
    Runs transactions.

    Cancelling a Deferred of C{write} or C{read} ends only the wait, not the transaction.
    """

    def write(self, work: Callable[[Tx], T]) -> Deferred[T]:
        """
        Run C{work} in a transaction that may change the database.

        @return: fires with the value of C{work} once its changes are on disk. Fails with what
            C{work} raised, and then none of its changes is kept, or with L{StoreUnavailable}.
        """

    def read(self, work: Callable[[Tx], T]) -> Deferred[T]:
        """
        Run C{work} on a snapshot of everything that is committed.

        @return: fires with the value of C{work}. Fails with what C{work} raised, or with
            L{StoreUnavailable}.
        """
