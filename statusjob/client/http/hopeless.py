"""What can hardly get better by itself, so that it is not tried for long."""

from __future__ import annotations

from statusjob.client.errors import Transient, Unreachable

#: It is tolerated for so many tries and so many seconds: a container's name, for example, appears
#: once the container runs.
HOPELESS_TRIES = 5
HOPELESS_TIME = 30.0


def is_hopeless(problem: Transient, *, failures: int, seconds: float, answered: bool) -> bool:
    """
    Tell whether there is no use in trying again.

    @param problem: the last failure.
    @param failures: the number of failures in a row.
    @param seconds: the time since the first of them.
    @param answered: whether any answer ever came.
    """
    return (
        isinstance(problem, Unreachable)
        and problem.lasting
        and not answered
        and failures >= HOPELESS_TRIES
        and seconds >= HOPELESS_TIME
    )
