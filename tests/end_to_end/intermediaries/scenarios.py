"""
What must work through every intermediary, and how many requests it may take.

Each scenario has jobs of its own, and returns a L{Finding}.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from statusjob import CreatedJob, Job, JobHandle, Status
from tests.end_to_end.intermediaries.setups import PROMPT, Setup, until
from tests.helpers.processes import reactor

#: Seconds for which long polls are held here.
WAIT = 2
#: Seconds in which a watcher that is told must know.
AT_ONCE = 3.0
#: Seconds in which everyone must be back after a server is.
RECOVERY = 45.0
#: An output that no intermediary takes in one piece, in bytes.
LARGE = 200 * 1024


class Finding(NamedTuple):
    """
    What a scenario showed.

    @ivar what: for people.
    @ivar requests: how many requests the busiest of its jobs took.
    @ivar bound: how many it may take.
    """

    what: str
    requests: int
    bound: int


async def reports_get_through(setup: Setup) -> Finding:
    """A job is created once however often that is asked, and its large output arrives."""
    made = await setup.send("POST", "/jobs", {"kind": "large"}, Idempotency_Key="bench")
    again = await setup.send("POST", "/jobs", {"kind": "large"}, Idempotency_Key="bench")
    assert (made.code, again.code) == (201, 200), (made, again)
    assert made.json["id"] == again.json["id"]
    location = made.headers["operation-location"]
    assert location.startswith("http"), location
    if setup.proxy.recommended:
        assert location.startswith(f"{setup.url}/jobs/"), location
    path = f"/jobs/{made.json['id']}"
    output = "\u00e4" * (LARGE // 2)
    ended = await setup.send("PATCH", path, {"result": "completed", "output": output})
    shown = await setup.curl(path)
    assert (ended.code, shown.code, shown.json["output"]) == (200, 200, output)
    problem = await setup.send("PATCH", path, {"result": "error"})
    assert (problem.code, problem.json["job"]["result"]) == (409, "completed"), problem
    return Finding(f"{LARGE >> 10} KiB of output", 3, 3)


async def validators_hold(setup: Setup) -> Finding:
    """What a client has is not sent again, although an intermediary renames what it compresses."""
    job = await setup.worker().create(kind="validated", metadata={"text": "a" * 1000})
    tags = []
    for path in (f"/jobs/{job.id}", f"/jobs/{job.id}/status"):
        first = await setup.curl(path)
        tag = first.headers["etag"]
        tags.append(tag)
        known = await setup.curl(path, If_None_Match=tag)
        assert (first.code, known.code, known.body) == (200, 304, b""), (path, tag, known)
    await setup.worker().progress(job.id, 0.5)
    changed = await setup.curl(f"/jobs/{job.id}", If_None_Match=tags[0])
    unchanged = await setup.curl(f"/jobs/{job.id}/status", If_None_Match=tags[1])
    assert (changed.code, unchanged.code) == (200, 304), (tags, changed, unchanged)
    return Finding(f"ETag {tags[0]}", 7, 7)


async def long_polls_are_held(setup: Setup) -> Finding:
    """With the ETag that an intermediary made, a long poll lasts until its end or until news."""
    job = await setup.worker().create(kind="held")
    for path in (f"/jobs/{job.id}", f"/jobs/{job.id}/status"):
        first = await setup.curl(path)
        tag, begun = first.headers["etag"], reactor.seconds()
        held = await setup.curl(path, If_None_Match=tag, Prefer=f"wait={WAIT}")
        took = reactor.seconds() - begun
        assert (held.code, took >= WAIT - 0.1) == (304, True), (path, tag, took, held)
        assert held.headers["preference-applied"] == f"wait={WAIT}", held
        waiting = setup.begin_curl(path, If_None_Match=tag, Prefer="wait=40")
        await deferLater(reactor, 0.5)
        await setup.worker().progress(job.id, 0.5)
        if path.endswith("status"):
            await setup.worker().complete(job.id)
        begun = reactor.seconds()
        await waiting.ended.addTimeout(PROMPT, reactor)
        assert reactor.seconds() - begun < AT_ONCE
        assert waiting.reply().code == 200, waiting.reply()
    return Finding(f"held for {WAIT} s", len(setup.logged(job)), 9)


async def monitoring_is_told(setup: Setup) -> Finding:
    """C{StatusClient} knows the end at once, for few requests."""
    worker = setup.worker()
    job = await worker.create(kind="monitored")
    monitoring = setup.watcher(job).start_monitoring()
    for number in range(1, 5):
        await deferLater(reactor, 1.0)
        await worker.progress(job.id, number / 10)
    await worker.complete(job.id)
    begun = reactor.seconds()
    assert await monitoring.addTimeout(PROMPT, reactor) is Status.COMPLETED
    took = reactor.seconds() - begun
    assert took < AT_ONCE, (took, setup.logged(job))
    # Five reports; the first look and one long poll.
    return Finding(f"told after {took * 1000:.0f} ms", len(setup.logged(job)), 5 + 2)


async def impatience_is_survived(setup: Setup) -> Finding:
    """Long polls and streams are cut again and again; the end is known all the same."""
    worker = setup.worker()
    job = await worker.create(kind="cut")
    seen: list[Job] = []

    async def follow() -> None:
        async for state in setup.watcher(job).updates():
            seen.append(state)

    parts: list[Deferred[Any]] = [
        setup.watcher(job).start_monitoring(),
        Deferred.fromCoroutine(follow()),
    ]
    watching = gatherResults(parts, consumeErrors=True)
    await deferLater(reactor, 15.0)
    await worker.complete(job.id)
    begun = reactor.seconds()
    # By then both poll when the server's Retry-After says so.
    status, _ = await watching.addTimeout(2 * PROMPT, reactor)
    assert (status, seen[-1].result) == ("completed", "completed"), seen
    # Each watcher tries three times to wait, with a poll after each; then it polls.
    took = reactor.seconds() - begun
    return Finding(f"known after {took:.1f} s", len(setup.logged(job)), 1 + 2 * 14)


async def updates_come_one_by_one(setup: Setup) -> Finding:
    """Each report is seen by C{updates()} before the next one is made."""
    worker = setup.worker()
    job = await worker.create(kind="followed")
    slowest, version = 0.0, 0
    begun = reactor.seconds()
    reports: list[dict[str, Any]] = [{"progress": part / 5} for part in range(1, 5)]
    async for job_now in setup.watcher(job).updates():
        slowest = max(slowest, reactor.seconds() - begun)
        version = job_now.version
        if job_now.result.terminal:
            break
        begun = reactor.seconds()
        if reports:
            await worker.progress(job.id, **reports.pop(0))
        else:
            await worker.complete(job.id)
    assert version == 6, version
    assert slowest < (AT_ONCE if setup.proxy.prompt else PROMPT), slowest
    return Finding(f"slowest after {slowest * 1000:.0f} ms", len(setup.logged(job)), 5 + 8)


async def streams_get_through(setup: Setup) -> Finding:
    """A reader of a stream, as a browser is one, sees each event at once."""
    worker = setup.worker()
    job = await worker.create(kind="streamed")
    stream = setup.begin_curl(f"/jobs/{job.id}/events", Accept="text/event-stream")
    for version in range(1, 4):
        await until(lambda line=b"id: %d\n" % version: line in stream.output)  # type: ignore[misc]
        await (worker.progress(job.id, version / 10) if version < 3 else worker.complete(job.id))
    await stream.ended.addTimeout(PROMPT, reactor)
    assert b"event: job.completed" in stream.output, stream.output
    assert b'"completed"' in stream.output
    return Finding("each event before the next", len(setup.logged(job)), 4)


class Work:
    """
    A job that is worked on and watched in every way.

    @ivar job: the job.
    @ivar seen: what C{updates()} has brought.
    @ivar output: fire it to let the work return.
    @ivar handle: what the worker reports with.
    """

    def __init__(self, setup: Setup, job: CreatedJob) -> None:
        self.job = job
        self.seen: list[Job] = []
        self.output: Deferred[Any] = Deferred()
        self.handle: JobHandle | None = None
        parts: list[Deferred[Any]] = [
            setup.worker().run(job, self._work),
            setup.watcher(job).start_monitoring(),
            Deferred.fromCoroutine(self._follow(setup)),
        ]
        self._ended = gatherResults(parts, consumeErrors=True)

    async def ended(self, output: object) -> None:
        """Wait until everyone knows the end, which must be the right one."""
        job, status, _ = await self._ended.addTimeout(RECOVERY, reactor)
        last = self.seen[-1]
        assert (job.output, status, last.output) == (output, "completed", output), self.seen

    async def has_seen(self, progress: float) -> None:
        """Wait until C{updates()} has brought that progress."""
        await until(
            lambda: self._ended.called or any(job.progress == progress for job in self.seen),
            RECOVERY,
        )
        if self._ended.called:
            await self._ended
            raise AssertionError(f"ended too early: {self.seen}")

    def cancel(self) -> None:
        """Do nothing more."""
        self._ended.addErrback(lambda _: None)
        self._ended.cancel()

    def _work(self, handle: JobHandle) -> Deferred[Any]:
        self.handle = handle
        handle.progress(0.1)
        return self.output

    async def _follow(self, setup: Setup) -> None:
        async for job in setup.watcher(self.job).updates():
            self.seen.append(job)


#: Takes the server away for a while.
Outage = Callable[[Sequence[Work]], Coroutine[Deferred[Any], Any, None]]


async def restart_is_survived(setup: Setup, number: signal.Signals) -> Finding:
    """
    The server is stopped and started again behind the intermediary, which meanwhile answers in
    its place. Work ends during that, or goes on; in both cases everyone gets to know its result.
    """

    async def outage(works: Sequence[Work]) -> None:
        await setup.stop_server(number)
        begun = reactor.seconds()
        await _until_refused(setup, works, 500)
        await deferLater(reactor, max(0.0, 1.5 - (reactor.seconds() - begun)))
        await setup.start_server()

    return await _survived(setup, outage)


async def lost_route_is_survived(setup: Setup) -> Finding:
    """
    The intermediary has no route for a while and answers 404, as those do that forget a server
    which is being replaced.
    """

    async def outage(works: Sequence[Work]) -> None:
        setup.proxy.reload(routed=False)
        await _until_code(setup, 404)
        await setup.stop_server(signal.SIGTERM)
        await _until_refused(setup, works, 404)
        await setup.start_server()
        setup.proxy.reload(routed=True)
        await _until_code(setup, 200)

    return await _survived(setup, outage)


async def _survived(setup: Setup, outage: Outage) -> Finding:
    """Work before, during and after an outage."""
    worker = setup.worker()
    early, late = [Work(setup, await worker.create(kind="restarted")) for _ in range(2)]
    begun = reactor.seconds()
    try:
        await early.has_seen(0.1)
        await late.has_seen(0.1)
        assert late.handle is not None
        away = Deferred.fromCoroutine(outage((early, late)))
        await deferLater(reactor, 0.3)
        early.output.callback({"rows": 1})
        late.handle.progress(0.5, message="during the outage")
        await away
        back = reactor.seconds()
        await late.has_seen(0.5)
        late.output.callback({"rows": 2})
        await early.ended({"rows": 1})
        await late.ended({"rows": 2})
    finally:
        early.cancel()
        late.cancel()
    ended = reactor.seconds()
    # Three clients each: what they need without an outage, and an attempt every three seconds.
    return Finding(
        f"away for {back - begun:.1f} s, all well {ended - back:.1f} s later",
        max(len(setup.logged(work.job)) for work in (early, late)),
        16 + round(ended - begun),
    )


async def _until_refused(setup: Setup, works: Sequence[Work], code: int) -> None:
    """Wait until each job was answered such a code by a proxy, if it answers for the server."""
    if setup.proxy.holds:
        return
    await until(
        lambda: all(any(each.code >= code for each in setup.logged(work.job)) for work in works),
        20.0,
    )


async def _until_code(setup: Setup, code: int) -> None:
    while (await setup.curl("/healthz")).code != code:
        await deferLater(reactor, 0.1)
