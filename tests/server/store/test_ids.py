"""Ids of webhooks and deliveries."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.store.ids import new_id
from tests.helpers.servers import EPOCH


class IdTests(SynchronousTestCase):
    """New ids."""

    def test_an_id_of_a_later_time_is_greater(self) -> None:
        ids = [new_id("msg", EPOCH + seconds) for seconds in (0.0, 0.001, 1.0, 1e9)]
        self.assertEqual(ids, sorted(ids))
        for each in ids:
            self.assertRegex(each, r"\Amsg_[0-9a-f]{32}\Z")

    def test_ids_of_one_time_differ(self) -> None:
        self.assertEqual(len({new_id("wh", EPOCH) for _ in range(100)}), 100)
