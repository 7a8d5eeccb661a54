"""Values that a worker wants to report become values that a server accepts."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract import codec
from statusjob.contract.clamping import clamp_members, clamp_text
from statusjob.contract.jobs import CENTURY, MESSAGE_LIMIT, Report

NUMBERS = st.one_of(st.floats(), st.integers(), st.decimals(allow_nan=False), st.fractions())


class ClampingTests(SynchronousTestCase):
    """Examples, and one property."""

    def setUp(self) -> None:
        self.ignored: list[str] = []

    def clamp(self, **given: object) -> dict[str, Any]:
        """Clamp members."""
        return clamp_members(given, self.ignored.append)

    @given(NUMBERS, NUMBERS, st.text())
    def test_what_was_clamped_is_accepted(self, progress: Any, eta: Any, message: str) -> None:
        members = self.clamp(progress=progress, eta=eta, message=message * 100)
        codec.decode(codec.encode(members), Report)

    def test_what_is_acceptable_stays_as_it_is(self) -> None:
        members = {"progress": 0.5, "eta": 60.0, "message": "é" * (MESSAGE_LIMIT // 2)}
        self.assertEqual(self.clamp(**members), members)
        nothing = {"progress": None, "eta": None, "message": None}
        self.assertEqual(self.clamp(**nothing), nothing)
        self.assertEqual(self.clamp(progress=UNSET, eta=UNSET, message=UNSET), {})
        self.assertEqual(self.ignored, [])

    def test_numbers_out_of_range_become_the_nearest_in_range(self) -> None:
        for progress, clamped in (
            (1.0000000000000002, 1.0),
            (-1e-17, 0.0),
            (100, 1.0),
            (math.inf, 1.0),
            (-math.inf, 0.0),
            (10**400, 1.0),
            (-(10**400), 0.0),
        ):
            self.assertEqual(self.clamp(progress=progress), {"progress": clamped})
        self.assertEqual(self.clamp(eta=-0.5), {"eta": 0.0})
        self.assertEqual(self.clamp(eta=math.inf), {"eta": CENTURY})

    def test_any_real_number_will_do(self) -> None:
        for half in (Fraction(1, 2), Decimal("0.5")):
            self.assertEqual(self.clamp(progress=half, eta=half), {"progress": 0.5, "eta": 0.5})

    def test_a_number_that_is_none_is_told_and_left_out(self) -> None:
        members = self.clamp(progress=math.nan, eta=Decimal("nan"), message="a")
        self.assertEqual((members, self.ignored), ({"message": "a"}, ["progress", "eta"]))

    def test_a_text_is_truncated_between_two_characters(self) -> None:
        self.assertEqual(clamp_text("message", "x" * 2000), "x" * MESSAGE_LIMIT)
        # The character that begins at the last byte has two of them.
        almost = "x" * (MESSAGE_LIMIT - 1)
        self.assertEqual(clamp_text("message", almost + "é"), almost)
        self.assertEqual(clamp_text("message", "\U0001f600" * 1000), "\U0001f600" * 256)

    def test_characters_that_cannot_be_stored_are_replaced(self) -> None:
        self.assertEqual(clamp_text("message", "a\0b\ud800c"), "a?b?c")

    def test_a_wrong_type_is_an_error_that_names_the_value(self) -> None:
        for name, value in (
            ("progress", "half"),
            ("progress", True),
            ("progress", 1j),
            ("eta", "60"),
            ("message", b"bytes"),
            ("message", ValueError("oh")),
        ):
            error = self.assertRaises(TypeError, self.clamp, **{name: value})
            self.assertIn(name, str(error))
