"""
aiohttp with uvloop: C{python -m tests.benchmarks.peers.aiohttp_app PORT [DATABASE]}.

With a database, jobs are in SQLite as they usually are in small services: one connection, and a
commit for each request. It is as durable as statusjob.
"""

from __future__ import annotations

import sqlite3
import sys
import time
import uuid

import uvloop
from aiohttp import web

from tests.benchmarks.peers import JOB_ID

jobs = {JOB_ID: {"result": "pending"}}


async def status(request: web.Request) -> web.Response:
    """Tell the state of a job."""
    job = jobs.get(request.match_info["id"])
    if job is None:
        raise web.HTTPNotFound
    return web.json_response(job, headers={"ETag": f'"{request.match_info["id"]}.pending"'})


class SQLiteJobs:
    """Routes of jobs that are in SQLite."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, kind TEXT, result TEXT,"
            " version INTEGER, created_at REAL, updated_at REAL)"
        )

    async def create(self, request: web.Request) -> web.Response:
        """Create a job."""
        body = await request.json()
        job, now = str(uuid.uuid4()), time.time()
        with self._database:
            self._database.execute(
                "INSERT INTO jobs VALUES (?, ?, 'pending', 1, ?, ?)",
                (job, body.get("kind", "default"), now, now),
            )
        return web.json_response({"id": job, "result": "pending", "created_at": now}, status=201)

    async def report(self, request: web.Request) -> web.Response:
        """Change a job."""
        body = await request.json()
        job, now = request.match_info["id"], time.time()
        with self._database:
            changed = self._database.execute(
                "UPDATE jobs SET result = ?, version = version + 1, updated_at = ? WHERE id = ?",
                (body["result"], now, job),
            ).rowcount
        if not changed:
            raise web.HTTPNotFound
        return web.json_response({"id": job, "result": body["result"], "updated_at": now})


def make_app(database: str | None) -> web.Application:
    """Make the application."""
    app = web.Application()
    app.router.add_get("/jobs/{id}/status", status)
    if database is not None:
        kept = SQLiteJobs(database)
        app.router.add_post("/jobs", kept.create)
        app.router.add_patch("/jobs/{id}", kept.report)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        make_app(sys.argv[2] if sys.argv[2:] else None),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
    )
