"""
The interface of the store: what a transaction can do, and what a store promises.

Work is a function of a transaction. L{Store.write} runs it and answers after
its change is on disk; L{Store.read} runs it on a snapshot. SQL is plain, with
C{:name} parameters, one text for every engine. What a transaction announces
reaches the feed after its commit, in commit order, before its writer is
answered: so nothing that must happen may stand after C{await store.write(...)}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred

from statusjob.jobs import Job

T = TypeVar("T")


class StoreUnusable(Exception):
    """The database cannot be opened; the message is one line that says which and why."""


class StoreUnavailable(Exception):
    """The database cannot do this at present; the same may succeed later."""


class StoreFull(StoreUnavailable):
    """There is no room for a write."""


class StoreBusy(StoreUnavailable):
    """More is waiting than the store is willing to queue."""


class Update(Struct, frozen=True, kw_only=True):
    """
    One accepted change, as the feed brings it.

    A report that changes nothing but renews the heartbeat is announced too, with the version
    that listeners know already.

    @ivar job: the job's full state; C{None} if no job changed and only deliveries were written.
    @ivar changed: whether its version is new.
    @ivar due_at: when the job's next alarm rings, in seconds since the epoch, or C{None}.
    @ivar deliveries: how many deliveries the change wrote.
    """

    job: Job | None = None
    changed: bool = False
    due_at: float | None = None
    deliveries: int = 0


class Row(Protocol):
    """A row of a result: values by the name of their column, or all in order."""

    def __getitem__(self, column: str, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Tx(Protocol):
    """A transaction in progress; only usable inside the function that it is given to."""

    @property
    def now(self) -> float:
        """SQL's only clock: seconds since the epoch, whole milliseconds."""

    def all(self, sql: str, /, **values: object) -> list[Row]:
        """Every row of a statement's result."""

    def one(self, sql: str, /, **values: object) -> Row | None:
        """The first row of a statement's result, if it has any."""

    def execute(self, sql: str, /, **values: object) -> int:
        """Run a statement without a result; the number of rows that it changed."""

    def render(self, job: Job) -> bytes:
        """
        The body that brings this state of a job to webhooks. The store only keeps it: how it is
        made was decided by whoever made the store.
        """

    def announce(self, update: Update) -> None:
        """Hand C{update} to the feed once this transaction is on disk, and not if it fails."""


class Store(Protocol):
    """
    Where transactions run.

    Cancelling what C{write} or C{read} returned abandons the wait only.
    """

    def write(self, work: Callable[[Tx], T]) -> Deferred[T]:
        """
        Run C{work} in a transaction that may change things; answer when that is on disk.

        The Deferred fails with what C{work} raised (and nothing of it is kept), or with
        L{StoreUnavailable}.
        """

    def read(self, work: Callable[[Tx], T]) -> Deferred[T]:
        """Run C{work} on a snapshot of all that is committed."""
