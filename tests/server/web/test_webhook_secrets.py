"""C{POST /webhooks/{id}/rotate}: a new secret signs and, for a day, the old one as well."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from statusjob.contract.signing import check_secret
from statusjob.server.store.webhook_secrets import OVERLAP
from statusjob.server.webhooks.registry import SECRETS_LIMIT
from tests.helpers.messages import Reply
from tests.helpers.secrets import OTHER_SECRET, SECRET
from tests.helpers.webhook_api import OTHER_URL, WebhookApiTestCase, status


def secret(number: int) -> str:
    """Make one of many secrets."""
    return "whsec_" + b64encode(b"%032d" % number).decode()


class RotationTests(WebhookApiTestCase):
    """A webhook that begins with L{SECRET}."""

    def setUp(self) -> None:
        super().setUp()
        self.hook_id = self.hook(secret=SECRET)["id"]

    def rotate(self, **members: Any) -> Reply:
        return self.post(f"/webhooks/{self.hook_id}/rotate", members)

    def rotated(self, **members: Any) -> str:
        """Rotate; return the secret that signs from now on."""
        reply = self.rotate(**members)
        self.assertEqual((reply.code, reply.header("Cache-Control")), (200, "no-store"))
        self.assertEqual(set(reply.json), {"id", "secret"})
        self.assertEqual(reply.json["id"], self.hook_id)
        return str(reply.json["secret"])

    def assert_signed_by(self, *secrets: str) -> None:
        """Check which of all secrets sign a delivery now, each of them once."""
        self.finish()
        sent = self.told()
        ever = (SECRET, OTHER_SECRET, *map(secret, range(SECRETS_LIMIT)))
        self.assertEqual(set(self.signers(sent, *ever, *secrets)), set(secrets))
        self.assertEqual(len(sent.headers["webhook-signature"].split()), len(secrets))

    def test_a_new_secret_is_made_and_shown(self) -> None:
        new = self.rotated()
        check_secret(new)
        self.assertNotEqual(new, SECRET)
        self.assert_signed_by(new, SECRET)

    def test_the_client_may_send_a_secret_of_its_own(self) -> None:
        self.assertEqual(self.rotated(secret=OTHER_SECRET), OTHER_SECRET)
        self.assert_signed_by(OTHER_SECRET, SECRET)

    def test_the_new_secret_signs_first(self) -> None:
        self.rotated(secret=OTHER_SECRET)
        self.finish()
        sent = self.told()
        sent.headers["webhook-signature"] = sent.headers["webhook-signature"].split()[0]
        self.assertEqual(self.signers(sent, SECRET, OTHER_SECRET), [OTHER_SECRET])

    def test_after_a_day_only_the_new_secret_signs(self) -> None:
        self.rotated(secret=OTHER_SECRET)
        self.fake.clock.advance(OVERLAP - 1)
        self.assert_signed_by(OTHER_SECRET, SECRET)
        self.fake.clock.advance(1)
        self.assert_signed_by(OTHER_SECRET)

    def test_a_secret_that_signs_no_more_is_deleted(self) -> None:
        self.rotated(secret=OTHER_SECRET)

        def kept() -> list[Any]:
            rows: Any = self.fake.server.store.read(lambda tx: tx.all("SELECT * FROM old_secrets"))
            return list(self.successResultOf(rows))

        self.fake.clock.pump([OVERLAP - 60, 30])
        self.assertEqual(len(kept()), 1)
        self.fake.clock.pump([30, 30])
        self.assertEqual(kept(), [])

    def test_a_delivery_written_before_is_signed_by_both_secrets(self) -> None:
        self.finish()
        self.receive(status(500))
        self.rotated(secret=OTHER_SECRET)
        self.fake.clock.advance(4600)
        self.assertEqual(len(self.signers(self.told(), SECRET, OTHER_SECRET)), 2)

    def test_each_rotated_secret_signs_for_a_day(self) -> None:
        for n in range(2):
            self.rotated(secret=secret(n))
            self.fake.clock.advance(3600)
        self.assert_signed_by(secret(1), secret(0), SECRET)
        # A day after the first of them, and after the second.
        self.fake.clock.advance(OVERLAP - 7200)
        self.assert_signed_by(secret(1), secret(0))
        self.fake.clock.advance(3600)
        self.assert_signed_by(secret(1))

    def test_the_same_secret_again_changes_nothing(self) -> None:
        self.rotated(secret=OTHER_SECRET)
        self.fake.clock.advance(3600)
        self.assertEqual(self.rotated(secret=OTHER_SECRET), OTHER_SECRET)
        self.assert_signed_by(OTHER_SECRET, SECRET)
        self.fake.clock.advance(OVERLAP - 3600)
        self.assert_signed_by(OTHER_SECRET)

    def test_an_old_secret_may_become_the_new_one(self) -> None:
        self.rotated(secret=OTHER_SECRET)
        self.assertEqual(self.rotated(secret=SECRET), SECRET)
        self.assert_signed_by(SECRET, OTHER_SECRET)
        self.fake.clock.advance(OVERLAP)
        self.assert_signed_by(SECRET)

    def test_the_number_of_secrets_that_sign_is_limited(self) -> None:
        for n in range(SECRETS_LIMIT - 1):
            self.rotated(secret=secret(n))
        for members in ({}, {"secret": OTHER_SECRET}):
            problem = self.assert_problem(self.rotate(**members), 409, "webhook-conflict")
            self.assertIn(f"{SECRETS_LIMIT} secrets", problem["detail"])
        # Neither of those that sign is one more.
        self.rotated(secret=secret(SECRETS_LIMIT - 2))
        self.rotated(secret=SECRET)
        self.assert_signed_by(SECRET, *map(secret, range(SECRETS_LIMIT - 1)))
        self.fake.clock.advance(OVERLAP)
        self.rotated(secret=OTHER_SECRET)

    def test_an_invalid_secret_is_refused_and_not_repeated(self) -> None:
        for members in (
            {"secret": ""},
            {"secret": "hunter2"},
            {"secret": "whsec_aHVudGVyMg=="},
            {"secret": SECRET.removeprefix("whsec_")},
            {"secret": 7},
            {"secret": [OTHER_SECRET]},
            {"key": OTHER_SECRET},
            {"secret": OTHER_SECRET, "name": "x"},
        ):
            problem = self.assert_problem(self.rotate(**members), 400, "invalid-request")
            for word in ("hunter2", "aHVudGVyMg", "QkJC"):
                self.assertNotIn(word, problem["detail"])
        self.assert_signed_by(SECRET)

    def test_null_and_nothing_both_ask_for_a_new_secret(self) -> None:
        self.assertNotEqual(self.rotated(secret=None), SECRET)

    def test_the_webhook_is_found_again_by_any_secret_that_signs(self) -> None:
        self.rotated(secret=OTHER_SECRET)
        for brought in (SECRET, OTHER_SECRET):
            again = self.post("/webhooks", {"url": OTHER_URL, "secret": brought})
            self.assertEqual((again.code, again.json["id"]), (200, self.hook_id))
        self.fake.clock.advance(OVERLAP)
        again = self.post("/webhooks", {"url": OTHER_URL, "secret": SECRET})
        self.assert_problem(again, 409, "webhook-conflict")

    def test_a_disabled_webhook_can_be_rotated(self) -> None:
        self.patch_hook(self.hook_id, enabled=False)
        self.rotated(secret=OTHER_SECRET)
        self.patch_hook(self.hook_id, enabled=True)
        self.assert_signed_by(OTHER_SECRET, SECRET)
