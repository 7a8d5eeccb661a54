"""The plugin: twistd and twist find it, and the service that it makes is not started."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin, getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from statusjob.server import tap
from statusjob.server.service import Server
from statusjob.server.settings import resolve
from statusjob.server.signals import Signals
from tests.helpers.lanes import InlineLane
from tests.helpers.servers import directory


class PluginTests(SynchronousTestCase):
    """The plugin among all plugins of this installation."""

    def setUp(self) -> None:
        found: list[Any] = [p for p in getPlugins(IServiceMaker) if p.tapname == "statusjob"]
        (self.plugin,) = found

    def test_the_plugin_provides_the_interfaces_of_twistd(self) -> None:
        verifyObject(IPlugin, self.plugin)
        verifyObject(IServiceMaker, self.plugin)
        self.assertTrue(self.plugin.description)

    def test_the_plugin_has_the_options_of_the_server(self) -> None:
        self.assertIs(self.plugin.options, tap.Options)

    def test_makeService_opens_nothing(self) -> None:
        path = directory(self) / "jobs.sqlite"
        options = tap.Options()
        options.settings = resolve({"database": str(path), "port": "0"}, {}, {})
        service = self.plugin.makeService(options)
        verifyObject(IService, service)
        self.assertIsInstance(service, Server)
        self.assertEqual(service.ports, [])
        self.assertFalse(path.exists())

    def test_signals_are_handled_until_every_other_part_has_stopped(self) -> None:
        options = tap.Options()
        options.settings = resolve({}, {}, {})
        first, *others = self.plugin.makeService(options).parts
        self.assertIsInstance(first, Signals)
        self.assertTrue(others)

    def test_garbage_collection_skips_what_was_imported(self) -> None:
        options = tap.Options()
        options.settings = resolve({}, {}, {})
        gc.unfreeze()
        self.addCleanup(gc.unfreeze)
        self.plugin.makeService(options)
        imported = len(gc.get_objects(generation=2))
        self.assertGreater(gc.get_freeze_count(), 10_000)
        self.assertLess(imported, 1_000)

    def test_looking_for_the_plugin_imports_neither_klein_nor_the_server(self) -> None:
        program = (
            "import sys; from twisted.plugin import getPlugins;"
            "from twisted.application.service import IServiceMaker;"
            "print(*sorted(p.description for p in getPlugins(IServiceMaker)"
            " if p.tapname == 'statusjob'));"
            "sys.exit(any(name in sys.modules for name in ('klein', 'statusjob.server.tap')))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout.decode().strip(), self.plugin.description)


class StartTests(SynchronousTestCase):
    """A start that fails raises C{SystemExit} with one line, and leaves nothing open."""

    def start(self, **variables: str) -> str:
        server = Server(
            MemoryReactorClock(), resolve({}, variables, {}), lanes=lambda name: InlineLane()
        )
        error = self.assertRaises(SystemExit, server.startService)
        message = str(error.code)
        self.assertEqual(message.splitlines(), [message])
        self.assertTrue(message.startswith("statusjob: "), message)
        self.successResultOf(server.stopService())
        return message

    def test_a_database_that_cannot_be_opened_ends_the_start(self) -> None:
        path = str(directory(self))
        self.assertIn(path, self.start(STATUSJOB_DATABASE=path))

    def test_a_port_that_cannot_be_opened_ends_the_start(self) -> None:
        message = self.start(STATUSJOB_DATABASE=":memory:", STATUSJOB_ENDPOINT="bogus")
        self.assertIn("bogus", message)

    def test_a_start_that_ends_without_a_port_leaves_the_database_unlocked(self) -> None:
        path = str(directory(self) / "jobs.sqlite")
        for _ in range(2):
            self.assertIn("bogus", self.start(STATUSJOB_DATABASE=path, STATUSJOB_ENDPOINT="bogus"))
