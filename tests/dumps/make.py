"""
Writes the dump of a database: C{python -m tests.dumps.make > tests/dumps/vN.sql}.

Run it once for each version of the schema, before that is released. A dump never changes later.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred

from statusjob.contract.webhooks import NewScopedWebhook, WebhookChange
from statusjob.jobs import Job
from statusjob.server.store import outbox_claim, outbox_settle
from statusjob.server.store.interface import Tx
from statusjob.server.store.outbox_settle import Outcome, Retry
from tests.helpers.core import URL, Core, a_report, fired, hook, new_job
from tests.helpers.secrets import SECRET

T = TypeVar("T")
NODE = "node"


def populate(core: Core) -> None:
    """Create a job of every sort, with a kind that says which, and a delivery in every state."""

    def create(body: bytes) -> Job:
        core.clock.advance(1)
        return fired(core.lifecycle.create(new_job(body))).job

    def report(job: Job, body: bytes) -> None:
        core.clock.advance(1)
        fired(core.lifecycle.report(job.id, a_report(body)))

    def send(outcome: str, wait: float | None = None) -> None:
        def work(tx: Tx) -> None:
            retry = Retry(wait=wait or 0, exhausted=wait is None, longest=0, lifetime=0, draw=0)
            for claim in outbox_claim.claim(tx, NODE, 10, 10).claims:
                status = 200 if outcome == "ok" else None
                outbox_settle.settle(tx, NODE, claim, Outcome(outcome, status), retry)

        fired(core.store.write(work))

    fired(core.store.write(core.begin_demo))
    waiting = create(b'{"kind":"waiting","metadata":{"a":[1,"\xc3\xbc"]},"heartbeat":600}')
    report(waiting, b'{"progress":0.5,"message":"half","eta":60}')
    create(b'{"kind":"limited","deadline":3600}')
    create(b'{"kind":"simulated","simulate":{"delay":600,"error_rate":1}}')
    told = b'{"kind":"%b","webhook":{"url":"%b","secret":"%b","name":"n"}}'
    for kind, end in (
        (b"delivered", b'{"result":"completed","output":{"frames":7}}'),
        (b"dead", b'{"result":"error","error":{"code":"disk","message":"is full"}}'),
        (b"retried", b'{"result":"completed","output":null}'),
    ):
        job = create(told % (kind, URL.encode(), SECRET.encode()))
        report(job, end)
        if kind == b"delivered":
            send("ok")
        else:
            send("connect", wait=None if kind == b"dead" else 3600)
    cancelled = create(b'{"kind":"cancelled"}')
    fired(core.registrations.register(cancelled.id, hook(secret=SECRET)))
    fired(core.registrations.unregister(cancelled.id, URL))
    fired(core.lifecycle.cancel(cancelled.id))
    fired(core.lifecycle.create(new_job(b'{"kind":"keyed"}'), key="key", key_hash="hash"))
    wide = NewScopedWebhook(url=URL, kind="delivered", name="kind", secret=SECRET)
    rotated, _ = fired(core.registrations.add(wide))
    fired(core.registrations.rotate(rotated.id, None))
    gone, _ = fired(core.registrations.add(NewScopedWebhook(url=URL, name="gone", secret=SECRET)))
    fired(core.registrations.change(gone.id, WebhookChange(enabled=False)))
    # A crash leaves a delivery like this: it is claimed, but not settled.
    report(create(told % (b"sending", URL.encode(), SECRET.encode())), b'{"result":"completed"}')
    fired(core.store.write(lambda tx: outbox_claim.claim(tx, NODE, 10, 10)))


def main() -> None:
    """Write the dump to the standard output."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "dumped.sqlite")
        core = Core(path=path)
        populate(core)
        fired(Deferred.fromCoroutine(core.store.close()))
        connection = sqlite3.connect(path)
        sys.stdout.writelines(line + "\n" for line in connection.iterdump())
        connection.close()


if __name__ == "__main__":
    main()
