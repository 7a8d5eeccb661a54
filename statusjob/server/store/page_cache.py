"""
How much memory the database's pages may take: little, where the process has little.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: The page cache in bytes, and the least that it is made to be.
DEFAULT = 16 << 20
LEAST = 2 << 20
#: The cache takes at most this part of the memory that the process may have.
PART = 16


def page_cache_size(root: Path = Path("/")) -> int:
    """
    The size of the page cache in bytes: L{DEFAULT}, or less if the control group of this process
    limits its memory (Linux: containers, C{MemoryMax=} of systemd).

    @param root: where the file system of the machine begins.
    """
    limits = [int(text) for text in _limits(root) if text.isdecimal()]
    return min(DEFAULT, max(LEAST, min(limits) // PART)) if limits else DEFAULT


def _limits(root: Path) -> Iterator[str]:
    """The limits of the process's control groups, by both versions of the kernel's interface."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        # In a container the path may be the host's, and the limit that counts is at the root.
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for each in (group, *group.parents):
            try:
                yield (base / each / name).read_text().strip()
            except OSError:
                continue
