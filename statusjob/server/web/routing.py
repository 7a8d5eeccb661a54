"""
What the routes share: one Klein app, the decorator that declares a route, and the parts of the
server.

The routes are methods of L{statusjob.server.web.jobs.JobRoutes} and its
neighbours, which are mixed into one class in L{statusjob.server.web.root}. Each
declares by L{route} the authority that it needs, so that no route can forget to
check it.
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
from statusjob.server.store.interface import Store, StoreUnavailable
from statusjob.server.store.readiness import Readiness
from statusjob.server.waiting.events import EventEncoder
from statusjob.server.waiting.job_reader import JobReader
from statusjob.server.waiting.watchers import Watchers
from statusjob.server.web.access import Access, Authority, host_of
from statusjob.server.web.answers import NO_CONDITIONS, Conditions, State, job_tag
from statusjob.server.web.problems import problem_for
from statusjob.server.web.ready_answers import ReadyAnswers
from statusjob.server.web.writing import json_answer
from statusjob.server.webhooks.redelivery import Deliveries
from statusjob.server.webhooks.registry import Registrations

app = Klein()

OPEN, WATCH, WRITE = Authority

#: The authority that a route needs, or a function that finds it out from the request.
Needs = Authority | Callable[[Request], Authority]

#: What each route needs, by its name, such as C{PATCH /jobs/<job_id>}.
ROUTES: dict[str, Needs] = {}
#: The name under which answers are counted that no route has given.
NO_ROUTE = "none"

_CONVERTER = re.compile(r"<[^<>:]*:")

Handler = Callable[..., Awaitable[bytes | Resource]]
HandlerT = TypeVar("HandlerT", bound=Handler)


def route(path: str, method: str, *, needs: Needs) -> Callable[[HandlerT], HandlerT]:
    """
    Declare that a method of L{Routes} answers requests. Before it is called, the request's
    authority is checked. Its answers are counted.

    One Python method may be declared for several routes. Each has an endpoint name of its own.
    (Klein's default is the name of the Python method. Of two methods of the same name in two
    classes, one would silently answer for both.)

    @param path: the path, as a rule of Werkzeug.
    @param method: the HTTP method; C{GET} includes HEAD.
    @param needs: the authority that the route needs.
    """
    name = f"{method} {_CONVERTER.sub('<', path)}"

    def register(handler: HandlerT) -> HandlerT:
        async def endpoint(routes: Routes, request: Request, **arguments: str) -> bytes | Resource:
            try:
                if needs is not OPEN:
                    authority = needs if isinstance(needs, Authority) else needs(request)
                    routes.access.require(authority, request)
                answer = await handler(routes, request, **arguments)
            except CancelledError:
                # The client has hung up.
                raise
            except Exception:
                answer = routes.render_problem(request, Failure())
            routes.count(name, request.code)
            return answer

        ROUTES[name] = needs
        app.route(path, methods=[method], endpoint=name)(endpoint)
        return handler

    return register


class Routes:
    """
    The base class of all routes: the parts of the server that they use.

    @ivar answered: the number of answers, by the name of the route (or L{NO_ROUTE}) and the status
        code. A stream is counted when it begins.
    @ivar draining: whether the server has closed its ports and only finishes what is in flight.
    @ivar stopping: whether the server will stop soon, but still accepts all requests.
    @ivar log_answers: whether to log every answer at debug level. This is off by default, because
        C{twistd} writes events of every level, and to write one costs nearly as much as an answer.
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
        readiness: Readiness,
        watchers: Watchers,
        forecast: Forecast,
        access: Access,
        ready: ReadyAnswers,
        public_url: str | None = None,
        prefix: str = "",
    ) -> None:
        """
        @param public_url: the URL by which clients reach the server, without a slash at its end.
        @param prefix: the path of C{public_url}.
        """
        self.lifecycle = lifecycle
        self.registrations = registrations
        self.deliveries = deliveries
        self.store = store
        self.readiness = readiness
        self.watchers = watchers
        self.forecast = forecast
        self.access = access
        self.ready = ready
        self.public_url = public_url
        self.prefix = prefix
        self.event_encoder = EventEncoder(prefix)
        self.job_reader = JobReader(lifecycle.get_many)
        self.draining = self.stopping = False
        self.answered: Counter[tuple[str, int]] = Counter()
        self.log_answers = False

    @app.handle_errors(Exception)
    def on_error(self, request: Any, failure: Failure) -> bytes:
        """Answer an error that no route has answered, such as an unknown path, as a problem."""
        body = self.render_problem(request, failure)
        self.count(NO_ROUTE, request.code)
        return body

    def render_problem(self, request: Request, failure: Failure) -> bytes:
        """Answer an exception as a problem, and return the body."""
        if failure.check(StoreUnavailable):
            self.watchers.limits.note("store")
        return problem_for(failure, request, self.prefix).render(request)

    def count(self, name: str, code: int) -> None:
        """
        Count an answer, and log it if L{log_answers} is set.

        @param name: the name of the route.
        @param code: the status code.
        """
        self.answered[name, code] += 1
        if self.log_answers:
            self._log.debug("{route} was answered {code}", route=name, code=code)

    def send_job(self, request: Request, job: Job) -> bytes:
        """
        Answer a request with a job, its entity tag and its time of change.

        @return: the body, which the route must return.
        """
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
        """
        Make an absolute URL.

        @param path: without the path of the public URL.
        @return: C{None} if neither a public URL nor a Host tells how clients reach the server.
        """
        if self.public_url is not None:
            return self.public_url + path
        host = host_of(request)
        scheme = "https" if request.isSecure() else "http"
        return None if host is None else f"{scheme}://{host}{path}"
