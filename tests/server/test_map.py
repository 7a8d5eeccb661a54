"""The map of the server: every file that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from statusjob import server
from statusjob.server import delivery

ROOT = Path(server.__file__).parent


class MapTests(SynchronousTestCase):
    """Names in the docstrings of the server and of its delivery."""

    def test_every_file_of_the_map_exists(self) -> None:
        names = set(re.findall(r"C\{([\w/]+\.py)\}", server.__doc__ or ""))
        self.assertGreater(len(names), 30)
        for name in names:
            there = [each for each in (ROOT, ROOT.parent) if (each / name).is_file()]
            self.assertTrue(there, name)

    def test_the_map_names_every_room(self) -> None:
        rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
        for room in rooms:
            self.assertIn(f"C{{{room}/", server.__doc__ or "")

    def test_every_module_that_delivery_refers_to_exists(self) -> None:
        names = set(re.findall(r"statusjob\.server\.([\w.]+)[>}]", delivery.__doc__ or ""))
        self.assertGreater(len(names), 5)
        for name in names:
            self.assertTrue((ROOT / f"{name.replace('.', '/')}.py").is_file(), name)
