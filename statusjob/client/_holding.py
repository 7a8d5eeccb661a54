"""
Whether a server is asked to hold its answer until there is news, and what is made of that.

C{Prefer: wait} (RFC 7240 4.3) asks, C{Preference-Applied} tells whether it was
heeded. One that does not heed it is asked again with every question, which
costs nothing. One that claims to, and answers early or not at all, is left in
peace for a while after a few times: then the pace alone decides, as it does
when there is no place for another held connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from statusjob.client._connections import Connections
from statusjob.exchange import Answer
from statusjob.pace import Pace

#: Seconds that a server is asked to hold an answer: many proxies give up at 60,
LONG_WAIT = 50
#: and some at 30: what is asked for once an answer was lost after that long.
SHORT_WAIT = 20
#: One that only holds for less than this is better polled.
LEAST_WAIT = 5
#: Answers may come so much sooner (seconds) than was asked for.
_ROUNDING = 1.0
#: After so many in a row that did not last no more are asked for, for so many seconds.
GIVE_UP = 3
REST = 600.0

_APPLIED = re.compile(r'(?:\A|,)\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:[,;]|\Z)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """
    How one question is asked.

    @ivar wait: for how many seconds the server is asked to hold the answer; 0 for not at all.
    @ivar held: for how many it is expected to.
    @ivar begun: when it was asked.
    """

    wait: int
    held: int
    begun: float

    @property
    def headers(self) -> dict[str, str]:
        """What to send along."""
        return {"Prefer": f"wait={self.wait}"} if self.wait else {}


class Holding:
    """
    What one run of watching knows of its server's patience.

    @ivar able: whether the server holds answers, as far as is known.
    """

    def __init__(
        self,
        connections: Connections,
        clock: IReactorTime,
        *,
        request_timeout: float,
        pace: Pace,
        random: Callable[[], float],
        able: bool,
    ) -> None:
        """
        @param request_timeout: seconds in which one that does not hold its answer has to give it.
        @param random: draws numbers from 0 to 1.
        """
        self._connections = connections
        self._clock = clock
        self._pace = pace
        self._random = random
        self.able = able
        self._long = LONG_WAIT
        # Who is not known to hold answers must not be waited for longer than for any other.
        self._trial = max(1, int(request_timeout / 2))
        self._plain = False
        self._again = False
        self._broken = 0
        self._rested = 0.0

    @property
    def ready(self) -> bool:
        """Whether the next question will be held."""
        return self.able and not self._plain and not self._resting and self._connections.free

    @contextmanager
    def question(self) -> Iterator[Question]:
        """Ask inside; with a place among the held connections, if there is one."""
        now = self._clock.seconds()
        if self._plain or self._resting:
            yield Question(0, 0, now)
            return
        with self._connections.place() as taken:
            wait = (self._long if self.able else self._trial) if taken else 0
            yield Question(wait, wait if self.able else 0, now)

    def after(
        self, question: Question, answer: Answer, *, first: bool, news: bool = False
    ) -> float | None:
        """
        How long to wait after an answer that was not the last.

        @param first: whether it is the first, which comes at once.
        @param news: whether it told anything new: then it may be an early one, too.
        @return: seconds; C{None} if that is for the pace to say.
        """
        self._plain = False
        if not question.wait:
            again, self._again = self._again, False
            return 0.0 if again else None
        applied = _applied(answer)
        self.able = applied >= min(question.wait, LEAST_WAIT)
        if not self.able:
            return None
        if first:
            return 0.0
        took = self._clock.seconds() - question.begun
        if news or took >= min(question.wait, applied) - _ROUNDING:
            self._broken = 0
            return min(max(0.0, self._pace.r - took), self._pace.r)
        return self.broke()

    def failed(self, question: Question) -> bool:
        """
        Take note that no answer came. The next question is a plain one: what the server does not
        do for those who wait, it may do for others.

        @return: whether that counts as a failure. What was lost after it had been held for a while
            does not: between two questions nobody would have noticed.
        """
        self._plain = True
        if not question.held:
            return True
        took = self._clock.seconds() - question.begun
        if took >= SHORT_WAIT:
            self._long = SHORT_WAIT
        self.broke()
        # A server that was merely restarted will hold the next one.
        self._again = not self._resting
        return took < self._pace.r

    def broke(self) -> float | None:
        """Take note of a wait that did not last; what to wait now, C{None} as in L{after}."""
        self._broken += 1
        if self._broken >= GIVE_UP:
            self._rested = self._clock.seconds() + REST
            return None
        return self._pace.backoff(self._broken, u=self._random())

    @property
    def _resting(self) -> bool:
        return self._broken >= GIVE_UP and self._clock.seconds() < self._rested


def _applied(answer: Answer) -> int:
    """The seconds that the server says it has held the answer, or would have; 0 if it does not."""
    found = _APPLIED.search(answer.header("Preference-Applied") or "")
    return int(found[1]) if found else 0
