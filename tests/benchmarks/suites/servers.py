"""How statusjob and nginx are started, and what they need."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.benchmarks.bench import PEERS, Bench, Program, Server, free_port
from tests.benchmarks.figures import Failed
from tests.helpers import large_database

TOKEN = "secret"


def statusjob(port: int, database: Path | None = None, token: str = "") -> Program:
    """
    Our own server, on a file.

    @param database: the file; a new one, if it is C{None}.
    """
    environment = {
        "PORT": str(port),
        "STATUSJOB_ENDPOINT": f"tcp:{port}:interface=127.0.0.1",
        "STATUSJOB_DATABASE": str(database or "statusjob.sqlite"),
        "STATUSJOB_TOKEN": token,
    }
    return [sys.executable, "-m", "statusjob"], environment


def nginx(bench: Bench, port: int) -> Program:
    """nginx, which answers by itself."""
    here = bench.new_directory("nginx")
    configured = (PEERS / "nginx.conf").read_text()
    configured = configured.replace("PORT", str(port)).replace("DIRECTORY", str(here))
    (here / "nginx.conf").write_text(configured)
    return [find_nginx(), "-p", str(here), "-c", str(here / "nginx.conf")], {}


def find_nginx() -> str:
    """Find the program of nginx, which is not always where everybody looks."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise Failed("there is no nginx")
    return found


def new_job(server: Server, token: str = "") -> str:
    """Create a job at our own server; its id."""
    created: str = server.ask("POST", "/jobs", {}, token)["id"]
    return created


def fill_database(bench: Bench, path: Path, jobs: int, deliveries: int, origins: int) -> list[str]:
    """Let our own server make a database, and fill it; the ids of the jobs."""
    port = free_port()
    with bench.running(statusjob(port, path), port, bench.server_core):
        pass
    large_database.fill(path, jobs, deliveries, origins)
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT id FROM jobs")]
