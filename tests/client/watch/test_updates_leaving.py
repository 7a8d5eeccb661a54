"""Leaving the iterator of updates at any time: in memory, on a clock."""

from __future__ import annotations

import gc
import threading
from contextlib import aclosing
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from statusjob import Status, StatusClient
from statusjob.client.http.connections import shared_connections
from statusjob.client.watch.updates import _Latest
from tests.helpers.scripted_server import BASE, JOB_ID, Unresolved, a_job, hold, problem
from tests.helpers.scripted_streams import StreamServer, UpdatesTestCase
from tests.helpers.sockets import SocketTestCase, reactor, until


class LeavingTests(UpdatesTestCase):
    """Leaving early leaves nothing under way."""

    def break_off(self) -> Deferred[Any]:
        """Leave after the first state."""

        async def consume() -> None:
            async for job in self.client().updates():
                self.jobs.append(job)
                break
            self.server.settle()
            self.assert_nothing_left()

        return self.begin(consume())

    def test_a_break_closes_the_stream(self) -> None:
        self.successResultOf(self.break_off())
        self.assertEqual(self.versions, [1])

    def test_a_break_ends_the_long_poll(self) -> None:
        self.server.instead, self.server.holds = problem(404, "no"), True
        self.successResultOf(self.break_off())

    def test_a_break_ends_the_wait_between_polls(self) -> None:
        self.server.instead = problem(404, "no")
        self.successResultOf(self.break_off())

    def test_aclose_ends_an_iterator_that_is_still_referred_to(self) -> None:
        async def consume() -> None:
            async with aclosing(self.client().updates()) as updates:
                async for job in updates:
                    self.jobs.append(job)
                    break
                self.assertEqual(len(self.server.streams), 1)
            self.assert_nothing_left()
            # A closed iterator has no more states.
            self.jobs += [job async for job in updates]

        self.successResultOf(self.begin(consume()))
        self.assertEqual(self.versions, [1])

    def test_closing_twice(self) -> None:
        updates = self.client().updates()
        self.begin(updates.__anext__())
        for _ in range(2):
            self.successResultOf(updates.aclose())
        self.assert_nothing_left()

    def test_closing_while_a_consumer_waits(self) -> None:
        updates = self.client().updates()
        followed = self.consume(updates)
        self.successResultOf(updates.aclose())
        self.server.settle()
        self.successResultOf(followed)
        self.assert_nothing_left()

    def test_cancelling_during_each_strategy(self) -> None:
        nothing = problem(404, "no")
        for instead, holds in ((None, False), (nothing, True), (nothing, False), (hold, False)):
            self.server.instead, self.server.holds = instead, holds
            followed = self.follow()
            followed.cancel()
            self.failureResultOf(followed, CancelledError)
            self.assert_nothing_left()

    def test_closing_while_the_name_is_resolved(self) -> None:
        unresolved = Unresolved()
        updates = StatusClient(BASE, reactor=self.clock, treq=unresolved).updates()
        waiting = self.begin(updates.__anext__())
        closed = updates.aclose()
        self.clock.pump([1] * 100)
        self.successResultOf(closed)
        self.failureResultOf(waiting, StopAsyncIteration)
        self.assertEqual(unresolved.requests, 1)

    def test_cancelling_while_the_name_is_resolved(self) -> None:
        unresolved = Unresolved()
        updates = StatusClient(BASE, reactor=self.clock, treq=unresolved).updates()
        followed = self.consume(updates)
        followed.cancel()
        self.clock.pump([1] * 100)
        self.failureResultOf(followed, CancelledError)
        self.successResultOf(updates.aclose())
        self.assertEqual(unresolved.requests, 1)

    def test_cancelling_when_an_update_has_just_come(self) -> None:
        followed = self.follow()
        request = self.server.streams[0]
        self.server.job = a_job(version=2)
        request.write(self.server.event())
        self.server.stub.flush()
        followed.cancel()
        self.failureResultOf(followed, CancelledError)
        self.assert_nothing_left()

    def test_a_consumer_that_raises_an_error(self) -> None:
        async def consume() -> None:
            async for _ in self.client().updates():
                raise ZeroDivisionError

        failure = self.failureResultOf(self.begin(consume()), ZeroDivisionError)
        # The traceback refers to the iterator, and so keeps it alive.
        failure.value.__traceback__ = None
        del failure
        gc.collect()
        self.assert_nothing_left()

    def test_a_second_concurrent_wait_is_an_error(self) -> None:
        updates = self.client().updates()
        first = self.begin(updates.__anext__())
        self.assertEqual(self.successResultOf(first).version, 1)
        second = self.begin(updates.__anext__())
        self.failureResultOf(self.begin(updates.__anext__()), RuntimeError)
        self.server.change("completed")
        self.assertIs(self.successResultOf(second).result, Status.COMPLETED)

    def test_several_iterators_of_one_client(self) -> None:
        client = self.client()
        followed = [self.consume(client.updates()) for _ in range(3)]
        self.assertEqual(len(self.server.streams), 3)
        self.server.change("completed")
        for each in followed:
            self.successResultOf(each)
        self.assertEqual(self.versions, [1, 1, 1, 2, 2, 2])


class CollectedTests(SocketTestCase):
    """An iterator that is collected as garbage in a thread, on loopback."""

    async def test_it_is_closed_in_the_thread_of_the_reactor(self) -> None:
        server = StreamServer(Clock())
        url = f"{self.serve(server)}/jobs/{JOB_ID}"
        kept = [StatusClient(url, reactor=reactor).updates()]
        await kept[0].__anext__()
        await until(lambda: server.streams)
        closed_in: list[int] = []
        close = _Latest.close

        def noting(latest: _Latest) -> Deferred[None]:
            closed_in.append(threading.get_ident())
            return close(latest)

        self.patch(_Latest, "close", noting)
        await deferToThread(kept.clear)
        await until(lambda: closed_in and not server.streams)
        self.assertEqual(closed_in, [threading.get_ident()])
        await until(lambda: shared_connections(reactor).idle)
