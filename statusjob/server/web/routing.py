"""
What the routes share: one Klein app, and the parts of the server that they use.

The routes themselves are methods of L{statusjob.server.web.jobs.JobRoutes} and
its neighbours, mixed into one class in L{statusjob.server.web.root}.
"""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.http import Request

from statusjob.contract.http_dates import write_date
from statusjob.contract.jobs import job_to_json
from statusjob.jobs import Job
from statusjob.server.forecast.learner import Forecast
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.store.interface import Store
from statusjob.server.waiting.event_stream import EventEncoder
from statusjob.server.waiting.watchers import Watchers
from statusjob.server.web.access import Access, host_of
from statusjob.server.web.answers import Conditions, State, job_tag
from statusjob.server.web.problems import problem_for
from statusjob.server.web.writing import json_answer
from statusjob.server.webhooks.redelivery import Deliveries
from statusjob.server.webhooks.registry import Registrations

app = Klein()


class Routes:
    """What every route can use."""

    app = app

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        registrations: Registrations,
        deliveries: Deliveries,
        store: Store,
        watchers: Watchers,
        forecast: Forecast,
        access: Access,
        public_url: str | None = None,
        prefix: str = "",
    ) -> None:
        """
        @param public_url: how clients reach the server, without a slash at its end.
        @param prefix: the path of that.
        """
        self.lifecycle = lifecycle
        self.registrations = registrations
        self.deliveries = deliveries
        self.store = store
        self.watchers = watchers
        self.forecast = forecast
        self.access = access
        self.public_url = public_url
        self.prefix = prefix
        self.events = EventEncoder(prefix)
        self.draining = False

    @app.handle_errors(Exception)
    def on_error(self, request: Any, failure: Failure) -> bytes:
        """Answer any error as a problem."""
        return problem_for(failure, self.prefix).render(request)

    def send_job(self, request: Request, job: Job) -> bytes:
        """Answer with a job and its validators."""
        request.setHeader(b"etag", job_tag(job))
        request.setHeader(b"last-modified", write_date(int(job.updated_at)))
        return json_answer(request, job_to_json(job, self.prefix))

    def retry_after(self, state: State, conditions: Conditions) -> int | None:
        """
        After how many seconds asking again is worth it.

        @return: C{None} if the job has ended, or if the answer may have been held.
        """
        if state.result.terminal or conditions.wait is not None:
            return None
        return self.forecast.retry_after(state)

    def absolute(self, request: Request, path: str) -> str | None:
        """An absolute URL for a path; C{None} if nothing tells how clients reach the server."""
        if self.public_url is not None:
            return self.public_url + path
        host = host_of(request)
        scheme = "https" if request.isSecure() else "http"
        return None if host is None else f"{scheme}://{host}{path}"
