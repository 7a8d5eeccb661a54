"""
How a server is asked while a job is watched: whether to hold its answer, and when again.

C{Prefer: wait} (RFC 7240 4.3) asks it to hold the answer until there is news,
C{Preference-Applied} tells whether it was heeded; then it is asked again at
once. One that does not heed it is asked at the pace, and to hold the answer
again each time, which costs nothing. One that claims to, and answers early or
not at all, is left in peace for a while after a few times. At the pace, too,
goes who finds no place for another held connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from twisted.logger import Logger

from statusjob.client.errors import RetriesExhausted, Transient
from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import Session
from statusjob.jobs import Status
from statusjob.pace.bounds import Pace

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    How to watch.

    @ivar max_retries: how many failures in a row are outlived.
    @ivar timeout: seconds for everything, or C{None}.
    @ivar learn: is told at the end between which two ages (seconds) the job ended.
    @ivar random: draws numbers from 0 to 1.
    """

    pace: Pace
    learn: Callable[[float, float], object]
    max_retries: int
    timeout: float | None
    on_update: Callable[[Status], object] | None
    random: Callable[[], float]


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


class Asking:
    """
    What one run of watching knows of its server.

    @ivar able: whether it holds answers, as far as is known.
    """

    _log = Logger()

    def __init__(self, session: Session, rules: Rules, *, able: bool) -> None:
        self._session = session
        self._clock = session.reactor
        self._connections = session.connections
        self._rules = rules
        self._pace = rules.pace
        self.able = able
        self._long = LONG_WAIT
        # Who is not known to hold answers must not be waited for longer than for any other.
        self._trial = max(1, int(session.timeout / 2))
        self._failures = 0
        self._broken = 0
        self._rested = 0.0
        self._plain = False
        self._again = False

    @property
    def ready(self) -> bool:
        """Whether the next question will be held."""
        return (
            self.able and not self._plain and not self._resting and self._connections.has_free_slot
        )

    @contextmanager
    def question(self) -> Iterator[Question]:
        """Ask inside; with a place among the held connections, if there is one."""
        now = self._clock.seconds()
        if self._plain or self._resting:
            yield Question(0, 0, now)
            return
        with self._connections.take_slot() as taken:
            wait = (self._long if self.able else self._trial) if taken else 0
            yield Question(wait, wait if self.able else 0, now)

    def answered(
        self,
        question: Question,
        answer: Answer,
        *,
        age: float,
        first: bool,
        news: bool = False,
    ) -> float:
        """
        How many seconds to wait after an answer that was not the last.

        @param age: the job's, in seconds.
        @param first: whether it is the first, which comes at once.
        @param news: whether it told anything new: then it may be an early one, too.
        """
        self._failures = 0
        self._plain = False
        wait = self._held(question, answer, first, news)
        if wait is not None:
            return wait
        return self._pace.next_wait(
            age, draw=self._rules.random(), retry_after=self._session.retry_after(answer)
        )

    def broke_off(self, question: Question, retry: float | None, *, age: float) -> float:
        """
        How many seconds to wait after a stream, which is held as an answer is, came to its end
        before the job did.

        @param retry: how many seconds the stream asked to wait in that case.
        @param age: the job's, in seconds.
        """
        self._failures = 0
        self._plain = False
        self.able = True
        u = self._rules.random()
        if self._clock.seconds() - question.begun >= SHORT_WAIT:
            self._broken = 0
            return self._pace.backoff(1, draw=u, retry_after=retry)
        wait = self._broke()
        return self._pace.next_wait(age, draw=u, retry_after=retry) if wait is None else wait

    def failed(self, question: Question, problem: Transient) -> float:
        """
        How many seconds to wait after no answer came.

        The next question is a plain one: what a server does not do for those who wait, it may do
        for others. What was lost after it had been held for a while does not count as a failure:
        between two questions nobody would have noticed.

        @raise RetriesExhausted: if that was one too many.
        """
        took = self._clock.seconds() - question.begun
        self._plain = True
        if question.held:
            if took >= SHORT_WAIT:
                self._long = SHORT_WAIT
            self._broke()
            # A server that was merely restarted will hold the next one.
            self._again = not self._resting
        if not (question.held and took >= self._pace.request_cost):
            self._failures += 1
        if self._failures > self._rules.max_retries:
            raise RetriesExhausted(self._failures, problem)
        wait = self._pace.backoff(
            max(1, self._failures), draw=self._rules.random(), retry_after=problem.retry_after
        )
        self._log.info("asking again in {wait:.1f} s: {problem}", wait=wait, problem=str(problem))
        return wait

    def _held(self, question: Question, answer: Answer, first: bool, news: bool) -> float | None:
        """What to wait after an answer; C{None} if that is for the pace to say."""
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
            return min(max(0.0, self._pace.request_cost - took), self._pace.request_cost)
        return self._broke()

    def _broke(self) -> float | None:
        """Take note of a wait that did not last; what to wait now, C{None} as in L{_held}."""
        self._broken += 1
        if self._broken >= GIVE_UP:
            self._rested = self._clock.seconds() + REST
            return None
        return self._pace.backoff(self._broken, draw=self._rules.random())

    @property
    def _resting(self) -> bool:
        return self._broken >= GIVE_UP and self._clock.seconds() < self._rested


def _applied(answer: Answer) -> int:
    """The seconds that the server says it has held the answer, or would have; 0 if it does not."""
    found = _APPLIED.search(answer.header("Preference-Applied") or "")
    return int(found[1]) if found else 0
