"""
What the documents show is run as it stands there; only hosts, ports and waiting are made fit.

The commands that install and start everything are run by C{.ci/run}.
"""

from __future__ import annotations

import gzip
import re
import shutil
import sys
import textwrap
import urllib.parse
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

import statusjob.server.web.root  # noqa: F401  (It declares all routes.)
from statusjob.server.settings import SETTINGS
from statusjob.server.web.routing import ROUTES
from tests.helpers.programs import ROOT, Program, ServedTestCase

README = (ROOT / "README.md").read_text()
DEPLOYMENT = (ROOT / "examples/deploy/README.md").read_text()
REFERENCE = (ROOT / "examples/http/README.md").read_text()
CONTRIBUTING = (ROOT / ".github/CONTRIBUTING.md").read_text()
DOCUMENTS = (
    "README.md",
    ".github/CHANGELOG.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
    "examples/deploy/README.md",
    "examples/http/README.md",
    "tests/benchmarks/README.md",
)
#: The server in all that the documents show.
SHOWN = "http://localhost:8080"

#: Wraps the first lines of the README, which name what the other snippets make.
FIRST_LINES = """
from twisted.internet.task import react
from statusjob import WorkerClient, wait_for

async def translate(job):
    job.progress(0.5)

async def main(reactor):
    worker = WorkerClient("http://localhost:8080")
    job = await worker.create()
{code}

react(main)
"""

#: An C{EventSource} as far as the README uses it: node has none before version 22. The first one
#: is closed, as by a 502 of a proxy, and time passes at once.
EVENT_SOURCE = """
const wait = setTimeout;
globalThis.setTimeout = (call, _, ...given) => wait(call, 0, ...given);

class EventSource {
  static CLOSED = 2;
  static opened = 0;
  constructor(url) {
    this.listeners = {};
    EventSource.opened += 1;
    wait(() => EventSource.opened === 1 ? this.fail() : this.read(url), 0);
  }
  addEventListener(type, listener) { this.listeners[type] = listener; }
  close() { this.readyState = EventSource.CLOSED; }
  fail() {
    this.close();
    this.onerror();
  }
  async read(url) {
    for (const block of (await (await fetch(url)).text()).split("\\n\\n")) {
      const type = /^event: (.*)$/m.exec(block), data = /^data: (.*)$/m.exec(block);
      if (type) this.listeners[type[1]]({ data: data[1] });
    }
  }
}
"""


def blocks(language: str) -> list[str]:
    """Code in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def snippet(language: str, word: str) -> str:
    """The first block of code in the README in which a word stands."""
    return next(code for code in blocks(language) if word in code)


class SnippetTests(ServedTestCase):
    """What the README shows, run against one server, whose demo job ends soon."""

    variables: ClassVar = {"STATUS_DELAY": "100", "STATUSJOB_ERROR_RATE": "0"}

    def start_python(self, code: str, base: str = "") -> Program:
        """
        Start Python from the README against our server.

        @param base: the path of the job to watch instead of the demo job.
        """
        code = code.replace(SHOWN, self.url + base).replace('"delay": 2', '"delay": 0.2')
        return self.start(sys.executable, "-W", "error", "-c", code)

    def run_shell(self, code: str) -> str:
        """Run commands from the README against our server; what they wrote."""
        code = code.replace(SHOWN, self.url).replace('"delay": 2', '"delay": 0.2')
        return self.run_program("/bin/bash", "-euc", code)

    @property
    def job(self) -> str:
        """The URL of any job, as an expression."""
        return rf"{re.escape(self.url)}/jobs/[0-9a-f-]{{36}}"

    def test_the_first_lines_do_a_job_and_wait_for_it(self) -> None:
        code = textwrap.indent(snippet("python", "await wait_for(job.url)"), "    ")
        program = self.start_python(FIRST_LINES.format(code=code))
        self.assertEqual(program.finish(), "completed\n")

    def test_work_in_a_thread_is_run_to_its_end(self) -> None:
        written = self.start_python(snippet("python", "deferToThread(encode, job)")).finish()
        self.assertEqual(written, "completed {'parts': 8}\n")

    def test_running_a_job_reports_its_end_and_output(self) -> None:
        written = self.start_python(
            snippet("python", "worker.run(job, translate)\n    pr")
        ).finish()
        self.assertRegex(written, rf"^watch it at {self.job}\ncompleted {{'language': 'de'}}\n$")

    def test_a_job_just_created_is_waited_for(self) -> None:
        written = self.start_python(snippet("python", "await wait_for(job)\n")).finish()
        self.assertRegex(written, rf"^{self.job} ended as completed None None\n$")

    def test_updates_follow_the_progress_to_the_end(self) -> None:
        written = self.start_python(snippet("python", ".updates()")).finish().splitlines()
        self.assertEqual(written[-1], "completed 1.0")
        for update in written[:-1]:
            self.assertRegex(update, r"^pending (None|0\.\d+)$")

    def test_a_webhook_is_registered_while_a_client_waits(self) -> None:
        job = self.create()
        program = self.start_python(on_a_free_port(snippet("python", "webhook_url=")), job)
        while job.rpartition("/")[2] not in [
            webhook["job"] for webhook in self.ask("GET", "/webhooks?limit=100")["webhooks"]
        ]:
            self.assertTrue(program.running)
        self.ask("PATCH", job, {"result": "completed"})
        self.assertEqual(program.finish(), "it ended as completed\n")

    def test_every_curl_works(self) -> None:
        written = "".join(self.run_shell(code) for code in blocks("sh") if "curl" in code)
        for words in (
            '{"result":"completed"}',
            '"progress":0.5,"message":"half the rows"',
            '"output":{"rows":1000}',
            "Preference-Applied: wait=45",
            "event: job.completed\n",
            '"type":"webhook.test"',
            '{"redelivered":0}',
        ):
            self.assertIn(words, written)

    def test_the_receiver_for_the_shell_misbehaves_as_told(self) -> None:
        code = snippet("sh", "statusjob.testing").replace("9090", "0")
        code = code.replace(".venv/bin/python", sys.executable)
        receiver = self.start("/bin/bash", "-euc", "exec " + code)
        written = self.run_shell(f"curl -si -d hello {receiver.url()}/hook")
        self.assertIn("503 Service Unavailable\r\nRetry-After: 120\r\n", written)

    def test_a_browser_reads_the_stream_although_it_was_closed_once(self) -> None:
        job = self.create()
        self.ask("PATCH", job, {"result": "completed"})
        code = f"const id = '{job.rpartition('/')[2]}';\n{snippet('js', 'EventSource')}"
        code = EVENT_SOURCE + code.replace(SHOWN, self.url)
        self.assertIn("result: 'completed'", self.run_program("node", "-e", code))

    if shutil.which("node") is None:
        test_a_browser_reads_the_stream_although_it_was_closed_once.skip = (  # type: ignore[attr-defined]
            "node is not installed"
        )

    def start_example(self, name: str, *arguments: str) -> Program:
        """Start an example."""
        program = str(ROOT / "examples" / name)
        return self.start(sys.executable, "-W", "error", program, *arguments)

    def test_basic_polling_follows_a_job_to_its_end(self) -> None:
        job = self.create()
        program = self.start_example("basic_polling.py", self.url + job)
        program.wait_for(r"s  pending\n")
        self.ask("PATCH", job, {"result": "completed"})
        self.assertRegex(program.finish(), r"^ +[\d.]+ s  pending\n +[\d.]+ s  completed\n$")

    def test_webhook_monitoring_is_told_of_the_end_by_webhook(self) -> None:
        job = self.create()
        program = self.start_example("webhook_monitoring.py", self.url + job)
        program.wait_for(r"s  pending\n")
        self.ask("PATCH", job, {"result": "completed"})
        # In either order.
        written = program.finish()
        self.assertRegex(written, r"a webhook says completed\n")
        self.assertRegex(written, r"(?m)s  completed$")

    def test_webhook_memory_remembers_in_a_file(self) -> None:
        for count in (1, 2):
            written = self.start_example("webhook_memory.py", self.url).finish()
            self.assertEqual(
                written,
                f"a webhook says completed\ndeliveries handled within a week: {count}\n",
            )

    def test_compress_file_compresses_and_completes(self) -> None:
        file = self.directory / "file"
        content = bytes(range(256)) * 8192
        file.write_bytes(content)
        written = self.start_example("compress_file.py", str(file), self.url).finish()
        self.assertRegex(
            written, r"pending\n(.*\n)*completed\nit ended with {'file': 'file.gz', .*}\n$"
        )
        self.assertEqual(gzip.decompress((self.directory / "file.gz").read_bytes()), content)


class DocumentTests(SynchronousTestCase):
    """What the documents name is there."""

    def test_every_setting_is_in_the_table_of_settings(self) -> None:
        for setting in SETTINGS:
            self.assertIn(f"| `--{setting.option}` | `{setting.variable}` |", DEPLOYMENT)

    def test_the_example_of_a_dotenv_names_every_setting_and_its_default(self) -> None:
        example = (ROOT / ".env.example").read_text()
        for setting in SETTINGS:
            self.assertRegex(example, rf"(?m)^#{setting.variable}=")
            if setting.default is not None:
                self.assertIn(f"#{setting.variable}={setting.default}\n", example)

    def test_every_route_is_in_the_reference_of_the_http_contract(self) -> None:
        self.assertGreater(len(ROUTES), 20)
        for route in ROUTES:
            method, path = re.sub(r"<[^>]+>", "{id}", route).split()
            shown = re.sub(r"^(/jobs/{id})?/(status|webhooks/(un)?register)$", r"{base}/\2", path)
            self.assertRegex(REFERENCE, rf"`{method} {re.escape(shown)}[`?]", route)

    def test_links_between_documents_lead_somewhere(self) -> None:
        for name in DOCUMENTS:
            document = ROOT / name
            for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
                target, _, fragment = link.partition("#")
                if urllib.parse.urlsplit(link).scheme:
                    continue
                path = (document.parent / target).resolve() if target else document
                self.assertTrue(path.exists(), f"{name}: {link}")
                if fragment:
                    self.assertIn(fragment, headings(path), f"{name}: {link}")

    def test_every_path_in_the_map_for_contributors_exists(self) -> None:
        paths = re.findall(r"`((?:statusjob|tests|examples|\.ci)/[^`*]*)`", CONTRIBUTING)
        self.assertGreater(len(paths), 20)
        for path in paths:
            self.assertTrue((ROOT / path).exists(), path)

    def test_every_name_that_contributors_are_to_look_for_is_in_its_file(self) -> None:
        # Such as "`MIGRATIONS` in `statusjob/server/store/schema.py`".
        found = re.findall(r"([^.:;]*`\w+`[^.:;]*) in `([^`]+\.py)`", CONTRIBUTING)
        self.assertGreater(len(found), 4)
        for words, path in found:
            source = (ROOT / path).read_text()
            for name in re.findall(r"`(\w+)`", words):
                self.assertTrue(re.search(rf"\b{name}\b", source), f"{name} in {path}")

    def test_the_picture_is_one_of_light_and_of_dark(self) -> None:
        picture = (ROOT / "examples/overview.svg").read_text()
        self.assertEqual(ElementTree.fromstring(picture).tag, "{http://www.w3.org/2000/svg}svg")
        self.assertIn("prefers-color-scheme: dark", picture)


def headings(document: Path) -> set[str]:
    """The fragments of links to the headings of a document."""
    titles = re.findall(r"(?m)^#+ (.+)$", document.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def on_a_free_port(code: str) -> str:
    """A receiver of webhooks whose port is known beforehand, on whatever port is free."""
    code = code.replace("tcp:9090:", "tcp:0:", 1)
    code = code.replace("    await serverFromString", "    port = await serverFromString")
    return code.replace('"http://localhost:9090/"', 'f"http://127.0.0.1:{port.getHost().port}/"')
