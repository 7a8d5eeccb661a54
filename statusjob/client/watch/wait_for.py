"""
Waiting for the end of a job in one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from statusjob.client.models import JobEnd
from statusjob.client.watch.status_client import StatusClient
from statusjob.jobs import Job, Status


def wait_for(
    job: str | Job,
    *,
    server: str | None = None,
    timeout: float | None = None,
    on_update: Callable[[Status], object] | None = None,
    token: str | None = None,
    reactor: Any = None,
) -> Deferred[JobEnd]:
    """
    Wait until a job has ended, and tell how. This is a L{StatusClient} in one call.

    @param job: the job's URL, or a job that a client returned; a job's id, or any other L{Job},
        together with C{server}; the URL of a server for its demo job.
    @param server: the URL of the job's server.
    @param timeout: seconds to wait at most; C{None} for no limit.
    @param on_update: called with the first status and with each change; awaited if it returns a
        Deferred or is C{async def}.
    @param token: sent as a bearer token.
    @param reactor: C{None} for the global one.
    @return: fires with a L{JobEnd}, which has C{result}, C{output} and C{error}. On a server of
        the original contract only C{result} is known, and so it is if the server cannot be asked
        for the others within ten seconds of the end. Fails as, and may be cancelled as, what
        L{StatusClient.start_monitoring} returns; with L{BadSetting} if an argument makes no sense.
    """

    async def wait() -> JobEnd:
        client = StatusClient(
            job, server=server, timeout=timeout, on_update=on_update, token=token, reactor=reactor
        )
        return await client.wait_for_end()

    return Deferred.fromCoroutine(wait())
