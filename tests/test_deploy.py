"""
The files for deployment work, as far as the programs that they are for are installed here.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from statusjob.server.settings import SETTINGS, resolve
from statusjob.server.site.site import IDLE_SECONDS
from statusjob.server.waiting.event_stream import BEAT_SECONDS
from statusjob.server.web.preferences import WAIT_LIMIT
from tests.helpers.programs import ROOT, ServedTestCase
from tests.helpers.servers import directory

FILES = ROOT / "examples/deploy"


def need(program: str) -> str:
    """
    The path of a program.

    @raise SkipTest: if it is not installed.
    """
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        raise SkipTest(f"{program} is not installed")
    return path


class ContainerTests(SynchronousTestCase):
    """The files for containers; no container is built here."""

    def value(self, file: str, pattern: str) -> str:
        """The one place of a file that matches a pattern."""
        (value,) = re.findall(pattern, (FILES / file).read_text())
        return str(value)

    def test_every_variable_is_a_setting(self) -> None:
        known = {setting.variable for setting in SETTINGS}
        for file in ("Dockerfile", "compose.yaml", "kubernetes.yaml"):
            named = set(re.findall(r"\bSTATUSJOB_[A-Z_]+", (FILES / file).read_text()))
            self.assertLessEqual(named, known, file)
            self.assertIn("STATUSJOB_TOKEN", named)

    def test_a_stop_may_take_as_long_as_the_server_needs(self) -> None:
        drain = resolve({}, {}, {}).drain
        delay = float(self.value("kubernetes.yaml", r'_DELAY\n +value: "(\d+)"'))
        grace = float(self.value("kubernetes.yaml", r"terminationGracePeriodSeconds: (\d+)"))
        self.assertGreater(grace, drain + delay + 5)
        grace = float(self.value("compose.yaml", r"stop_grace_period: (\d+)s"))
        self.assertGreater(grace, drain + 5)

    def test_a_directory_is_mounted_where_the_image_works(self) -> None:
        where = self.value("Dockerfile", r"WORKDIR (\S+)")
        self.assertEqual(self.value("compose.yaml", r"- data:(\S+)"), where)
        self.assertEqual(self.value("kubernetes.yaml", r"mountPath: (\S+)"), where)

    def test_the_old_server_ends_before_the_new_one_starts(self) -> None:
        self.assertEqual(self.value("kubernetes.yaml", r"strategy:\n +type: (\w+)"), "Recreate")

    def test_no_file_with_a_process_id_is_written(self) -> None:
        command = self.value("Dockerfile", r'CMD \["(\w+)"')
        self.assertEqual(command, "twist")

    def test_logrotate_accepts_its_file(self) -> None:
        logrotate = need("logrotate")
        copy = directory(self) / "logrotate.conf"
        shutil.copy(FILES / "logrotate.conf", copy)
        copy.chmod(0o644)
        done = subprocess.run(
            [logrotate, "-d", str(copy)], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("error:", done.stderr)


class UnitTests(SynchronousTestCase):
    """The systemd unit and its settings."""

    def test_systemd_accepts_the_unit(self) -> None:
        verify = need("systemd-analyze")
        unit = (FILES / "statusjob.service").read_text()
        copy = directory(self) / "statusjob.service"
        copy.write_text(unit.replace("/opt/statusjob/bin/twist ", f"{sys.executable} -m twisted "))
        done = subprocess.run(
            [verify, "verify", str(copy)], capture_output=True, text=True, check=False
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_a_stop_may_take_longer_than_the_server_drains(self) -> None:
        unit = (FILES / "statusjob.service").read_text()
        drain = resolve({}, {}, {}).drain
        (line,) = [line for line in unit.splitlines() if line.startswith("TimeoutStopSec=")]
        self.assertGreater(float(line.partition("=")[2]), drain + 5)

    def test_the_settings_are_accepted_and_only_this_machine_may_connect(self) -> None:
        lines = (FILES / "statusjob.env").read_text().splitlines()
        given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        settings = resolve({}, given, {})
        self.assertTrue(settings.token)
        self.assertEqual(settings.endpoint, ("tcp:8080:interface=127.0.0.1",))
        self.assertEqual(settings.public_url, "https://jobs.example.com")


class ProxyTests(SynchronousTestCase):
    """
    The files for proxies fit the times of the server.

    C{tests/end_to_end/intermediaries/} runs these proxies.
    """

    def seconds(self, file: str, pattern: str) -> float:
        """Return the number of seconds that a file says, once, in what matches C{pattern}."""
        found = re.findall(rf"^ *{pattern}", (FILES / file).read_text(), re.MULTILINE)
        self.assertEqual(len(found), 1, (file, pattern))
        return float(found[0])

    def test_a_proxy_waits_longer_than_a_long_poll_or_a_quiet_stream_lasts(self) -> None:
        longest = max(WAIT_LIMIT, BEAT_SECONDS)
        for file, pattern in (
            ("nginx.conf", r"proxy_read_timeout ([0-9]+)s;"),
            ("haproxy.cfg", r"timeout server ([0-9]+)s"),
            ("haproxy.cfg", r"timeout client ([0-9]+)s"),
            ("apache.conf", r"ProxyPass .* timeout=([0-9]+)\b"),
        ):
            self.assertGreaterEqual(self.seconds(file, pattern), longest + 10, (file, pattern))

    def test_a_proxy_closes_an_idle_connection_before_the_server_does(self) -> None:
        for file, pattern in (
            ("nginx.conf", r"keepalive_timeout ([0-9]+)s;"),
            ("apache.conf", r"ProxyPass .* ttl=([0-9]+)\b"),
        ):
            self.assertLess(self.seconds(file, pattern), IDLE_SECONDS, file)


class BackupTests(ServedTestCase):
    """The script that copies the database."""

    def setUp(self) -> None:
        """There is something to copy, and a directory for copies."""
        need("sqlite3")
        super().setUp()
        self.database = self.directory / "statusjob.sqlite"
        self.copies = self.directory / self.id()

    def backup(self) -> Path:
        """Make a copy; its path."""
        script = str(FILES / "backup.sh")
        return Path(self.run_program(script, str(self.database), str(self.copies)).strip())

    def test_a_copy_of_a_running_server_has_its_jobs_and_is_its_owners_alone(self) -> None:
        job = self.create(kind="copied")
        copy = self.backup()
        self.assertEqual(list(self.copies.iterdir()), [copy])
        self.assertEqual(copy.stat().st_mode & 0o777, 0o600)
        with closing(sqlite3.connect(copy)) as database:
            [(found,)] = database.execute("SELECT id FROM jobs WHERE kind = 'copied'")
        self.assertEqual(f"/jobs/{found}", job)

    def test_a_copy_ends_however_fast_others_write(self) -> None:
        self.database = self.directory / "busy.sqlite"
        with closing(sqlite3.connect(self.database, isolation_level=None)) as writer:
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("CREATE TABLE rows (row)")
            writer.execute("INSERT INTO rows VALUES (zeroblob(20000000))")
        stop = threading.Event()

        def write() -> None:
            with closing(sqlite3.connect(self.database, isolation_level=None)) as writer:
                writer.execute("PRAGMA synchronous = OFF")
                while not stop.is_set():
                    writer.execute("INSERT INTO rows VALUES (1)")

        writing = threading.Thread(target=write)
        writing.start()
        try:
            copy = self.backup()
        finally:
            stop.set()
            writing.join()
        with closing(sqlite3.connect(copy)) as database:
            [(rows,)] = database.execute("SELECT COUNT(*) FROM rows")
        self.assertGreater(rows, 0)

    def test_a_path_may_have_quotes(self) -> None:
        self.copies = self.directory / "Peter's"
        self.assertEqual(self.backup().parent, self.copies)

    def test_the_newest_fourteen_copies_are_kept(self) -> None:
        self.copies.mkdir()
        older = [self.copies / f"statusjob-202001{day:02}T000000Z.sqlite" for day in range(1, 20)]
        for each in (*older, self.copies / "something-else"):
            each.touch()
        copy = self.backup()
        kept = sorted(self.copies.iterdir())
        self.assertEqual(kept, [self.copies / "something-else", *older[-13:], copy])

    def test_a_database_that_is_not_there_is_an_error(self) -> None:
        done = subprocess.run(
            [FILES / "backup.sh", self.directory / "none", self.copies],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no database", done.stderr)
