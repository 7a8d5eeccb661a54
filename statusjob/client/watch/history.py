"""
How long past jobs took, per kind, as a client remembers it.

The durations are kept in memory, and in a small file if that is wanted, so that
they outlive the process. What follows from them is computed in
L{statusjob.pace.durations}.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import DecodeError, Raw, json
from twisted.logger import Logger

from statusjob.pace.durations import REMEMBERED, Durations
from statusjob.pace.schedule import PollingSchedule

try:
    import fcntl
except ImportError:  # Windows has no such locks.
    fcntl = None  # type: ignore[assignment]

#: The most kinds that are remembered. Beyond that, the least recently used one is forgotten.
KINDS = 100
#: A larger file (in bytes) was not written by this module: that many kinds take less.
FILE_LIMIT = 2 * 1024 * 1024
#: Longest time in seconds to wait for another process that changes the file. This blocks the
#: reactor; a change takes less than a millisecond.
LOCK_WAIT = 0.005
_LOCK_STEP = 0.0005
#: How many polling schedules are cached.
_SCHEDULES = 16


class DurationMemory:
    """
    Remembers durations, by keys that stand for kinds of jobs.

    With a path, they are also kept in that file. It is read at once. Whenever there is something
    new, it is read again and then replaced in one step under a lock, so that several processes
    may share it. Its permissions stay as they are. If it is damaged, or cannot be read or written,
    that is logged, and durations are remembered in memory only.
    """

    _log = Logger()

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """
        @param path: the path of the file, which need not exist yet, in a directory that exists;
            C{None} for no file.
        """
        # If it is a symbolic link, its target is replaced.
        self._path = None if path is None else Path(os.path.realpath(path))
        # What is not in the file yet: the key, and the two ages of each job.
        self._unsaved = deque[tuple[str, float, float]](maxlen=REMEMBERED)
        # Encoded: that takes little memory, and only the kinds that are used are ever decoded.
        self._kinds = OrderedDict[str, Raw]()
        self._make_schedule = lru_cache(_SCHEDULES)(Durations.plan)
        if self._path is not None:
            self._read(self._path)

    def recall(self, key: str) -> Durations:
        """Return the durations of one kind."""
        if key not in self._kinds:
            return Durations()
        self._kinds.move_to_end(key)
        try:
            return json.decode(self._kinds[key], type=Durations)
        except (ValueError, DecodeError) as error:
            self._log_damage(error)
            del self._kinds[key]
            return Durations()

    def plan(self, key: str, request_cost: float) -> PollingSchedule:
        """
        Return when to ask about the next job of one kind.

        @param request_cost: what a request costs, in seconds of delay.
        """
        return self._make_schedule(self.recall(key), request_cost)

    def learn(self, key: str, low: float, high: float) -> None:
        """
        Remember how long a job took.

        @param low: an age in seconds at which it was pending.
        @param high: an age in seconds at which it had ended; C{low} if its duration is known.
        """
        if self._path is None:
            self._add(key, low, high)
            return
        self._unsaved.append((key, low, high))
        with _lock(self._path.parent) as locked:
            if self._read(self._path):
                for each in self._unsaved:
                    self._add(*each)
            else:
                self._add(key, low, high)
            # Without the lock, it is saved together with the next one.
            if locked and self._write(self._path):
                self._unsaved.clear()

    def _add(self, key: str, low: float, high: float) -> None:
        self._kinds[key] = Raw(json.encode(self.recall(key).learn(low, high)))
        while len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)

    def _read(self, path: Path) -> bool:
        """Read the file. If that is not possible, log it, and return C{False}."""
        try:
            with path.open("rb") as file:
                content = file.read(FILE_LIMIT + 1)
            if len(content) > FILE_LIMIT:
                raise ValueError(f"it is larger than {FILE_LIMIT} bytes")
            self._kinds = OrderedDict(json.decode(content, type=dict[str, Raw]))
        except FileNotFoundError:
            # It is created when there is something to keep.
            return False
        except (OSError, ValueError, DecodeError, RecursionError) as error:
            self._log_damage(error)
            return False
        return True

    def _log_damage(self, problem: Exception) -> None:
        self._log.warn("the durations of past jobs were not read: {problem}", problem=str(problem))

    def _write(self, path: Path) -> bool:
        """Replace the file. If that is not possible, log it, and return C{False}."""
        temporary = None
        try:
            # This does not wait for the disk, which would block the reactor: if the machine fails
            # now, only durations are lost, which can be learned again.
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                temporary = file.name
                file.write(json.encode(self._kinds))
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
            os.replace(temporary, path)
        except (OSError, ValueError) as error:
            self._log.warn(
                "the durations of past jobs were not saved: {problem}", problem=str(error)
            )
            if temporary is not None:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
            return False
        return True


@contextmanager
def _lock(directory: Path) -> Iterator[bool]:
    """
    Hold the lock that all processes share which change a file in a directory.

    The value is whether it was obtained within L{LOCK_WAIT}. Where there are no such locks, it is
    C{True}. It is a lock of the directory, because the file itself is replaced by another one.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        # There is no such directory, or the system cannot open one.
        yield True
        return
    try:
        yield fcntl is None or _flock(descriptor)
    finally:
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    tries = max(1, round(LOCK_WAIT / _LOCK_STEP))
    for _ in range(tries):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_STEP)
        except OSError:
            # The file system has no locks.
            return True
        else:
            return True
    return False


_shared = WeakKeyDictionary[Any, DurationMemory]()


def shared_memory(reactor: object) -> DurationMemory:
    """
    Return the memory that all clients of C{reactor} share if they are given no other.

    A client watches one job, so what it learns is only of use to later clients. A test has a clock
    of its own, and so does not learn from other tests.
    """
    return _shared.setdefault(reactor, DurationMemory())
