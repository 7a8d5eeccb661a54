"""
Routes of jobs: create, list, show, report and cancel, and the original contract's poll.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from msgspec import Meta, Struct
from twisted.web.http import Request

from statusjob.contract import codec
from statusjob.contract.jobs import NewJob, Report, job_to_json
from statusjob.jobs import Job, Status
from statusjob.server.web.answers import (
    State,
    job_entity,
    job_tag,
    make_answer,
    operation_entity,
    status_entity,
    status_tag,
)
from statusjob.server.web.reading import (
    bad_cursor,
    checked_job_id,
    idempotency_key,
    json_body,
    read_query,
    required_versions,
    tag_version,
)
from statusjob.server.web.ready_answers import JOB, STATUS
from statusjob.server.web.routing import OPEN, WATCH, WRITE, route
from statusjob.server.web.waiting import WatchRoutes
from statusjob.server.web.writing import json_answer, send


class _JobsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of C{GET /jobs}."""

    result: Status | None = None
    kind: codec.Kind | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: str | None = None


class JobRoutes(WatchRoutes):
    """Jobs over HTTP."""

    @route("/status", "GET", needs=OPEN)
    @route("/jobs/<job_id>/status", "GET", needs=WATCH)
    async def status(self, request: Request, job_id: str | None = None) -> bytes:
        """Answer the original contract's poll, for the demo job if there is no id."""
        if job_id is not None:
            job_id = checked_job_id(job_id)
        with self.ready.reading(STATUS, job_id) as reading:
            state, conditions = await self.current_or_awaited(
                request, job_id, read=self.lifecycle.poll, tag=status_tag, newer=_is_other
            )
            entity = status_entity(state, self.prefix)
            reading.keep(state, entity)
        return send(request, make_answer(entity, conditions, self.retry_after(state, conditions)))

    @route("/jobs", "POST", needs=WRITE)
    async def create(self, request: Request) -> bytes:
        """Create a job."""
        key = idempotency_key(request)
        body, new = json_body(request, NewJob)
        created = await self.lifecycle.create(
            new, key=key, key_hash=None if key is None else codec.canonical_hash(body)
        )
        job = created.job
        path = f"{self.prefix}/jobs/{job.id}"
        request.setResponseCode(200 if created.replayed else 201)
        request.setHeader(b"etag", job_tag(job))
        request.setHeader(b"location", path.encode())
        operation = self.absolute(request, f"/jobs/{job.id}/operation")
        if operation is not None:
            request.setHeader(b"operation-location", operation.encode())
        if (retry_after := self.retry_after(job)) is not None:
            request.setHeader(b"retry-after", b"%d" % retry_after)
        answer = job_to_json(job, self.prefix)
        if created.webhook is not None:
            answer["webhook"] = {"id": created.webhook.id, "secret": created.webhook.secret}
        return json_answer(request, answer)

    @route("/jobs", "GET", needs=WRITE)
    async def list_jobs(self, request: Request) -> bytes:
        """List jobs by pages, the newest first."""
        query = read_query(request, _JobsQuery)
        if query.cursor is not None and not codec.is_job_id(query.cursor):
            raise bad_cursor()
        page, after = await self.lifecycle.list(
            limit=query.limit, before=query.cursor, result=query.result, kind=query.kind
        )
        return json_answer(
            request,
            {
                "jobs": [job_to_json(job, self.prefix) for job in page],
                "next": after,
            },
        )

    @route("/jobs/<job_id>", "GET", needs=WATCH)
    async def show(self, request: Request, job_id: str) -> bytes:
        """Show a job."""
        job_id = checked_job_id(job_id)
        with self.ready.reading(JOB, job_id) as reading:
            job, conditions = await self.current_or_awaited(
                request, job_id, read=self.lifecycle.get, tag=job_tag, newer=_is_later
            )
            entity = job_entity(job, self.prefix)
            reading.keep(job, entity)
        return send(request, make_answer(entity, conditions, self.retry_after(job, conditions)))

    @route("/jobs/<job_id>/operation", "GET", needs=WATCH)
    async def operation(self, request: Request, job_id: str) -> bytes:
        """Show a job in the shape of Azure's asynchronous operations."""
        job, conditions = await self.current_or_awaited(
            request, checked_job_id(job_id), read=self.lifecycle.get, tag=job_tag, newer=_is_later
        )
        entity = operation_entity(job, self.absolute(request, f"/jobs/{job.id}"))
        return send(request, make_answer(entity, conditions, self.retry_after(job, conditions)))

    @route("/jobs/<job_id>", "PATCH", needs=WRITE)
    async def report(self, request: Request, job_id: str) -> bytes:
        """Take a worker's report."""
        versions = required_versions(request)
        _, report = json_body(request, Report)
        job = await self.lifecycle.report(checked_job_id(job_id), report, versions=versions)
        return self.send_job(request, job)

    @route("/jobs/<job_id>", "DELETE", needs=WRITE)
    async def cancel(self, request: Request, job_id: str) -> bytes:
        """Cancel a job."""
        versions = required_versions(request)
        job = await self.lifecycle.cancel(checked_job_id(job_id), versions=versions)
        return self.send_job(request, job)


def _is_other(state: State, tags: Collection[bytes]) -> bool:
    """Whether a status is an entity with none of these tags."""
    return status_tag(state) not in tags


def _is_later(job: Job, tags: Collection[bytes]) -> bool:
    """Whether a job is at a later version than all that these tags name."""
    return job.version > max(map(tag_version, tags), default=0)
