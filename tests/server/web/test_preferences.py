"""How C{Prefer: wait} (RFC 7240) is read."""

from __future__ import annotations

import time
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.test.requesthelper import DummyRequest

from statusjob.server.web.preferences import WAIT_LIMIT, preferred_wait


def wait(*values: bytes) -> int | None:
    """Read these headers."""
    request = DummyRequest([b""])
    for value in values:
        request.requestHeaders.addRawHeader(b"prefer", value)
    return preferred_wait(cast(Request, request))


class PreferTests(SynchronousTestCase):
    """The seconds that a client prefers to wait."""

    def test_whole_seconds_are_read(self) -> None:
        for value, seconds in ((b"wait=10", 10), (b"wait=0", 0), (b"wait=1", 1), (b"wait=45", 45)):
            self.assertEqual(wait(value), seconds)

    def test_a_longer_wait_is_capped(self) -> None:
        for digits in (b"46", b"60", b"1000", b"9" * 10_000):
            self.assertEqual(wait(b"wait=" + digits), WAIT_LIMIT)

    def test_leading_zeros_are_ignored(self) -> None:
        self.assertEqual(wait(b"wait=" + b"0" * 100 + b"7"), 7)
        self.assertEqual(wait(b"wait=000"), 0)

    def test_case_space_and_quotes_do_not_matter(self) -> None:
        for value in (
            b"Wait=10",
            b"WAIT=10",
            b" wait=10 ",
            b"wait = 10",
            b"wait\t=\t10\t",
            b'wait="10"',
            b'wait = "10"',
            rb'wait="1\0"',
        ):
            self.assertEqual(wait(value), 10, value)

    def test_the_preference_may_stand_among_others(self) -> None:
        for value in (
            b"respond-async, wait=10",
            b"respond-async,wait=10",
            b"wait=10, respond-async",
            b"handling=lenient, wait=10, foo; some-parameter",
            b"wait=10;unit=s",
            b"wait=10 ; a ; b=c; d=",
            b'foo="x, wait=1"; bar="\\"; wait=2", wait=10',
            b"foo;wait=1, wait=10",
            b", ,wait=10,,",
            b'foo="", wait=10',
            b"foo=, wait=10",
        ):
            self.assertEqual(wait(value), 10, value)

    def test_the_preference_may_be_in_any_of_several_headers(self) -> None:
        self.assertEqual(wait(b"respond-async", b"wait=10"), 10)
        self.assertEqual(wait(b"wait=10", b"return=minimal"), 10)

    def test_the_first_of_two_counts(self) -> None:
        self.assertEqual(wait(b"wait=10, wait=20"), 10)
        self.assertEqual(wait(b"wait=10", b"wait=20"), 10)
        self.assertIsNone(wait(b"wait=x, wait=20"))

    def test_other_preferences_are_not_a_wait(self) -> None:
        for value in (b"", b" ", b"respond-async", b"waiting=10", b"await=10", b"foo=wait", b","):
            self.assertIsNone(wait(value), value)
        self.assertIsNone(wait())

    def test_a_malformed_header_is_ignored(self) -> None:
        for value in (
            b"wait",
            b"wait=",
            b'wait=""',
            b"wait=ten",
            b"wait=-1",
            b"wait=+1",
            b"wait=1.5",
            b"wait=1e3",
            b"wait=10s",
            b"wait==10",
            b"wait:10",
            b"wait=10 20",
            b'wait="10',
            b'wait="10"x',
            b"wait=10/",
            b"(wait=10)",
            b"wait=10\x00",
            b"\xffwait=10",
            "wait=\u0661".encode(),
            b"foo bar, wait=10",
            b"f@o, wait=10",
        ):
            self.assertIsNone(wait(value), value)

    @given(st.lists(st.binary(max_size=30), max_size=4))
    def test_any_bytes_are_read_as_a_wait_or_none(self, values: list[bytes]) -> None:
        seconds = wait(*(value.replace(b"\r", b"").replace(b"\n", b"") for value in values))
        self.assertTrue(seconds is None or 0 <= seconds <= WAIT_LIMIT)

    def test_no_header_takes_long_to_read(self) -> None:
        began = time.perf_counter()
        for unit in (b";  ", b"; ", b"a ;", b"a = ", b'"', b'a="\\', b"\\", b" ", b",", b"a=b;"):
            for last in (b"", b"@", b'"'):
                wait(unit * (16_000 // len(unit)) + last)
        self.assertLess(time.perf_counter() - began, 1)
