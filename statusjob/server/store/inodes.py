"""
What the system knows of files: which one lies at a path, and who has locked it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from statusjob.server.store.interface import StoreUnavailable

#: The byte of the database that carries the lock.
_LOCK_BYTE = 2**62
_SET_LOCK: int | None = getattr(fcntl, "F_OFD_SETLK", None)
#: What systems say that have no such locks.
_NO_SUCH_LOCKS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

#: The device and the inode, which no two files share.
Identity = tuple[int, int]


def is_mount_point(path: str, table: str = "/proc/self/mountinfo") -> bool:
    """
    Whether something is mounted at a path without symbolic links.

    @param table: the mounts that this process sees; where there is no such file, nothing is known
        to be mounted.
    """
    try:
        lines = Path(table).read_bytes().splitlines()
    except OSError:
        return False
    wanted = os.fsencode(path)
    for byte in b"\\ \t\n":
        wanted = wanted.replace(bytes([byte]), b"\\%03o" % byte)
    return any(line.split(b" ", 5)[4:5] == [wanted] for line in lines)


def lock_inode(file: int) -> bool:
    """
    Lock a database against every other descriptor of it, under whatever name it was opened.

    @return: whether the system can do that.
    @raise BlockingIOError: if another descriptor has the lock.
    """
    if _SET_LOCK is None:
        return False
    # struct flock: the type, where the start counts from, the start, the length, no process.
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCK_BYTE, 1, 0)
    try:
        fcntl.fcntl(file, _SET_LOCK, lock)
    except OSError as error:
        if error.errno in _NO_SUCH_LOCKS:
            return False
        raise
    return True


def identity_of(found: os.stat_result) -> Identity:
    """Which file it is that was looked at."""
    return found.st_dev, found.st_ino


def identity_at(path: str) -> Identity | None:
    """Which file is at a path; C{None} if there is none."""
    try:
        return identity_of(os.stat(path))
    except OSError:
        return None


def same_at(path: str, identity: Identity | None) -> os.stat_result:
    """
    What is known of the file at a path.

    @raise StoreUnavailable: if it is not the one that is expected.
    """
    try:
        found = os.stat(path)
    except OSError:
        found = None
    if found is None or identity_of(found) != identity:
        raise StoreUnavailable("a file of the database was moved or deleted")
    return found
