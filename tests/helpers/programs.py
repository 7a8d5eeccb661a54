"""
Programs in processes of their own, for tests that need no reactor.

One server serves all tests of a class, since starting it is what takes time.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which a program that does not end, or does not start, fails its test.
PATIENCE = 60.0

_LISTENING = re.compile(r"(http://127\.0\.0\.1:[0-9]+)/?\s")


class ProgramEnded(Exception):
    """A program ended, or was silent for too long, before it did what a test waits for."""


class Program:
    """
    A program that runs beside the test. Its output and its errors go to one file.

    @ivar log: that file.
    """

    def __init__(
        self, arguments: Sequence[str], directory: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """
        @param directory: the working directory, where also the log is written.
        @param variables: environment variables beside those of L{environment}.
        """
        descriptor, name = tempfile.mkstemp(dir=directory, suffix=".log")
        self.log = Path(name)
        self._process = subprocess.Popen(
            arguments,
            cwd=directory,
            env=environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
        )
        os.close(descriptor)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_for(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """
        Wait until the program has written something that matches.

        @raise ProgramEnded: if it ends instead, or is silent for too long.
        """
        give_up_at = time.monotonic() + PATIENCE
        while True:
            # In this order: what it wrote before it ended counts.
            ended = self._process.poll() is not None
            written = self._written()
            found = re.search(pattern, written)
            if found is not None:
                return found
            if ended or time.monotonic() > give_up_at:
                raise ProgramEnded(f"{pattern!r} was not written, but: {written}")
            time.sleep(0.02)

    def url(self) -> str:
        """Wait until the program listens; the URL, without a slash at its end."""
        return self.wait_for(_LISTENING)[1]

    def finish(self) -> str:
        """
        Wait until the program ends.

        @return: what it wrote.
        @raise ProgramEnded: if it does not end well.
        """
        code = self._process.wait(PATIENCE)
        written = self._written()
        if code != 0:
            raise ProgramEnded(f"exit code {code}: {written}")
        return written

    def _written(self) -> str:
        # As it is: reading text would change the ends of lines.
        return self.log.read_bytes().decode()

    def kill(self) -> None:
        """End the program at once, if it still runs."""
        self._process.kill()
        self._process.wait(PATIENCE)


class ServedTestCase(SynchronousTestCase):
    """
    Tests that share one server, which the first of them starts.

    @cvar variables: the settings of the server.
    @cvar directory: the server's working directory; it is deleted with all that tests put there.
    @cvar url: the URL of the server.
    """

    variables: ClassVar[Mapping[str, str]] = {}
    directory: ClassVar[Path]
    url: ClassVar[str]
    _server: ClassVar[Program | None] = None

    def setUp(self) -> None:
        """Start the server, unless it runs."""
        if self._server is None:
            self._begin()

    @classmethod
    def tearDownClass(cls) -> None:
        """End the server. trial does not call this, so there it ends with the process."""
        if cls._server is not None:
            atexit.unregister(cls._end)
            cls._end()

    @classmethod
    def _begin(cls) -> None:
        cls.directory = Path(tempfile.mkdtemp(prefix="statusjob-"))
        arguments = [sys.executable, "-m", "twisted", "--log-format=text", "statusjob"]
        server = Program(arguments, cls.directory, {"PORT": "0", **cls.variables})
        cls._server = server
        atexit.register(cls._end)
        cls.url = server.url()

    @classmethod
    def _end(cls) -> None:
        server, cls._server = cls._server, None
        if server is not None:
            server.kill()
            shutil.rmtree(cls.directory)

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Program:
        """Start a program that is ended after the test."""
        program = Program(arguments, self.directory, variables)
        self.addCleanup(program.kill)
        return program

    def run_program(self, *arguments: str) -> str:
        """Run a program to its end; what it wrote."""
        return self.start(*arguments).finish()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of the server's answer, which must be a success."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def create(self, **members: object) -> str:
        """Create a job; its path."""
        job: str = self.ask("POST", "/jobs", members)["links"]["self"]
        return job


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    The environment of a program: that of the tests without settings of ours, with this project
    to import, and with output that is not held back.
    """
    ours = {setting.variable for setting in SETTINGS}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(variables or {})}
