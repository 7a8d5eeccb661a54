"""
How requests are read, and why some headers are read here although Werkzeug has parsers.

Each of its parsers is more lenient or more strict than the contract. If one of these tests fails
because Werkzeug has changed, its parser may be used.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.test.requesthelper import DummyRequest
from werkzeug.http import parse_etags, parse_list_header, parse_options_header

from statusjob.server.web.answers import ANY
from statusjob.server.web.preferences import preferred_wait
from statusjob.server.web.problems import Problem
from statusjob.server.web.reading import json_body, known_tags


class Nothing(Struct):
    """A body without members."""


def request(name: str, value: str, body: bytes = b"") -> Request:
    """A request with one header."""
    made: Any = DummyRequest([b""])
    made.requestHeaders.addRawHeader(name, value)
    made.content = BytesIO(body)
    return cast(Request, made)


class EntityTagTests(SynchronousTestCase):
    """C{If-None-Match}."""

    @staticmethod
    def tags(value: str) -> frozenset[bytes] | None:
        return known_tags(request("If-None-Match", value))

    def test_a_list_of_tags_is_read_as_werkzeug_reads_it(self) -> None:
        for value in ('"a"', 'W/"a"', '"a", W/"b" ,"c"', '"a,b"', ""):
            tags = {b'"%b"' % tag.encode() for tag in parse_etags(value).as_set(True)}
            self.assertEqual(self.tags(value), tags, value)

    def test_an_empty_element_of_a_list_is_no_tag(self) -> None:
        self.assertEqual(self.tags('"a",,"b"'), {b'"a"', b'"b"'})

    def test_a_tag_without_quotes_is_none_but_werkzeug_takes_it(self) -> None:
        self.assertEqual(self.tags("a.pending"), frozenset())
        self.assertEqual(parse_etags("a.pending").as_set(), {"a.pending"})

    def test_an_empty_tag_is_one_but_werkzeug_makes_none_of_it(self) -> None:
        self.assertEqual(self.tags('""'), {b'""'})
        self.assertNotIn("", parse_etags('""').as_set())

    def test_a_tag_without_a_comma_after_it_is_one_but_werkzeug_misreads_it(self) -> None:
        self.assertEqual(self.tags('"a" "b"'), {b'"a"', b'"b"'})
        # By its version it drops both, or makes one tag of them.
        self.assertNotEqual(parse_etags('"a" "b"').as_set(), {"a", "b"})

    def test_what_a_compressing_proxy_appended_does_not_count(self) -> None:
        for value in ('"a.b-gzip"', 'W/"a.b--gzip"', '"a.b-br"', '"a.b-zstd"', '"a.b-deflate"'):
            self.assertEqual(self.tags(value), {b'"a.b"'}, value)
        for value in ('"gzip"', '"a.gzip"', '"-gzip-"', '"a-GZIP"', '"a-other"'):
            self.assertEqual(self.tags(value), {value.encode()}, value)

    def test_a_star_with_space_around_it_is_one_but_werkzeug_takes_it_for_a_tag(self) -> None:
        self.assertIs(self.tags(" * "), ANY)
        self.assertFalse(parse_etags(" * ").star_tag)


class ContentTypeTests(SynchronousTestCase):
    """C{Content-Type}."""

    @staticmethod
    def accepted(value: str) -> bool:
        try:
            json_body(request("Content-Type", value, b"{}"), Nothing)
        except Problem as problem:
            assert problem.status == 415
            return False
        return True

    @staticmethod
    def accepted_by_werkzeug(value: str) -> bool:
        media_type, options = parse_options_header(value)
        charset = options.get("charset", "utf-8").lower()
        return media_type.lower() == "application/json" and charset in ("utf-8", "utf8")

    def test_well_formed_ones_are_read_as_werkzeug_reads_them(self) -> None:
        for value, accepted in (
            ("application/json", True),
            ("Application/JSON", True),
            ("application/json; charset=utf-8", True),
            ('application/json;Charset="UTF8"', True),
            ("application/json; charset=latin-1", False),
            ('application/json; a=b; charset="latin-1"', False),
            ("text/plain", False),
            ("text/plain; charset=utf-8", False),
        ):
            self.assertEqual(self.accepted(value), accepted, value)
            self.assertEqual(self.accepted_by_werkzeug(value), accepted, value)

    def test_a_charset_is_never_overlooked_as_werkzeug_does(self) -> None:
        for value in (
            "application/json; charset = latin-1",
            'application/json; charset="latin-1',
            "application/json; charset=latin-1; charset=utf-8",
        ):
            self.assertFalse(self.accepted(value), value)
            self.assertTrue(self.accepted_by_werkzeug(value), value)


class PreferTests(SynchronousTestCase):
    """C{Prefer}."""

    def test_a_malformed_header_is_ignored_but_werkzeug_reads_a_part_of_it(self) -> None:
        for value in ("wait=10 20", "foo bar, wait=10", "f@o, wait=10"):
            self.assertIsNone(preferred_wait(request("Prefer", value)), value)
            self.assertIn("wait", " ".join(parse_list_header(value)), value)

    def test_a_parameter_that_is_called_wait_is_told_apart(self) -> None:
        value = "foo;wait=1, wait=10"
        self.assertEqual(preferred_wait(request("Prefer", value)), 10)
