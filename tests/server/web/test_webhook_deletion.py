"""C{DELETE /webhooks/{id}}: the end of a webhook and of its deliveries."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.helpers.lanes import HeldLane
from tests.helpers.messages import Reply
from tests.helpers.secrets import SECRET
from tests.helpers.servers import InMemoryServer
from tests.helpers.webhook_api import OTHER_URL, WebhookApiTestCase, status


class DeletionTests(WebhookApiTestCase):
    """C{DELETE /webhooks/{id}}."""

    def delete(self, webhook: str) -> None:
        reply = self.ask(self.fake, "DELETE", f"/webhooks/{webhook}")
        self.assertEqual(
            (reply.code, reply.json), (200, {"message": "webhook deleted successfully"})
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        found: Any = self.successResultOf(self.fake.server.store.read(lambda tx: tx.all(sql)))
        return [tuple(row) for row in found]

    def test_the_webhook_and_its_deliveries_are_gone_and_the_url_is_free(self) -> None:
        hook = self.hook(secret=SECRET)["id"]
        self.finish()
        self.delete(hook)
        for path in ("", "/deliveries"):
            reply = self.ask(self.fake, "GET", f"/webhooks/{hook}{path}")
            self.assert_problem(reply, 404, "unknown-webhook")
        again = self.ask(self.fake, "DELETE", f"/webhooks/{hook}")
        self.assert_problem(again, 404, "unknown-webhook")
        self.assertEqual(self.get("/webhooks")["webhooks"], [])
        self.assertNotEqual(self.hook(secret=SECRET)["id"], hook)

    def test_pending_deliveries_are_not_made_not_even_a_test(self) -> None:
        hook = self.hook()["id"]
        self.finish()
        self.receive(status(500))
        self.finish()
        self.post(f"/webhooks/{hook}/test")
        self.delete(hook)
        self.fake.clock.advance(7200)
        self.assertEqual(self.receive(), [])

    def test_a_delivery_that_fails_after_the_deletion_is_not_repeated(self) -> None:
        hook = self.hook()["id"]
        self.finish()
        ((wire, _),) = self.under_way()
        self.delete(hook)
        wire.answer(status(500))
        self.fake.clock.advance(7200)
        self.assertEqual(self.receive(), [])

    def test_deliveries_of_other_webhooks_are_made(self) -> None:
        gone, kept = self.hook()["id"], self.hook(f"{OTHER_URL}/kept")["id"]
        self.finish()
        self.delete(gone)
        self.assertEqual(self.told().line, "POST /hook/kept")
        self.assertEqual(self.deliveries(kept)[0]["state"], "delivered")

    def test_url_and_secrets_are_deleted_at_once_and_the_rest_soon(self) -> None:
        hook = self.hook(secret=SECRET)["id"]
        self.post(f"/webhooks/{hook}/rotate")
        self.post(f"/webhooks/{hook}/test")
        for _ in range(50):
            self.finish()
        self.receive()
        self.delete(hook)
        self.assertEqual(self.rows("SELECT url, secret FROM webhooks"), [("", "")])
        self.assertEqual(self.rows("SELECT * FROM old_secrets"), [])
        self.fake.clock.pump([1] * 60)
        for table in ("webhooks", "deliveries", "attempts", "bodies", "origins"):
            self.assertEqual(self.rows(f"SELECT * FROM {table}"), [], table)

    def test_the_body_of_an_update_stays_for_other_deliveries(self) -> None:
        gone, kept = self.hook()["id"], self.hook(f"{OTHER_URL}/kept")["id"]
        self.finish()
        ((first, _), (second, _)) = self.under_way()
        first.answer()
        second.answer(status(500))
        self.assertEqual(self.receive(), [])
        failed, other = (
            (gone, kept) if self.deliveries(gone)[0]["state"] == "pending" else (kept, gone)
        )
        self.delete(other)
        self.fake.clock.advance(7200)
        self.assertIn(b'"result":"completed"', self.told().body)
        self.assertEqual(self.deliveries(failed)[0]["state"], "delivered")


class BorderTests(WebhookApiTestCase):
    """A webhook is deleted when a delivery is about to begin. None begins after the answer."""

    def setUp(self) -> None:
        self.lane = HeldLane()
        self.begin(self.lane)
        # What is done at every start.
        self.fake.clock.advance(0)
        self.commit()
        self.path = f"/webhooks/{self.hook()['id']}"
        self.dialled_at_answer: int | None = None

    def commit(self) -> None:
        """Run all commits that are held, and those that follow from them."""
        while self.lane.held:
            self.lane.step()
        self.fake.treq.flush()

    def begin_asking(self, method: str, path: str, body: Any = None) -> Deferred[Any]:
        """Send a request that is answered after its commit."""
        asked: Deferred[Any] = self.fake.treq.request(
            method, f"http://localhost{path}", json=body, headers={"Host": "localhost"}
        )
        return asked

    def ask(self, fake: InMemoryServer, method: str, path: str, **more: Any) -> Reply:
        asked = self.begin_asking(method, path, more.get("body"))
        self.commit()
        return self.reply(asked)

    def stop(self, fake: InMemoryServer) -> None:
        stopping = fake.server.stopService()
        fake.clock.advance(fake.server.settings.drain)
        self.commit()
        self.successResultOf(stopping)

    @property
    def dialled(self) -> int:
        """Return how many attempts have begun."""
        return len(self.fake.clock.tcpClients)

    def hold_writes(self) -> None:
        """Begin a commit, so that all writes that follow share the next one."""
        self.begin_asking("POST", "/jobs", {})
        self.assertEqual(self.lane.held, 1)

    def begin_round(self) -> None:
        """Let delivery claim what is due in the next commit."""
        self.fake.clock.advance(0)

    def begin_deleting(self) -> None:
        """Ask for the deletion, and note how many attempts have begun when it is answered."""

        def answered(row: object) -> object:
            self.dialled_at_answer = self.dialled
            return row

        remove = self.fake.server.api.registrations.remove
        self.patch(
            self.fake.server.api.registrations,
            "remove",
            lambda webhook: remove(webhook).addCallback(answered),
        )
        self.deleting = self.begin_asking("DELETE", self.path)

    def assert_border(self, begun: int) -> None:
        """Check how many attempts began before the answer, and that none began after it."""
        self.commit()
        self.assertEqual(self.successResultOf(self.deleting).code, 200)
        self.assertEqual((self.dialled_at_answer, self.dialled), (begun, begun))
        for wire, _ in self.under_way():
            wire.answer(status(500))
        for _ in range(10):
            self.fake.clock.advance(600)
            self.commit()
        self.assertEqual(self.dialled, begun)

    def test_a_delivery_claimed_in_an_earlier_commit_begins_before(self) -> None:
        self.finish()
        self.begin_round()
        self.begin_deleting()
        self.lane.step()
        self.assertEqual(self.dialled, 1)
        self.assert_border(1)

    def test_a_delivery_claimed_earlier_in_the_same_commit_begins_before(self) -> None:
        self.finish()
        self.hold_writes()
        self.begin_round()
        self.begin_deleting()
        self.lane.step()
        self.assertEqual((self.lane.held, self.dialled), (1, 0))
        self.assert_border(1)

    def test_a_delivery_claimed_later_in_the_same_commit_never_begins(self) -> None:
        self.finish()
        self.hold_writes()
        self.begin_deleting()
        self.begin_round()
        self.lane.step()
        self.assertEqual((self.lane.held, self.dialled), (1, 0))
        self.assert_border(0)

    def test_a_delivery_written_in_the_commit_of_the_deletion_never_begins(self) -> None:
        job = self.create(self.fake)["links"]["self"]
        self.hold_writes()
        self.begin_asking("PATCH", job, {"result": "completed"})
        self.begin_deleting()
        self.lane.step()
        self.begin_round()
        self.assert_border(0)
