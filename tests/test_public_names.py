"""What C{import statusjob} gives, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

import statusjob
import statusjob.testing

_SHOW_WHAT_CAME_ALONG = """
import sys, statusjob, statusjob.testing
print(*sorted(name for name in sys.modules if "klein" in name or name.endswith(".reactor")))
"""


class PublicNameTests(SynchronousTestCase):
    """The package itself."""

    def test_every_public_name_is_there(self) -> None:
        for package in (statusjob, statusjob.testing):
            for name in package.__all__:
                self.assertTrue(hasattr(package, name), name)

    def test_every_public_error_has_one_base(self) -> None:
        for name in statusjob.__all__:
            value = getattr(statusjob, name)
            # A bad secret is signing's own, which knows no client.
            if name != "BadSecret" and isinstance(value, type) and issubclass(value, Exception):
                self.assertTrue(issubclass(value, statusjob.StatusjobError), name)

    def test_importing_it_imports_neither_klein_nor_the_reactor(self) -> None:
        command = [sys.executable, "-c", _SHOW_WHAT_CAME_ALONG]
        came = subprocess.run(command, capture_output=True, text=True, check=True)
        self.assertEqual(came.stdout.strip(), "")
