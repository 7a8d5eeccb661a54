"""What a user gives to a client to name a server, or one of its jobs."""

from __future__ import annotations

import itertools

from hyperlink import URL

from statusjob.client.errors import BadBaseURL, BadSetting
from statusjob.client.models import LocatedJob
from statusjob.contract import codec
from statusjob.contract.urls import BadURL, parse_url
from statusjob.jobs import Job


class EncodedURL(URL):
    """
    A URL in its encoded form, which treq uses as it is.

    treq would encode a plain C{URL} once more, and fails at an IPv6 address.
    """

    __slots__ = ()

    def to_uri(self) -> EncodedURL:
        """Return this URL: it is encoded already."""
        return self


def read_base_url(base_url: str) -> EncodedURL:
    """
    Read a base URL.

    A slash at its end makes no difference, nor do blanks and line ends around it, as they come
    out of files, and capitals in its scheme and host.

    @raise BadBaseURL: if it is not an absolute C{http} or C{https} URL to which a path can be
        appended. It says why.
    """
    if not isinstance(base_url, str):
        raise BadBaseURL(f"the base URL must be a text, not {type(base_url).__name__}")
    try:
        url = parse_url(base_url.strip())
    except BadURL as error:
        raise BadBaseURL(f"the base URL is refused: {error}") from None
    if url.userinfo or url.query or url.fragment:
        raise BadBaseURL("the base URL must have no user, query or fragment")
    path = list(url.path)
    while path and not path[-1]:
        path.pop()
    return EncodedURL(url.scheme, url.host, path, port=url.port)


def locate(name: str | Job, server: str | None = None) -> str:
    """
    Return the base URL for whatever names a job: a job, its URL, or its id.

    @param server: the URL of the job's server. A job that has a C{url} and a text that is a URL
        do not need it.
    @raise BadBaseURL: if it is needed and missing, or malformed.
    @raise BadSetting: if C{server} is given, but C{name} names no job.
    """
    if server is not None:
        job_id = name.id if isinstance(name, Job) else read_job_id(name)
        return read_base_url(server).child("jobs", job_id).to_text()
    if isinstance(name, LocatedJob):
        return name.url
    if isinstance(name, Job) or (isinstance(name, str) and codec.is_job_id(name)):
        raise BadBaseURL("that does not tell where the job is: give its server's URL, too")
    return name


def read_job_id(name: str) -> str:
    """
    Read the id of a job from a text that names it: the id itself, or a URL or path of the job.

    @raise BadSetting: if it is a URL or a path, but not of a job.
    @raise TypeError: if it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a job is named by its id or its URL, not by {type(name).__name__}")
    if "://" not in name and not name.startswith("/"):
        return name
    try:
        path = URL.from_text(name).to_iri().path
    except ValueError:
        path = ()
    for before, segment in reversed(tuple(itertools.pairwise(path))):
        if before == "jobs" and segment:
            return segment
    raise BadSetting("the URL is not that of a job")
