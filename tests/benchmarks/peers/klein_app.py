"""The least that Klein can do: C{python -m tests.benchmarks.peers.klein_app PORT}."""

from __future__ import annotations

import json
import sys
from typing import Any

from klein import Klein
from twisted.internet import reactor as _reactor
from twisted.web.http import Request
from twisted.web.server import Site

from tests.benchmarks.peers import JOB_ID

reactor: Any = _reactor
app = Klein()
jobs = {
    JOB_ID: {
        "id": JOB_ID,
        "kind": "default",
        "result": "pending",
        "version": 1,
        **dict.fromkeys(("progress", "message", "eta_at", "output", "error", "metadata")),
        **dict.fromkeys(("deadline", "heartbeat", "finished_at", "duration")),
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
        "links": {
            name: f"/jobs/{JOB_ID}/{name}" for name in ("self", "status", "operation", "events")
        },
    }
}


@app.route("/jobs/<job_id>/status")
def status(request: Any, job_id: str) -> bytes:
    """Tell the state of a job."""
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"etag", f'"{job_id}.pending"'.encode())
    return b'{"result":"pending"}'


@app.route("/jobs/<job_id>")
def job(request: Any, job_id: str) -> bytes:
    """Tell all about a job."""
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"etag", b'"1"')
    return json.dumps(jobs[job_id]).encode()


class QuietSite(Site):
    """A site that logs no requests."""

    def log(self, request: Request) -> None:
        """Log nothing."""


if __name__ == "__main__":
    reactor.listenTCP(int(sys.argv[1]), QuietSite(app.resource()), interface="127.0.0.1")
    reactor.run()
