"""
The file of a SQLite database: one process at a time may use it, and only its owner may read it.

Two locks keep other processes out, because a database is both an inode and a path: its pages are
in the inode, and the write-ahead log lies beside the path. A lock on a side file is for the path,
and where the system has open-file-description locks (Linux), one on the database itself is for
the inode, so that a hard link or a mount of the file is refused, too. That lock is far behind the
end of every file, and SQLite does not see it. Its descriptor may be closed only after every
connection: when a process closes any descriptor of a file, it loses the POSIX locks that SQLite
has there.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from twisted.logger import Logger

from statusjob.server.store.inodes import (
    Identity,
    identity_at,
    identity_of,
    is_mount_point,
    lock_inode,
    same_at,
)
from statusjob.server.store.interface import StoreUnavailable, StoreUnusable

#: For how many seconds a start waits for another process to release the database, and how often it
#: looks. A server that stops has the database until its last request is answered.
LOCK_WAIT = 10.0
LOCK_PAUSE = 0.1

#: How every SQLite database begins.
_MAGIC = b"SQLite format 3\0"
#: What stands at offset 18 of a database that has no write-ahead log, such as a copy by
#: C{VACUUM INTO}.
_WITHOUT_LOG = b"\1\1"
#: What SQLite keeps beside a database that is open.
_BESIDE = ("-wal", "-shm")


class DatabaseFile:
    """
    The file of one database.

    A start calls L{lock}, connects, finds out whether the database is its own or empty, and then
    calls L{adopt} and L{remember}. Nothing but the lock of the inode, which leaves no trace, is
    changed before L{adopt}.

    @ivar real_path: where SQLite opens the file and puts others beside it: symbolic links are
        followed. It is known after L{lock}.
    @ivar created: whether the file was created by L{lock}.
    @ivar had_log: whether a write-ahead log was there before, which an earlier process has not
        closed.
    """

    _log = Logger()

    def __init__(self, path: str, pause: Callable[[float], None]) -> None:
        """
        @param path: of the file; it need not exist.
        @param pause: waits for so many seconds.
        """
        self._path = path
        self._pause = pause
        self._file: int | None = None
        self._side: int | None = None
        self._adopted = False
        self._inode_is_locked = False
        self._identity: Identity | None = None
        self._beside: dict[str, Identity | None] = {}
        self.real_path = ""
        self.created = False
        self.had_log = False

    def lock(self) -> None:
        """
        Lock the file, and create it if there is none. Waits for a process that ends.

        @raise StoreUnusable: if the path is unsuitable or not permitted, or if another process
            still has the lock after L{LOCK_WAIT} seconds.
        """
        # Only now: a daemon changes its directory before it starts.
        self._path = os.path.abspath(self._path)
        self.real_path = os.path.realpath(self._path)
        self._side_path = f"{self.real_path}.lock"
        for waited in range(round(LOCK_WAIT / LOCK_PAUSE) + 1):
            if waited == 1:
                self._log.info(
                    "another statusjob is using {path}: waiting {seconds:g} s for its end",
                    path=self._path,
                    seconds=LOCK_WAIT,
                )
            if waited:
                self._pause(LOCK_PAUSE)
            try:
                if self._try_to_lock():
                    return
            except StoreUnusable:
                self.release()
                raise
            self.release()
        raise StoreUnusable("another statusjob is using it")

    def _try_to_lock(self) -> bool:
        self._refuse_unsuitable()
        # A side file that does not exist is created later: this may be another program's database.
        if not self._lock_side(create=False):
            return False
        if not self._open():
            return False
        assert self._file is not None
        try:
            self._inode_is_locked = lock_inode(self._file)
        except BlockingIOError:
            self.created = False
            return False
        self.had_log = os.path.exists(f"{self.real_path}-wal")
        self._refuse_unsuitable_content(os.pread(self._file, 512, 0))
        # Whoever created the file may have removed it meanwhile.
        return identity_of(os.fstat(self._file)) == identity_at(self.real_path)

    def _refuse_unsuitable(self) -> None:
        try:
            found = os.stat(self.real_path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreUnusable(f"cannot look at it: {error.strerror}") from error
        if stat.S_ISDIR(found.st_mode):
            raise StoreUnusable("it is a directory")
        if not stat.S_ISREG(found.st_mode):
            raise StoreUnusable("it is not a regular file")
        if is_mount_point(self.real_path):
            raise StoreUnusable(
                "the file alone is mounted, but SQLite keeps others beside it: mount its directory"
            )

    def _refuse_unsuitable_content(self, start: bytes) -> None:
        # SQLite would take a file of less than 512 bytes for an empty database, and overwrite it.
        if start and (len(start) < 512 or not start.startswith(_MAGIC)):
            raise StoreUnusable("it is not a database")
        # SQLite would write such a log over the file.
        log = f"{self.real_path}-wal"
        if self.had_log and start[18:20] == _WITHOUT_LOG and os.path.getsize(log):
            raise StoreUnusable(
                f"{log} is not its own, as if it was restored from a copy: remove {log} and"
                f" {self.real_path}-shm, and start again"
            )

    def _open(self) -> bool:
        """
        Open the file, or create it.

        @return: whether that was done. If not, another process has just created it.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        with _doing("open it for reading and writing"):
            try:
                self._file = os.open(self.real_path, flags)
            except FileNotFoundError:
                try:
                    self._file = os.open(self.real_path, flags | os.O_CREAT | os.O_EXCL, 0o600)
                except FileExistsError:
                    return False
                self.created = True
        return True

    def adopt(self) -> None:
        """
        Take possession of a database that is known to be statusjob's, or empty.

        @raise StoreUnusable: if something is not permitted, or another process was faster.
        """
        assert self._file is not None
        if self._side is None and not self._lock_side(create=True):
            self.created = False
            raise StoreUnusable("another statusjob is using it")
        self._adopted = True
        mode = stat.S_IMODE(os.fstat(self._file).st_mode)
        # A database holds the secrets of webhooks. An operator who shares it with a group has
        # thought about it; who shares it with everybody has not.
        if self.created or mode & stat.S_IRWXO:
            try:
                os.fchmod(self._file, 0o600)
            except PermissionError:
                self._log.warn(
                    "every user of this machine can read or write {path}, which holds the secrets"
                    " of webhooks, and only its owner can change that",
                    path=self._path,
                )

    def _lock_side(self, create: bool) -> bool:
        """
        Lock the side file. If there is none, and none is to be created, this does nothing.

        @return: whether no other process has the lock.
        """
        # A lock needs no right to write, so a group may share the database.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        mode = 0o600
        if create:
            flags |= os.O_CREAT
            mode = stat.S_IMODE(os.stat(self.real_path).st_mode)
        while True:
            with _doing(f"open {self._side_path}"):
                try:
                    side = os.open(self._side_path, flags, mode)
                except FileNotFoundError:
                    if create:
                        raise
                    return True
            try:
                fcntl.flock(side, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(side)
                return False
            if identity_of(os.fstat(side)) == identity_at(self._side_path):
                self._side = side
                return True
            # Its holder has removed it while it was being locked.
            os.close(side)

    def remember(self) -> None:
        """Remember which files lie at the database's paths now, for the checks."""
        assert self._file is not None
        self._identity = identity_of(os.fstat(self._file))
        for suffix in _BESIDE:
            path = self.real_path + suffix
            self._beside[path] = identity_at(path)

    def check(self) -> None:
        """
        Check that what is written now will be found by whoever opens the path later. This is cheap
        enough for every transaction.

        @raise StoreUnavailable: if the database was moved, deleted, replaced or emptied, or if
            another process may be using it.
        """
        if same_at(self._path, self._identity).st_size == 0:
            raise StoreUnavailable("the file of the database was emptied")
        if not self._inode_is_locked:
            assert self._side is not None
            same_at(self._side_path, identity_of(os.fstat(self._side)))
        if self._beside:
            self.check_beside()

    def check_beside(self) -> int:
        """
        Check the same of the write-ahead log and its index.

        @return: the size of the log in bytes.
        @raise StoreUnavailable: if one of them was moved, deleted or replaced.
        """
        log, _ = [same_at(path, identity) for path, identity in self._beside.items()]
        return log.st_size

    def release(self, *, discard: bool = False) -> None:
        """
        End the locks. Every connection must be closed.

        @param discard: remove the database again if L{lock} has created it.
        """
        if discard and self.created:
            for suffix in ("", "-journal", *_BESIDE):
                with suppress(FileNotFoundError):
                    os.unlink(self.real_path + suffix)
        if self._side is not None and self._adopted:
            ours = identity_of(os.fstat(self._side))
            # Where it was removed, the one that is there now is somebody else's.
            if ours == identity_at(self._side_path):
                os.unlink(self._side_path)
        for descriptor in (self._file, self._side):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._side = None
        self._adopted = self.created = False


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Say what could not be done."""
    try:
        yield
    except OSError as error:
        raise StoreUnusable(f"cannot {what}: {error.strerror}") from error
