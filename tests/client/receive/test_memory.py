"""What a receiver remembers: in its process, or in a memory that the user provides."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from statusjob import (
    BadSetting,
    InProcessMemory,
    Status,
    WebhookDelivery,
    WebhookEvent,
    WebhookMemory,
)
from statusjob.client.receive.memory import MEMORY_SPAN, RecentNumbers
from tests.helpers.programs import ROOT
from tests.helpers.receiver import NOW, SlowHandlerTestCase, payload
from tests.helpers.scripted_server import JOB_ID, OTHER_ID, event

#: The class in the documentation of the interface.
EXAMPLE = textwrap.dedent(
    inspect.cleandoc(WebhookMemory.__doc__ or "").split("::\n\n")[1].split("\n\nMake C{id}")[0]
)
HOUR = 3600.0
DAY = 24 * HOUR


class DeliveryTests(SynchronousTestCase):
    """The part of a delivery that is remembered."""

    def test_the_order_key_rises_with_the_version_and_is_greatest_at_the_end(self) -> None:
        order_keys = [
            WebhookDelivery.of("msg_1", event(result, version=version)).order_key
            for result, version in (
                ("pending", 1),
                ("pending", 2),
                ("pending", 2**53),
                ("completed", 1),
                ("error", 2),
                ("completed", 2**53),
            )
        ]
        self.assertEqual(order_keys, sorted(set(order_keys)))
        self.assertLess(order_keys[-1], 2**63)

    def test_a_delivery_without_a_job_has_only_its_id(self) -> None:
        told = WebhookEvent(Status.COMPLETED, float(NOW))
        self.assertEqual(WebhookDelivery.of("msg_1", told), WebhookDelivery("msg_1", None, 0))


def delivery(number: int, order_key: int = 1, job: str | None = JOB_ID) -> WebhookDelivery:
    """A delivery of that number."""
    return WebhookDelivery(f"msg_{number}", job, order_key)


class InProcessMemoryTests(SynchronousTestCase):
    """The memory of a receiver that was given none."""

    def test_a_remembered_delivery_is_handled(self) -> None:
        memory: WebhookMemory = InProcessMemory()
        self.assertFalse(memory.is_handled(delivery(1), NOW))
        memory.remember(delivery(1), NOW)
        self.assertTrue(memory.is_handled(delivery(1), NOW))
        self.assertFalse(memory.is_handled(delivery(2, job=OTHER_ID), NOW))
        self.assertFalse(memory.is_handled(delivery(2, job=None), NOW))

    def test_a_version_up_to_the_greatest_that_was_remembered_is_handled(self) -> None:
        memory = InProcessMemory()
        for number, order_key in ((1, 5), (2, 3)):
            memory.remember(delivery(number, order_key), NOW)
        known = [
            order_key
            for order_key in range(1, 9)
            if memory.is_handled(delivery(9, order_key), NOW)
        ]
        self.assertEqual(known, [1, 2, 3, 4, 5])

    def test_a_remembered_id_is_handled_whatever_its_order_key(self) -> None:
        memory = InProcessMemory()
        memory.remember(delivery(1, 1), NOW)
        self.assertTrue(memory.is_handled(delivery(1, 9), NOW))

    def test_it_remembers_for_a_week_which_is_longer_than_a_server_tries(self) -> None:
        schedule = (0, 5, 30, 120, 600, 3600, 21600, 86400)
        self.assertGreater(MEMORY_SPAN, 1.25 * sum(schedule) + 5 * DAY)
        memory = InProcessMemory()
        memory.remember(delivery(1), NOW)
        for again in (delivery(1, job=None), delivery(2)):
            self.assertTrue(memory.is_handled(again, NOW + 7 * DAY))
            self.assertFalse(memory.is_handled(again, NOW + 7 * DAY + 1))

    def test_a_job_is_remembered_from_its_last_change_on(self) -> None:
        memory = InProcessMemory()
        memory.remember(delivery(1, 5), NOW)
        memory.remember(delivery(2, 6), NOW + 5 * DAY)
        self.assertTrue(memory.is_handled(delivery(3, 5), NOW + 10 * DAY))

    def test_beyond_the_limit_the_oldest_entries_are_forgotten(self) -> None:
        memory = InProcessMemory(limit=3)
        for number in range(5):
            memory.remember(delivery(number, job=f"job-{number}"), NOW)
        for again in (delivery(0, job=None), delivery(9, job="job-0")):
            self.assertFalse(memory.is_handled(again, NOW))
        known = [
            number for number in range(5) if memory.is_handled(delivery(number, job=None), NOW)
        ]
        self.assertEqual(known, [2, 3, 4])
        jobs = [delivery(9, job=f"job-{number}") for number in range(5)]
        known = [number for number, again in enumerate(jobs) if memory.is_handled(again, NOW)]
        self.assertEqual(known, [2, 3, 4])

    def test_a_job_with_new_updates_is_remembered_longer_than_others(self) -> None:
        memory = InProcessMemory(limit=2)
        for number, job in enumerate(("goes on", "rests", "goes on", "new")):
            memory.remember(delivery(number, number, job), NOW)
        self.assertTrue(memory.is_handled(delivery(9, 2, "goes on"), NOW))
        self.assertFalse(memory.is_handled(delivery(9, 1, "rests"), NOW))

    def test_a_clock_that_steps_loses_nothing_of_the_last_days(self) -> None:
        for step in (-HOUR, HOUR):
            memory = InProcessMemory()
            memory.remember(delivery(1), NOW)
            memory.remember(delivery(2, job=OTHER_ID), NOW + step)
            for number in (1, 2):
                self.assertTrue(
                    memory.is_handled(delivery(number, job=None), NOW + step + 6 * DAY)
                )

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.floats(-9, 99))))
    def test_the_latest_delivery_is_always_remembered(
        self, told: list[tuple[int, int, float]]
    ) -> None:
        memory = InProcessMemory(span=10, limit=3)
        for number, job, now in told:
            memory.remember(delivery(number, number, f"job-{job}"), now)
            self.assertTrue(memory.is_handled(delivery(number, number, f"job-{job}"), now))

    def test_its_bounds_must_make_sense(self) -> None:
        for bad in ({"span": 0.0}, {"span": float("nan")}, {"span": -1.0}, {"limit": 0}):
            self.assertRaises(BadSetting, InProcessMemory, **bad)


class RecentNumbersTests(SynchronousTestCase):
    """The mapping that bounds an C{InProcessMemory}."""

    def test_old_entries_disappear_as_new_ones_are_put(self) -> None:
        recent = RecentNumbers(7 * DAY, 1000)
        for number in range(100):
            recent.put(f"job-{number}", 1, NOW)
        for number in range(100, 150):
            recent.put(f"job-{number}", 1, NOW + 8 * DAY)
        self.assertEqual(len(recent), 50)

    @given(st.lists(st.tuples(st.integers(0, 9), st.floats(-9, 99))))
    def test_it_never_grows_past_its_limit(self, told: list[tuple[int, float]]) -> None:
        recent = RecentNumbers(10, 3)
        for number, now in told:
            recent.put(f"job-{number}", number, now)
            self.assertEqual(recent.get(f"job-{number}", now), number)
            self.assertLessEqual(len(recent), 3)


class DocumentedMemoryTests(TestCase):
    """The example in the documentation of C{WebhookMemory}, with SQLite."""

    async def test_the_example_program_has_the_same_but_for_docstrings_and_types(self) -> None:
        def plain(source: str) -> str:
            (found,) = (
                node
                for node in ast.parse(source).body
                if isinstance(node, ast.ClassDef) and node.name == "StoredMemory"
            )
            for node in ast.walk(found):
                if isinstance(node, ast.FunctionDef):
                    node.returns = None
                elif isinstance(node, ast.arg):
                    node.annotation = None
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                    del node.body[0]
            return ast.unparse(found)

        example = (ROOT / "examples/webhook_memory.py").read_text()
        self.assertEqual(plain(example), plain(EXAMPLE))

    async def test_the_example_remembers_what_our_memory_remembers(self) -> None:
        names: dict[str, Any] = {}
        exec(EXAMPLE, names)
        pool: Any = ConnectionPool("sqlite3", self.mktemp(), check_same_thread=False, cp_max=1)
        self.addCleanup(pool.close)
        await pool.runOperation(
            "CREATE TABLE handled (id TEXT PRIMARY KEY, job TEXT, order_key INTEGER, at REAL)"
        )
        stored, ours = names["StoredMemory"](pool), InProcessMemory()
        for told in (delivery(1, 5), delivery(2, 3), delivery(3, 1, None), delivery(1, 2**63 - 1)):
            await stored.remember(told, NOW)
            ours.remember(told, NOW)
        for asked in (delivery(9, 9), delivery(9, 1, OTHER_ID), delivery(3), delivery(4, 0, None)):
            known = await stored.is_handled(asked, NOW)
            self.assertIs(known, ours.is_handled(asked, NOW), asked)


class FlakyMemory:
    """
    A memory whose methods can be made to fail.

    @ivar failing: the names of the methods that fail.
    """

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        """
        @param answer: turns a result into the value that a method returns.
        """
        self.failing: set[str] = set()
        self.memory = InProcessMemory()
        self._answer = answer

    def is_handled(self, delivery: WebhookDelivery, now: float) -> Any:
        return self._do("is_handled", delivery, now)

    def remember(self, delivery: WebhookDelivery, now: float) -> Any:
        return self._do("remember", delivery, now)

    def _do(self, name: str, delivery: WebhookDelivery, now: float) -> Any:
        if name in self.failing:
            return fail(ConnectionError("the database is gone"))
        return self._answer(getattr(self.memory, name)(delivery, now))


async def later(value: Any) -> Any:
    """Return a value later, from a coroutine."""
    return await succeed(value)


class MemoryTests(SlowHandlerTestCase):
    """A user's memory: when it is called, and what happens if it fails."""

    def test_it_may_return_values_deferreds_and_coroutines(self) -> None:
        answers: tuple[Callable[[Any], Any], ...] = (lambda value: value, succeed, later)
        for answer in answers:
            self.events.clear()
            receiver = self.receiver(memory=FlakyMemory(answer))
            for _ in range(2):
                self.assertEqual(self.code(self.send(receiver)), 204)
            self.assertEqual(len(self.events), 1)

    def test_two_receivers_may_share_a_memory(self) -> None:
        memory = InProcessMemory()
        for _ in range(2):
            self.assertEqual(self.code(self.send(self.receiver(memory=memory))), 204)
        self.assertEqual(len(self.events), 1)

    def test_a_delivery_is_remembered_only_after_its_handler_succeeded(self) -> None:
        memory = InProcessMemory()
        receiver = self.slow_receiver(memory=memory)
        delivery = WebhookDelivery.of("msg_1", event())
        for finish, remembered in ((self.fail_handler, False), (self.succeed, True)):
            self.send(receiver)
            self.assertFalse(memory.is_handled(delivery, NOW))
            finish()
            self.assertEqual(memory.is_handled(delivery, NOW), remembered)

    def test_if_is_handled_fails_nothing_is_handled_and_the_sender_tries_again(self) -> None:
        memory = FlakyMemory(succeed)
        receiver = self.receiver(memory=memory)
        memory.failing = {"is_handled"}
        self.refused(self.send(receiver), 500)
        self.assertEqual(len(self.flushLoggedErrors(ConnectionError)), 1)
        self.assertEqual(self.events, [])
        memory.failing = set()
        self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(len(self.events), 1)

    def test_if_remember_fails_the_delivery_is_sent_and_handled_again(self) -> None:
        memory = FlakyMemory(succeed)
        receiver = self.receiver(memory=memory)
        memory.failing = {"remember"}
        self.refused(self.send(receiver), 500)
        self.assertEqual(len(self.flushLoggedErrors(ConnectionError)), 1)
        memory.failing = set()
        for _ in range(2):
            self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(len(self.events), 2)

    def test_repetitions_wait_while_the_memory_is_asked(self) -> None:
        asked: Deferred[bool] = Deferred()
        memory = FlakyMemory(lambda _: asked)
        receiver = self.receiver(memory=memory)
        sent = [self.send(receiver) for _ in range(2)]
        self.assertTrue(all(self.waiting(each) for each in sent))
        self.assertEqual(self.events, [])
        asked.callback(False)
        self.assertEqual([self.code(each) for each in sent], [204, 204])
        self.assertEqual(len(self.events), 1)

    def test_the_memory_is_given_the_present_time(self) -> None:
        receiver = self.receiver(memory=InProcessMemory(span=100))
        for later_by, handled in ((0, 1), (100, 1), (1, 2)):
            self.clock.advance(later_by)
            self.send(receiver, timestamp=int(self.clock.seconds()))
            self.assertEqual(len(self.events), handled)

    def test_no_end_of_a_job_is_lost_when_the_memory_is_full(self) -> None:
        receiver = self.receiver(memory=InProcessMemory(limit=2))
        jobs = [f"01936b5e-7d4c-7e3a-8c1d-{number:012x}" for number in range(10)]
        for job in jobs:
            for version, result in ((1, "pending"), (2, "completed")):
                body = payload(version, result, id=job)
                sent = self.send(receiver, body, message_id=f"{job}-{version}")
                self.assertEqual(self.code(sent), 204)
        ended = [each.job.id for each in self.events if each.job and each.result.terminal]
        self.assertEqual(ended, jobs)
