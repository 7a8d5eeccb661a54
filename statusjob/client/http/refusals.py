"""
What an answer that reports an error means, whoever gave it.

A server's own errors are to be believed. But while a server restarts, a proxy in front of it
answers in its place: with 404, with a page that asks for a password, with a redirection to a
notice. Once the server was heard, what others say in its place is a failure that passes.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from hyperlink import URL
from msgspec import Raw, Struct
from twisted.internet.interfaces import IReactorTime

from statusjob.client.errors import (
    BadAnswer,
    BadRequest,
    JobCancelled,
    JobFinished,
    JobNotFound,
    NotAuthorized,
    Refused,
    Unavailable,
)
from statusjob.client.http import answers
from statusjob.client.http.exchange import Answer
from statusjob.contract import codec
from statusjob.jobs import CANCELLED

#: For how many seconds a server that was never heard must answer 404 before that is believed.
NOT_FOUND_PATIENCE = 5.0
#: Most characters of a server's error message that are kept.
_DETAIL_LIMIT = 500
#: How the C{type} of every problem of our servers begins.
_OUR_PROBLEMS = "urn:statusjob:"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Refusals:
    """
    Reads the errors that one server answers, or that another program answers in its place.

    @ivar server_heard: whether an answer ever came that follows the HTTP contract.
    """

    def __init__(self, clock: IReactorTime, base: URL) -> None:
        """
        @param clock: measures for how long a server answers 404.
        @param base: the base URL, to which the target of a redirection may be relative.
        """
        self.server_heard = False
        self._clock = clock
        self._base = base
        self._not_found_since: float | None = None

    def read(self, answer: Answer, retry_after: float | None) -> Refused:
        """
        Return the error that an unexpected answer stands for.

        @param retry_after: the number of seconds that it asks the client to wait.
        @return: an L{Unavailable} if it may be over at the next try.
        """
        problem = _problem(answer)
        code, detail = answer.code, self._detail(answer, problem)
        finished = _finished(answer, detail) if code == 409 else None
        is_ours = finished is not None or (problem.type or "").startswith(_OUR_PROBLEMS)
        self.server_heard |= is_ours
        if code != 404:
            self._not_found_since = None
        if code in (408, 425, 429) or code >= 500 or not (is_ours or self._is_credible(code)):
            unavailable = Unavailable(code, detail)
            unavailable.retry_after = retry_after
            return unavailable
        if code in (401, 403):
            return NotAuthorized(code, detail)
        if code == 404:
            return JobNotFound(code, detail)
        if code in (400, 413, 415, 422):
            return BadRequest(code, detail)
        return finished or Refused(code, detail)

    def _is_credible(self, code: int) -> bool:
        """Tell whether to believe an error that is not certainly the server's own."""
        if self.server_heard or code != 404:
            return not self.server_heard
        now = self._clock.seconds()
        # If the clock was set back, the patience begins anew.
        if self._not_found_since is None or now < self._not_found_since:
            self._not_found_since = now
        return now - self._not_found_since >= NOT_FOUND_PATIENCE

    def _detail(self, answer: Answer, problem: _Problem) -> str:
        """Return the reason that the server gives, or else the phrase that belongs to its code."""
        reason = problem.detail or problem.error
        if not reason and 300 <= answer.code < 400:
            reason = self._redirection(answer.header("Location"))
        if reason:
            return _UNPRINTABLE.sub(" ", reason)[:_DETAIL_LIMIT]
        try:
            return HTTPStatus(answer.code).phrase
        except ValueError:
            return "unknown status"

    def _redirection(self, location: str | None) -> str | None:
        """Name the target of a redirection by scheme, host and path; the rest may be secret."""
        try:
            target = self._base.click(location or "")
        except (ValueError, NotImplementedError):
            return None
        if not location or not target.host:
            return None
        shown = target.replace(userinfo="", query=(), fragment="").to_text()
        return f"redirects are not followed: use the target, {shown}"


class _Problem(Struct):
    """The reason in an error's body: problem+json, or the original contract's C{error}."""

    type: str | None = None
    detail: str | None = None
    error: str | None = None


class _Conflict(Struct):
    """The part of a 409 answer that shows the job as it ended."""

    job: Raw


def _problem(answer: Answer) -> _Problem:
    try:
        return answers.read_members(answer.body, _Problem)
    except BadAnswer:
        return _Problem()


def _finished(answer: Answer, detail: str) -> JobFinished | None:
    """Return the error for a 409 that shows a job: a report came too late for it."""
    try:
        job = answers.read_job(bytes(answers.read_members(answer.body, _Conflict).job))
    except (BadAnswer, codec.BadInput):
        return None
    cancelled = job.error is not None and job.error.code == CANCELLED
    return (JobCancelled if cancelled else JobFinished)(answer.code, detail, job=job)
