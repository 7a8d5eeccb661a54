"""How much memory the page cache takes, by the limits of control groups."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.store.page_cache import DEFAULT, LEAST, page_cache_size

MIB = 1 << 20


class PageCacheTests(SynchronousTestCase):
    """A process that may have little memory has a small cache."""

    def size(self, groups: str, **limits: object) -> int:
        """
        The size with these control groups.

        @param limits: what the kernel's files say, by their paths with C{__} for each slash.
        """
        root = Path(self.mktemp())
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(groups)
        for name, limit in limits.items():
            version = "sys/fs/cgroup" if "max" in name else "sys/fs/cgroup/memory"
            file = root / version / name.replace("__", "/").replace("memory_max", "memory.max")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_name(file.name.replace("memory_limit", "memory.limit")).write_text(
                f"{limit}\n"
            )
        return page_cache_size(root)

    def test_without_control_groups_it_is_the_default(self) -> None:
        self.assertEqual(page_cache_size(Path(self.mktemp())), DEFAULT)
        self.assertEqual(DEFAULT, 16 * MIB)

    def test_the_limit_of_a_container_is_at_the_root_of_what_it_sees(self) -> None:
        for group in ("/", "/../../docker/4711"):
            self.assertEqual(self.size(f"0::{group}\n", memory_max=128 * MIB), 8 * MIB)
        self.assertEqual(
            self.size("4:cpu,memory:/docker/4711\n", memory_limit_in_bytes=64 * MIB), 4 * MIB
        )

    def test_the_smallest_limit_of_all_groups_around_counts(self) -> None:
        size = self.size(
            "1:name=systemd:/\n0::/system.slice/statusjob.service\n",
            system__memory_max=1,
            system_slice__memory_max="max",
            memory_max=96 * MIB,
        )
        self.assertEqual(size, 6 * MIB)
        self.assertEqual(self.size("0::/a/b\n", a__memory_max=80 * MIB), 5 * MIB)

    def test_without_a_limit_it_is_the_default(self) -> None:
        self.assertEqual(self.size("0::/\n", memory_max="max"), DEFAULT)
        self.assertEqual(self.size("4:memory:/\n", memory_limit_in_bytes=2**63 - 4096), DEFAULT)
        self.assertEqual(self.size("4:memory:/\n"), DEFAULT)

    def test_it_is_never_too_small_to_work(self) -> None:
        self.assertEqual(self.size("0::/\n", memory_max=16 * MIB), LEAST)
