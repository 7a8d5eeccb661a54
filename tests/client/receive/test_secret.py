"""Secrets that users make."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from statusjob import BadSecret, new_secret
from statusjob.contract import signing


class NewSecretTests(SynchronousTestCase):
    """C{new_secret}."""

    def test_a_secret_is_drawn_where_no_random_bytes_are_given(self) -> None:
        drawn = {new_secret() for _ in range(10)}
        self.assertEqual(len(drawn), 10)
        for each in drawn:
            signing.check_secret(each)

    def test_random_bytes_may_be_given(self) -> None:
        self.assertEqual(new_secret(b"x" * 32), signing.new_secret(b"x" * 32))
        self.assertRaises(BadSecret, new_secret, b"")
