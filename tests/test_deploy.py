"""
The files for deployment work, as far as the programs that they are for are installed here.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from statusjob.server.settings import resolve
from statusjob.testing.certificates import self_signed_options
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


class ProxyTests(ServedTestCase):
    """A server behind nginx."""

    variables: ClassVar = {"STATUSJOB_PUBLIC_URL": "https://jobs.example.com"}

    def setUp(self) -> None:
        """Start nginx with our file, inside the least that nginx needs around it."""
        nginx = need("nginx")
        need("curl")
        super().setUp()
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        options: Any = self_signed_options("jobs.example.com")
        certificate, key = self.directory / "certificate.pem", self.directory / "key.pem"
        certificate.write_bytes(options.certificate.public_bytes(Encoding.PEM))
        key.write_bytes(
            options.privateKey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        ours = (FILES / "nginx.conf").read_text()
        for shown, real in (
            ("server 127.0.0.1:8080;", f"server {self.url.removeprefix('http://')};"),
            ("listen 443 ", f"listen 127.0.0.1:{self.port} "),
            ("/etc/ssl/jobs.example.com.pem", str(certificate)),
            ("/etc/ssl/jobs.example.com.key", str(key)),
        ):
            self.assertEqual(ours.count(shown), 1, shown)
            ours = ours.replace(shown, real)
        paths = "".join(
            f"{name}_temp_path {self.directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            f"daemon off; master_process off; pid {self.directory}/nginx.pid;\n"
            f"error_log stderr notice;\nevents {{}}\n"
            f"http {{ access_log off;\n{paths}{ours}}}\n"
        )
        arguments = (nginx, "-e", "stderr", "-c", str(configuration), "-p", str(self.directory))
        self.assertIn("syntax is ok", self.run_program(*arguments, "-t"))
        self.proxy = self.start(*arguments)
        self.proxy.wait_for('using the "epoll" event method|start worker')

    def curl(self, path: str, *options: str) -> tuple[str, ...]:
        """The command that asks through nginx."""
        host = f"jobs.example.com:{self.port}"
        return (
            "curl",
            "-skiN",
            "--retry",
            "20",
            "--retry-connrefused",
            "--resolve",
            f"{host}:127.0.0.1",
            *options,
            f"https://{host}{path}",
        )

    def test_a_long_poll_is_held_and_answered_at_the_end(self) -> None:
        job = self.create()
        poll = self.start(*self.curl(f"{job}/status", "-H", "Prefer: wait=50"))
        self.ask("PATCH", job, {"result": "completed"})
        answer = poll.finish()
        self.assertIn("HTTP/2 200", answer)
        self.assertIn("preference-applied: wait=50", answer)
        self.assertTrue(answer.endswith('{"result":"completed"}'), answer)

    def test_a_stream_shows_each_event_at_once(self) -> None:
        job = self.create()
        stream = self.start(*self.curl(f"{job}/events"))
        for number, report in enumerate(({"progress": 0.5}, {"result": "completed"}), 1):
            # The next report is made only when this event has arrived.
            stream.wait_for(rf"(?m)^id: {number}\n")
            self.ask("PATCH", job, report)
        self.assertIn("event: job.completed\n", stream.finish())


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
