"""The public names, and the modules that importing them does not load."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from twisted.trial.unittest import SynchronousTestCase

import statusjob
import statusjob.testing
import statusjob.version
from statusjob.version import installed_version

_UNWANTED = (
    "klein",
    "werkzeug",
    "httptools",
    "dotenv",
    "statusjob.server",
    "twisted.internet.reactor",
)
_SHOW_LOADED = f"""
import sys, statusjob, statusjob.testing
print(*sorted(sys.modules.keys() & {_UNWANTED}))
"""


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


class PublicNameTests(SynchronousTestCase):
    """The names of the package, and its version."""

    def test_every_public_name_is_there(self) -> None:
        for package in (statusjob, statusjob.testing):
            for name in package.__all__:
                self.assertTrue(hasattr(package, name), name)

    def test_every_public_error_has_one_base(self) -> None:
        for name in statusjob.__all__:
            value = getattr(statusjob, name)
            # BadSecret belongs to the signatures, which do not depend on the client.
            if name != "BadSecret" and _is_exception(value):
                self.assertTrue(issubclass(value, statusjob.StatusjobError), name)

    def test_the_tree_of_errors_in_the_documentation_is_the_real_one(self) -> None:
        documented = {}
        path: list[str] = []
        assert statusjob.__doc__ is not None
        for indent, name in re.findall(r"^((?:    )+)([A-Z]\w+)", statusjob.__doc__, re.MULTILINE):
            path[len(indent) // 4 - 1 :] = [name]
            documented[name] = path[-2] if path[1:] else "Exception"
        for name, parent in documented.items():
            bases = [base.__name__ for base in getattr(statusjob, name).__mro__[1:]]
            self.assertIn(parent, bases, name)
        errors = {name for name in statusjob.__all__ if _is_exception(getattr(statusjob, name))}
        self.assertEqual(errors - {"BadSecret"}, documented.keys())

    def test_every_name_that_ends_in_error_can_be_caught(self) -> None:
        for name in (each for each in statusjob.__all__ if each.endswith("Error")):
            self.assertTrue(issubclass(getattr(statusjob, name), Exception), name)

    def test_a_monitoring_that_timed_out_is_caught_as_any_other_timeout(self) -> None:
        self.assertTrue(issubclass(statusjob.MonitoringTimeout, TimeoutError))

    def test_importing_it_loads_neither_the_reactor_nor_what_only_the_server_needs(self) -> None:
        command = [sys.executable, "-c", _SHOW_LOADED]
        loaded = subprocess.run(command, capture_output=True, text=True, check=True)
        self.assertEqual(loaded.stdout.strip(), "")

    def test_the_version_is_that_of_the_installed_package(self) -> None:
        self.assertEqual(statusjob.__version__, version("statusjob"))

    def test_a_source_tree_that_was_not_installed_has_no_known_version(self) -> None:
        def not_found(name: str) -> str:
            raise PackageNotFoundError(name)

        self.patch(statusjob.version, "version", not_found)
        self.assertEqual(installed_version(), "0+unknown")
