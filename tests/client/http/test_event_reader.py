"""Reading server-sent events, however the stream is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.http.event_reader import Event, EventReader, TooLong


def read(stream: bytes, limit: int = 1000) -> list[Event]:
    """Return the events of a stream that arrives in one piece."""
    return EventReader(limit).feed(stream)


class FormatTests(SynchronousTestCase):
    """The rules of the standard, and its examples."""

    def test_an_event_ends_with_an_empty_line(self) -> None:
        self.assertEqual(read(b"data: a\n"), [])
        self.assertEqual(read(b"data: a\n\n"), [Event("message", "a", "")])

    def test_an_event_may_have_a_type_an_id_and_many_lines(self) -> None:
        stream = b"event: add\nid: 7\ndata: one\ndata: two\n\n"
        self.assertEqual(read(stream), [Event("add", "one\ntwo", "7")])

    def test_an_id_holds_until_there_is_another(self) -> None:
        events = read(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: \0\ndata: d\n\n")
        self.assertEqual([each.id for each in events], ["1", "1", "", ""])

    def test_a_type_holds_for_one_event(self) -> None:
        events = read(b"event: add\n\nevent: x\ndata: a\n\ndata: b\n\n")
        self.assertEqual([each.type for each in events], ["x", "message"])

    def test_every_kind_of_line_end_is_accepted(self) -> None:
        for end in (b"\n", b"\r", b"\r\n"):
            stream = b"data: a\ndata: b\n\ndata: c\n\n".replace(b"\n", end)
            self.assertEqual([each.data for each in read(stream)], ["a\nb", "c"], end)

    def test_comments_and_unknown_fields_are_ignored(self) -> None:
        stream = b": test\nwhat: ever\ndata\n\n:\n\ndata:a\ndata:  b\ndata:\n\n"
        self.assertEqual([each.data for each in read(stream)], ["", "a\n b\n"])

    def test_one_byte_order_mark_at_the_beginning_is_ignored(self) -> None:
        mark = b"\xef\xbb\xbf"
        self.assertEqual([each.data for each in read(mark + b"data: a\n\n")], ["a"])
        self.assertEqual(read(mark + mark + b"data: a\n\n"), [])
        self.assertEqual(read(b"\n" + mark + b"data: a\n\n"), [])

    def test_bytes_that_are_not_utf8_are_replaced(self) -> None:
        self.assertEqual([each.data for each in read(b"data: \xff\0\n\n")], ["\ufffd\0"])

    def test_the_time_to_wait_is_sent_in_milliseconds_and_read_in_seconds(self) -> None:
        for told, seconds in ((b"1500", 1.5), (b"0", 0.0), (b"9" * 400, float("inf"))):
            reader = EventReader(1000)
            reader.feed(b"retry: " + told + b"\n")
            self.assertEqual(reader.retry, seconds)
        for nonsense in (b"", b"-1", b"1.5", b"soon", "\u0663".encode()):
            reader = EventReader(1000)
            reader.feed(b"retry: " + nonsense + b"\n")
            self.assertIsNone(reader.retry)

    def test_retry_fields_and_comments_need_no_empty_line(self) -> None:
        reader = EventReader(100)
        for stream in (b"retry: 3000\n", b"retry: 3000\n\n", b":\n", b":\n\n", b": beat\r\n"):
            self.assertEqual(reader.feed(stream), [], stream)
        self.assertEqual(reader.feed(b"data: a\n\n"), [Event("message", "a", "")])
        self.assertEqual(reader.retry, 3)

    def test_a_comment_within_an_event_is_no_part_of_it(self) -> None:
        self.assertEqual(read(b"data: a\n:\ndata: b\n\n"), [Event("message", "a\nb", "")])


class BoundTests(SynchronousTestCase):
    """The limit for the length of an event."""

    def test_an_event_as_long_as_the_limit_is_read(self) -> None:
        self.assertEqual(len(read(b"data: " + b"x" * 94 + b"\n\n", limit=100)), 1)

    def test_a_longer_event_is_an_error_in_any_pieces(self) -> None:
        for stream in (
            b"data: " + b"x" * 95 + b"\n\n",
            b"x" * 101,
            b":" + b"x" * 100 + b"\n",
            b"data: x\n" * 20,
        ):
            self.assertRaises(TooLong, read, stream, 100)
            reader = EventReader(100)

            def drip(stream: bytes = stream, reader: EventReader = reader) -> None:
                for byte in stream:
                    reader.feed(bytes((byte,)))

            self.assertRaises(TooLong, drip)

    def test_any_number_of_comments_may_come_before_an_event(self) -> None:
        self.assertEqual(len(read(b": beat\n" * 1000 + b"data: x\n\n", limit=100)), 1)

    def test_any_number_of_short_events_is_read(self) -> None:
        self.assertEqual(len(read(b"data: x\n\n:\n\n" * 1000, limit=100)), 1000)


class PieceTests(SynchronousTestCase):
    """It makes no difference where a stream is cut."""

    @given(
        st.lists(
            st.sampled_from(
                [
                    *(b"\n", b"\r", b"\r\n", b"data: ", b"data", b"id: 1", b"event: x", b":"),
                    *(b"retry: 5", b"\xef\xbb\xbf", "\u00e4".encode(), b"\xff", b" "),
                ]
            ),
            max_size=40,
        ).map(b"".join),
        st.lists(st.integers(1, 7), max_size=40),
    )
    def test_a_stream_reads_the_same_in_any_pieces(self, stream: bytes, sizes: list[int]) -> None:
        whole, cut = EventReader(1000), EventReader(1000)
        events, begin = [], 0
        for size in sizes:
            events += cut.feed(stream[begin : begin + size])
            begin += size
        events += cut.feed(stream[begin:])
        self.assertEqual((events, cut.retry), (whole.feed(stream), whole.retry))
