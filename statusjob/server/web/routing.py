"""
What the routes share: one Klein app, how a route is declared, and the parts of the server.

The routes themselves are methods of L{statusjob.server.web.jobs.JobRoutes} and
its neighbours, mixed into one class in L{statusjob.server.web.root}. Each one
declares by L{route} what it demands of its caller, so that none can forget to
check.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource

from statusjob.contract.http_dates import write_date
from statusjob.contract.jobs import job_to_json
from statusjob.jobs import Job
from statusjob.server.forecast.learner import Forecast
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.store.interface import Store
from statusjob.server.waiting.events import EventEncoder
from statusjob.server.waiting.watchers import Watchers
from statusjob.server.web.access import Access, Authority, host_of
from statusjob.server.web.answers import NO_CONDITIONS, Conditions, State, job_tag
from statusjob.server.web.problems import problem_for
from statusjob.server.web.writing import json_answer
from statusjob.server.webhooks.redelivery import Deliveries
from statusjob.server.webhooks.registry import Registrations

app = Klein()

OPEN, WATCH, WRITE = Authority

#: The authority that a route needs, or a function that tells it by the request.
Needs = Authority | Callable[[Request], Authority]

#: Every route that was declared, by its name, such as C{PATCH /jobs/<job_id>}.
ROUTES: dict[str, Needs] = {}
#: In place of a route's name: the request matched none.
NO_ROUTE = "none"

_CONVERTER = re.compile(r"<[^<>:]*:")

Handler = Callable[..., Awaitable[bytes | Resource]]
HandlerT = TypeVar("HandlerT", bound=Handler)


def route(path: str, method: str, *, needs: Needs) -> Callable[[HandlerT], HandlerT]:
    """
    Make a method of L{Routes} answer C{method} on C{path}, once the caller's authority is checked.

    Several may be put on one method. Each makes an endpoint of its own, with a name of its own:
    Klein's default, the name of the method, lets one of two equally named methods silently answer
    for both.

    @param path: as Werkzeug's rules have it.
    @param method: the HTTP method; HEAD comes with GET.
    @param needs: what is demanded of the caller.
    """
    name = f"{method} {_CONVERTER.sub('<', path)}"

    def register(handler: HandlerT) -> HandlerT:
        async def endpoint(routes: Routes, request: Request, **arguments: str) -> bytes | Resource:
            try:
                authority = needs if isinstance(needs, Authority) else needs(request)
                routes.access.require(authority, request)
                answer = await handler(routes, request, **arguments)
            except CancelledError:
                # The client has gone: there is nobody to answer.
                raise
            except Exception:
                answer = problem_for(Failure(), routes.prefix).render(request)
            routes.count(name, request)
            return answer

        ROUTES[name] = needs
        app.route(path, methods=[method], endpoint=name)(endpoint)
        return handler

    return register


class Routes:
    """
    What every route can use.

    @ivar answered: how many requests were answered, by the name of the route (L{NO_ROUTE} for
        none) and the status code. A stream counts when it begins.
    @ivar draining: whether the server is stopping.
    @ivar log_answers: whether every answer is logged, at debug level. C{twistd} writes whatever is
        logged, and a line costs more than many an answer; so this is off unless it is set.
    """

    app = app
    _log = Logger()

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
        @param prefix: the path of C{public_url}.
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
        self.answered: Counter[tuple[str, int]] = Counter()
        self.log_answers = False

    @app.handle_errors(Exception)
    def on_error(self, request: Any, failure: Failure) -> bytes:
        """Answer an error outside all routes as a problem, such as a path that there is not."""
        body = problem_for(failure, self.prefix).render(request)
        self.count(NO_ROUTE, request)
        return body

    def count(self, name: str, request: Request) -> None:
        """
        Count an answer, and log it if that is wanted.

        @param name: the name of the route.
        """
        self.answered[name, request.code] += 1
        if self.log_answers:
            self._log.debug("{route} was answered {code}", route=name, code=request.code)

    def send_job(self, request: Request, job: Job) -> bytes:
        """Answer with a job and its validators."""
        request.setHeader(b"etag", job_tag(job))
        request.setHeader(b"last-modified", write_date(int(job.updated_at)))
        return json_answer(request, job_to_json(job, self.prefix))

    def retry_after(self, state: State, conditions: Conditions = NO_CONDITIONS) -> int | None:
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
