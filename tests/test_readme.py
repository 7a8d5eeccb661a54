"""
What the README shows is run as it stands there; only host, port and waiting are made fit.

Its install commands are run by C{.ci/run}.
"""

from __future__ import annotations

import gzip
import os
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from statusjob.server.settings import SETTINGS
from tests.helpers.processes import ServerProcess, start

reactor: Any = _reactor

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Code in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def snippet(word: str) -> str:
    """The one snippet of Python in which a word stands."""
    (code,) = (each for each in blocks("python") if word in each)
    return code


class SnippetTests(TestCase):
    """Snippets and examples, each run against a server in a process of its own."""

    timeout = 60

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        """trial waits for a server that listens."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        return Deferred.fromCoroutine(self.serve())

    async def serve(self) -> None:
        """Start a server whose demo job ends soon."""
        self.server = await start(
            self.directory, {"STATUS_DELAY": "1500", "STATUSJOB_ERROR_RATE": "0"}
        )
        self.addCleanup(stop, self.server)

    @property
    def job(self) -> str:
        """The URL of a job, as an expression."""
        return rf"{re.escape(self.server.url)}/jobs/[0-9a-f-]{{36}}"

    async def run_program(self, *arguments: str, fails: bool = False) -> str:
        """Run a program to its end; what it printed."""
        out, err, code = await getProcessOutputAndValue(
            arguments[0], arguments[1:], env={"PYTHONPATH": str(ROOT), "PATH": path()}
        )
        self.assertEqual((err, code != 0), (b"", fails), out.decode() + err.decode())
        printed: str = out.decode()
        return printed

    async def run_snippet(self, code: str) -> str:
        """Run Python from the README against our server."""
        code = code.replace("http://localhost:8080", self.server.url)
        return await self.run_program(sys.executable, "-W", "error", "-c", code)

    async def test_waiting_for_the_demo_job_prints_how_it_ended(self) -> None:
        said = await self.run_snippet(snippet("on_update=print"))
        self.assertEqual(said, "pending\ncompleted\nit ended as completed\n")

    async def test_a_job_just_created_is_waited_for(self) -> None:
        said = await self.run_snippet(snippet("wait_for(job)"))
        self.assertRegex(said, rf"^{self.job} ended as completed\n$")

    async def test_updates_show_how_it_goes_on(self) -> None:
        said = (await self.run_snippet(snippet(".updates()"))).splitlines()
        self.assertEqual((said[0], said[-1]), ("pending None", "completed 1.0"))
        self.assertIn("pending 0.5", said)

    async def test_doing_a_job_ends_it(self) -> None:
        said = await self.run_snippet(snippet("job.progress("))
        self.assertRegex(said, rf"^watch it at {self.job}\ncompleted {{'language': 'de'}}\n$")

    async def test_being_told_by_webhook_ends_the_waiting(self) -> None:
        said = await self.run_snippet(on_a_free_port(snippet("webhook_url=")))
        self.assertEqual(said, "it ended as completed\n")

    async def test_a_memory_of_ones_own_remembers_what_a_webhook_told(self) -> None:
        file = str(self.directory / "handled.sqlite")
        code = on_a_free_port(snippet("StoredMemory")).replace('"handled.sqlite"', repr(file))
        self.assertEqual(await self.run_snippet(code), "told that it is completed\n")
        with closing(sqlite3.connect(file)) as database:
            [(id, order_key)] = database.execute("SELECT id, order_key FROM handled")
        self.assertRegex(id, "^msg_")
        self.assertGreater(order_key, 2**62)

    async def test_a_hostile_receiver_is_left_in_the_end(self) -> None:
        said = await self.run_snippet(snippet("HostileReceiver"))
        self.assertEqual(said, "[503, 204]\n[b'hello', b'hello']\n")

    async def test_a_hostile_receiver_runs_from_the_shell(self) -> None:
        (command,) = (each for each in blocks("sh") if "statusjob.testing" in each)
        command = command.replace(".venv/bin/python", sys.executable).replace("9090", "0")
        process = ServerProcess()
        environment = {"PYTHONPATH": str(ROOT), "PATH": path()}
        reactor.spawnProcess(process, "/bin/sh", ["sh", "-c", "exec " + command], environment)
        self.addCleanup(stop, process)
        await process.listening
        said = await self.run_program("/bin/sh", "-c", f"curl -si -d hello {process.url}/hook")
        self.assertIn("503 Service Unavailable\r\nRetry-After: 120\r\n", said)

    async def test_every_curl_works(self) -> None:
        said = ""
        for block in blocks("sh"):
            if "curl" in block:
                code = block.replace("http://localhost:8080", self.server.url)
                said += await self.run_program("/bin/bash", "-euc", code)
        self.assertIn('{"result":"pending"}', said)
        self.assertIn('"progress":0.5,"message":"half the rows"', said)
        self.assertIn('"result":"completed"', said)
        self.assertIn("Preference-Applied: wait=50", said)
        self.assertIn("event: job.completed\n", said)
        self.assertIn('"type":"webhook.test"', said)
        self.assertIn('{"redelivered":0}', said)

    async def test_basic_polling_follows_the_demo_job(self) -> None:
        said = await self.run_example("basic_polling.py", self.server.url)
        self.assertRegex(said, r"^ +0\.\d s  pending\n +\d\.\d s  completed\n$")

    async def test_webhook_monitoring_hears_of_the_end_by_webhook(self) -> None:
        said = await self.run_example("webhook_monitoring.py", self.server.url)
        # Whichever comes first.
        self.assertRegex(said, r"a webhook says completed\n")
        self.assertRegex(said, r"(?m)s  completed$")

    async def test_compress_file_compresses_and_completes(self) -> None:
        file = self.directory / "file"
        content = bytes(range(256)) * 8192
        file.write_bytes(content)
        said = await self.run_example("compress_file.py", str(file), self.server.url)
        self.assertRegex(said, r"pending\n(.*\n)*completed\n$")
        self.assertEqual(gzip.decompress((self.directory / "file.gz").read_bytes()), content)

    async def run_example(self, name: str, *arguments: str) -> str:
        """Run an example; what it printed."""
        program = str(ROOT / "examples" / name)
        return await self.run_program(sys.executable, "-W", "error", program, *arguments)


class SettingsTests(SynchronousTestCase):
    """The settings are told in three places."""

    def test_the_readme_names_every_setting(self) -> None:
        for setting in SETTINGS:
            self.assertIn(f"| `--{setting.option}` | `{setting.variable}` |", README)

    def test_the_example_of_a_dotenv_names_every_setting_and_its_default(self) -> None:
        example = (ROOT / ".env.example").read_text()
        for setting in SETTINGS:
            self.assertRegex(example, rf"(?m)^#{setting.variable}=")
            if setting.default is not None:
                self.assertIn(f"#{setting.variable}={setting.default}\n", example)


def on_a_free_port(code: str) -> str:
    """The same receiver, which knows its port beforehand, on whatever port is free."""
    code = code.replace("tcp:9090:", "tcp:0:", 1)
    code = code.replace("    await serverFromString", "    port = await serverFromString")
    return code.replace('"http://localhost:9090/"', 'f"http://127.0.0.1:{port.getHost().port}/"')


async def stop(server: ServerProcess) -> None:
    """End a server."""
    server.kill()
    await server.ended


def path() -> str:
    """Where programs are found."""
    return os.environ.get("PATH", "/usr/bin:/bin")
