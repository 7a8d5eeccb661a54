"""
What a client remembers of past jobs: how long they took, kind by kind.

In memory, or in a small file from one run to the next. What the durations are
good for is decided in L{statusjob.pace.durations}; whose they are, by whoever asks.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import Raw, json
from twisted.logger import Logger

from statusjob.pace.durations import Durations
from statusjob.pace.schedule import PollingSchedule

#: Of so many kinds something is remembered; beyond, the one that was longest unused is forgotten.
KINDS = 100
#: A larger file (bytes) is none of ours: that many kinds take less.
FILE_LIMIT = 2 * 1024 * 1024
#: So many plans are kept ready.
_PLANS = 16


class DurationMemory:
    """
    Remembers durations, by keys that stand for kinds.

    With a path they are kept in that file: read now, and whenever there is something new read
    again and written, whole and in one step, so that several may share it. A file that is
    damaged, or cannot be read or written, is logged and done without.
    """

    _log = Logger()

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """
        @param path: of a file that need not exist yet, in a directory that does; C{None} for
            none.
        """
        self._path = None if path is None else Path(path)
        # Encoded: that is small, and a file need not be read further than what is asked for.
        self._kinds = OrderedDict[str, Raw]()
        self._planned = lru_cache(_PLANS)(Durations.plan)
        if self._path is not None:
            self._read(self._path)

    def recall(self, key: str) -> Durations:
        """The durations of one kind."""
        if key not in self._kinds:
            return Durations()
        self._kinds.move_to_end(key)
        try:
            return json.decode(self._kinds[key], type=Durations)
        except ValueError as error:
            self._afresh(error)
            del self._kinds[key]
            return Durations()

    def plan(self, key: str, r: float) -> PollingSchedule:
        """
        When to ask about the next job of one kind.

        @param r: what a request is worth, in seconds.
        """
        return self._planned(self.recall(key), r)

    def learn(self, key: str, low: float, high: float) -> None:
        """
        Remember a job.

        @param low: an age in seconds at which it was pending, and
        @param high: one at which it had ended; the same, if its duration is known.
        """
        if self._path is not None:
            self._read(self._path)
        self._kinds[key] = Raw(json.encode(self.recall(key).learn(low, high)))
        while len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)
        if self._path is not None:
            self._write(self._path)

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                content = file.read(FILE_LIMIT + 1)
            if len(content) > FILE_LIMIT:
                raise ValueError(f"it is larger than {FILE_LIMIT} bytes")
            self._kinds = OrderedDict(json.decode(content, type=dict[str, Raw]))
        except FileNotFoundError:
            # It will be made when there is something to keep.
            return
        except (OSError, ValueError, RecursionError) as error:
            self._afresh(error)

    def _afresh(self, problem: Exception) -> None:
        self._log.warn("durations are learned afresh: {problem}", problem=str(problem))

    def _write(self, path: Path) -> None:
        temporary = None
        try:
            # Not forced to the disk: a machine that fails at this moment loses only what can be
            # learned again, and waiting for the disk would stop the reactor.
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                temporary = file.name
                file.write(json.encode(self._kinds))
            os.replace(temporary, path)
        except (OSError, ValueError) as error:
            self._log.warn("durations are not kept: {problem}", problem=str(error))
            if temporary is not None:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)


_shared = WeakKeyDictionary[Any, DurationMemory]()


def shared_memory(reactor: object) -> DurationMemory:
    """
    The memory of all clients of one reactor that name none of their own.

    A client watches one job, so what it learns must outlive it to be of use. A process has one
    reactor; a test has its own clock, and does not learn from other tests.
    """
    return _shared.setdefault(reactor, DurationMemory())
