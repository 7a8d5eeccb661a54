"""
Whether a server can be long-polled, as far as one run of watching has found out.

C{Prefer: wait=N} (RFC 7240 4.3) asks the server to hold its answer until there
is news, for N seconds at most. C{Preference-Applied} in the answer confirms
that it does. A server that confirms it but answers early, or not at all, is not
long-polled for a while after a few times. A stream of events counts as a long
poll: it keeps a request open, too.
"""

from __future__ import annotations

import re

from twisted.internet.interfaces import IReactorTime

from statusjob.client.http.exchange import Answer

#: Seconds for which a server is asked to hold an answer. HAProxy usually gives up after 50
#: seconds, other proxies after 60.
LONG_WAIT = 45
#: Seconds asked for once an answer was lost after that long. Some proxies give up after 30.
SHORT_WAIT = 20
#: A server that holds answers for fewer seconds than this is polled instead.
LEAST_WAIT = 5
#: An answer that comes at most this many seconds before its time is not early.
ROUNDING = 1.0
#: After this many early ends in a row there are no long polls for C{PAUSE} seconds.
MAX_EARLY_ENDS = 3
PAUSE = 600.0

_APPLIED = re.compile(r'(?:\A|,)\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:[,;]|\Z)', re.IGNORECASE)


class LongPollSupport:
    """
    What a run knows about the long polls of its server.

    @ivar confirmed: whether the server is known to support long polls.
    """

    def __init__(self, clock: IReactorTime, request_timeout: float, *, confirmed: bool) -> None:
        """
        @param request_timeout: seconds that the answer to a poll may take.
        """
        self.confirmed = confirmed
        self._clock = clock
        # Until long polling is confirmed, ask for half the request timeout.
        self._unconfirmed_wait = max(1, int(request_timeout / 2))
        self._confirmed_wait = LONG_WAIT
        self._early_ends = 0
        self._paused_until = 0.0

    @property
    def wait(self) -> int:
        """For how many seconds to ask the server to hold the next answer."""
        return self._confirmed_wait if self.confirmed else self._unconfirmed_wait

    @property
    def paused(self) -> bool:
        """Whether there are no long polls for now, because too many ended early."""
        return self._early_ends >= MAX_EARLY_ENDS and self._clock.seconds() < self._paused_until

    def ended_in_time(self) -> None:
        """Take note that a long poll lasted as long as it should, or brought news."""
        self._early_ends = 0

    def ended_early(self) -> int:
        """
        Take note that a long poll ended early.

        @return: how many did so in a row.
        """
        self._early_ends += 1
        if self._early_ends >= MAX_EARLY_ENDS:
            self._paused_until = self._clock.seconds() + PAUSE
        return self._early_ends

    def lost(self, seconds: float) -> None:
        """
        Take note that a long poll was lost: no answer came, or none of use.

        @param seconds: for how long it had been under way.
        """
        if seconds >= SHORT_WAIT:
            self._confirmed_wait = SHORT_WAIT
        self.ended_early()


def applied_wait(answer: Answer) -> int:
    """
    Read from C{Preference-Applied} for how long the server holds such an answer.

    @return: seconds; 0 if it does not hold it.
    """
    found = _APPLIED.search(answer.header("Preference-Applied") or "")
    return int(found[1]) if found else 0
