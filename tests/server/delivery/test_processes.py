"""Webhooks of servers that are killed or stopped during deliveries, and started again."""

from __future__ import annotations

import signal
import time
from typing import Any

from twisted.internet.task import deferLater
from twisted.web.server import Site

from statusjob.failures import ExchangeFailed
from statusjob.server.store.origins import MAX_SLOTS
from tests.helpers.inbox import Inbox, disordered
from tests.helpers.processes import InboxTestCase, ServerProcess, reactor, together
from tests.helpers.sockets import Refusing, open_sockets

#: Seconds that anything here may take.
SOON = 40
#: Seconds after which a healthy origin was held up.
HELD_UP = 10
#: How many deliveries wait for a dead origin.
BACKLOG = 200


class DeliveryProcessTestCase(InboxTestCase):
    """
    One webhook for all jobs.

    @ivar hook: its id, and C{secret} its secret.
    """

    hook = secret = ""

    async def serve(self, drain: str = "10") -> ServerProcess:
        process = await self.start(STATUSJOB_DRAIN=drain)
        # After the first start the webhook exists already, and its secret is no longer shown.
        _, answer = await self.client.ask(
            "POST", f"{process.url}/webhooks", {"url": self.webhook, "kind": "work"}
        )
        self.hook = answer["id"]
        self.secret = answer.get("secret") or self.secret
        return process

    async def finish(self, url: str, kind: str = "work") -> str:
        """Create a job and end it; give its id."""
        _, job = await self.client.ask("POST", f"{url}/jobs", {"kind": kind})
        code, job = await self.client.ask(
            "PATCH", f"{url}/jobs/{job['id']}", {"result": "completed", "output": job["id"]}
        )
        self.assertEqual(code, 200)
        return str(job["id"])

    async def arrived(self, count: int) -> None:
        """Wait until so many attempts have arrived."""
        enough = self.inbox.until(lambda: len(self.inbox.arrivals) >= count)
        await enough.addTimeout(SOON, reactor)

    async def deliveries(self, url: str) -> list[Any]:
        """Ask the server for all deliveries of the webhook, the oldest first."""
        _, shown = await self.client.ask("GET", f"{url}/webhooks/{self.hook}/deliveries")
        return list(reversed(shown["deliveries"]))

    async def settled(self, url: str, count: int) -> None:
        """Wait until so many deliveries are settled as delivered."""
        while sum(each["state"] == "delivered" for each in await self.deliveries(url)) < count:
            pass

    async def stop(self, process: ServerProcess) -> None:
        await self.client.close()
        await super().stop(process)

    def jobs(self) -> list[str]:
        """Give the job of each attempt that arrived."""
        return [arrival.job for arrival in self.inbox.arrivals]


class KillTests(DeliveryProcessTestCase):
    """C{kill -9}."""

    async def test_an_update_that_was_acknowledged_just_before_a_kill_is_delivered(
        self,
    ) -> None:
        process = await self.serve()
        ended = set()
        for _ in range(3):
            ended.add(await self.finish(process.url))
        process.kill()
        self.assertEqual(await process.ended, -signal.SIGKILL)
        process = await self.serve()
        await self.inbox.received(ended).addTimeout(SOON, reactor)
        self.assertEqual(disordered(self.inbox.arrivals), [])
        await self.stop(process)

    async def test_only_what_was_received_but_not_settled_before_a_kill_comes_again(
        self,
    ) -> None:
        process = await self.serve()
        settled = await self.finish(process.url)
        await self.settled(process.url, 1)
        self.inbox.delay = None
        held = await self.finish(process.url)
        await self.arrived(2)
        process.kill()
        await process.ended
        # Timestamps of attempts are whole seconds.
        await deferLater(reactor, 1.0)
        self.inbox.delay = 0.0
        process = await self.serve()
        await self.arrived(3)
        last = await self.finish(process.url)
        await self.settled(process.url, 3)
        await self.stop(process)
        self.assertEqual(self.jobs(), [settled, held, held, last])
        _, first, second, _ = self.inbox.arrivals
        self.assertEqual((first.id, first.body), (second.id, second.body))
        timestamps = [each.verified(self.secret).timestamp for each in (first, second)]
        self.assertLess(*timestamps)
        self.assertLessEqual(timestamps[1], time.time())

    async def test_a_kill_during_an_attempt_uses_up_no_step_of_the_schedule(self) -> None:
        process = await self.serve()
        self.inbox.delay = None
        await self.finish(process.url)
        for count in (1, 2):
            await self.arrived(count)
            process.kill()
            await process.ended
            process = await self.serve()
        await self.arrived(3)
        self.inbox.release()
        await self.settled(process.url, 1)
        (delivery,) = await self.deliveries(process.url)
        self.assertEqual([each["attempt"] for each in delivery["attempts"]], [1])
        await self.stop(process)


class TerminationTests(DeliveryProcessTestCase):
    """SIGTERM during attempts."""

    async def terminate(self, process: ServerProcess) -> float:
        """Ask a server to stop, wait until its ports are closed, and give the time of asking."""
        await self.client.close()
        process.kill(signal.SIGTERM)
        begun: float = reactor.seconds()
        while True:
            try:
                await self.client.ask("GET", f"{process.url}/status")
            except ExchangeFailed:
                return begun

    async def test_an_attempt_that_is_answered_within_the_drain_time_counts(self) -> None:
        process = await self.serve()
        self.inbox.delay = None
        slow = await self.finish(process.url)
        await self.arrived(1)
        begun = await self.terminate(process)
        self.assertTrue(process.running)
        self.inbox.release()
        await self.assert_stopped(process)
        self.assertLess(reactor.seconds() - begun, 9)
        process = await self.serve()
        last = await self.finish(process.url)
        await self.settled(process.url, 2)
        await self.stop(process)
        self.assertEqual(self.jobs(), [slow, last])

    async def test_an_attempt_without_an_answer_is_made_again_after_the_next_start(self) -> None:
        process = await self.serve(drain="1")
        self.inbox.delay = None
        ended = {await self.finish(process.url) for _ in range(3)}
        await self.arrived(3)
        begun = await self.terminate(process)
        await self.assert_stopped(process)
        took = reactor.seconds() - begun
        self.assertTrue(0.9 < took < 9, took)
        before = {arrival.id for arrival in self.inbox.arrivals}
        self.inbox.delay = 0.0
        process = await self.serve()
        await self.settled(process.url, 3)
        await self.stop(process)
        after = self.inbox.arrivals[3:]
        self.assertEqual({arrival.id for arrival in after}, before)
        self.assertEqual({arrival.job for arrival in after}, ended)
        self.assertEqual(len(after), 3)


class BacklogTests(DeliveryProcessTestCase):
    """A dead origin with a backlog of deliveries."""

    async def test_a_dead_origin_holds_up_no_other_and_gets_its_backlog_later(self) -> None:
        dead, revived = Refusing(), Inbox(None)
        process = await self.serve()
        webhook = {"url": f"http://127.0.0.1:{dead.port}/", "kind": "dead"}
        await self.client.ask("POST", f"{process.url}/webhooks", webhook)
        await together(*(self.finish_many(process.url, BACKLOG // 4) for _ in range(4)))
        for _ in range(20):
            job = await self.finish(process.url)
            await self.inbox.received({job}).addTimeout(HELD_UP, reactor)
        site = Site(revived)
        site.noisy = False
        port = await dead.revive(site)
        self.addCleanup(port.stopListening)
        await revived.until(lambda: bool(revived.arrivals)).addTimeout(SOON, reactor)
        # The revived origin gets one probe. This delivery to another origin comes after it.
        await self.inbox.received({await self.finish(process.url)}).addTimeout(HELD_UP, reactor)
        self.assertEqual((len(revived.arrivals), open_sockets(dead.port)), (1, 1))
        revived.release(0.01)
        await revived.until(lambda: len(revived.results) == BACKLOG).addTimeout(SOON, reactor)
        self.assertLessEqual(revived.most, MAX_SLOTS)
        self.assertEqual(disordered(revived.arrivals), [])
        self.assertEqual(len(revived.arrivals), BACKLOG)
        await self.stop(process)

    async def finish_many(self, url: str, count: int) -> None:
        for _ in range(count):
            await self.finish(url, "dead")
