"""
Problems: how each error is answered, as C{application/problem+json} (RFC 9457).

The domain raises its own exceptions, and L{problem_for} maps them to HTTP. Any
other exception is logged, and answered 500 without its details.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from statusjob.contract import codec
from statusjob.contract.jobs import job_to_json
from statusjob.server.errors import (
    JobFinished,
    KeyReused,
    UnknownDelivery,
    UnknownJob,
    UnknownWebhook,
    VersionMismatch,
    WebhookConflict,
)
from statusjob.server.store.interface import StoreUnavailable

#: Most characters of a message or a path that a client has sent, in an answer or in the log.
DETAIL_LIMIT = 300

_log = Logger()

#: The status code and the title of each kind of problem, by its slug.
_KINDS: Mapping[str, tuple[int, str]] = {
    "invalid-request": (400, "Invalid request"),
    "unauthorized": (401, "A token is needed"),
    "foreign-origin": (403, "Foreign origin"),
    "not-found": (404, "Not found"),
    "unknown-job": (404, "Unknown job"),
    "unknown-webhook": (404, "Unknown webhook"),
    "unknown-delivery": (404, "Unknown delivery"),
    "method-not-allowed": (405, "Method not allowed"),
    "job-finished": (409, "The job is finished"),
    "webhook-conflict": (409, "Webhook conflict"),
    "version-mismatch": (412, "The job is at another version"),
    "too-large": (413, "Body too large"),
    "target-too-long": (414, "Request target too long"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "misdirected": (421, "Misdirected request"),
    "idempotency-key-reused": (422, "Idempotency key reused"),
    "head-too-large": (431, "Request header fields too large"),
    "internal-error": (500, "Internal error"),
    "unavailable": (503, "Unavailable"),
}


class Problem(Exception):
    """
    An error as it is answered.

    @ivar slug: the kind of problem, which is the last part of the URN in C{type}.
    @ivar detail: a message about this occurrence, for the client.
    @ivar headers: more headers of the answer.
    @ivar members: more members of its body.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.status, self.title = _KINDS[slug]
        self.headers = headers or {}
        self.members = members or {}

    def body(self) -> bytes:
        """The body. C{error} repeats C{detail} for clients of the original contract."""
        return codec.encode(
            {
                "type": f"urn:statusjob:{self.slug}",
                "title": self.title,
                "status": self.status,
                "detail": self.detail,
                "error": self.detail,
                **self.members,
            }
        )

    def render(self, request: Request) -> bytes:
        """
        Answer a request with this problem.

        @return: the body.
        """
        body = self.body()
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        request.setHeader(b"content-type", b"application/problem+json")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-length", b"%d" % len(body))
        return body


def problem_for(failure: Failure, request: Request, prefix: str = "") -> Problem:
    """
    Map an exception to a problem.

    @param request: the request that it was raised for.
    @param prefix: the path of the public URL, for links.
    """
    error = failure.value
    match error:
        case Problem():
            return error
        case codec.BadInput():
            return Problem("invalid-request", _short(str(error)))
        case UnknownJob():
            return Problem("unknown-job", "there is no such job")
        case UnknownWebhook():
            return Problem("unknown-webhook", "there is no such webhook")
        case UnknownDelivery():
            return Problem("unknown-delivery", "this webhook has no such delivery")
        case JobFinished():
            members = {"job": job_to_json(error.job, prefix)}
            return Problem("job-finished", str(error), members=members)
        case VersionMismatch():
            members = {"job": job_to_json(error.job, prefix)}
            return Problem("version-mismatch", str(error), members=members)
        case WebhookConflict():
            return Problem("webhook-conflict", str(error))
        case KeyReused():
            return Problem(
                "idempotency-key-reused", "this Idempotency-Key was used with another body"
            )
        case StoreUnavailable():
            return Problem("unavailable", str(error), headers={"retry-after": "1"})
        case MethodNotAllowed():
            allowed = ", ".join(sorted({"OPTIONS", *(error.valid_methods or ())}))
            return Problem(
                "method-not-allowed", f"allowed here: {allowed}", headers={"allow": allowed}
            )
        case HTTPException():
            return Problem("not-found", "there is nothing at this path")
    request_id = secrets.token_hex(8)
    _log.failure(
        "request {request_id} failed: {method!r} {path!r}",
        failure,
        request_id=request_id,
        method=request.method.decode("latin-1"),
        path=_short(request.path.decode("latin-1")),
    )
    return Problem(
        "internal-error", f"the server failed to answer, and has logged why as {request_id}"
    )


def _short(text: str) -> str:
    return text if len(text) <= DETAIL_LIMIT else text[:DETAIL_LIMIT] + "…"
